package file

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
)

const run = "0192f3a4b5c6"

// line is an entry as targets make them.
func line(id uint64) string {
	return fmt.Sprintf(`{"id":%q,"time":%q,"n":%d}`, target.FormatID(run, id), time.Now().UTC().Format(time.RFC3339Nano), id)
}

func batch(first, last uint64) target.Batch {
	var b target.Batch
	for id := first; id <= last; id++ {
		b.Items = append(b.Items, target.Item{ID: id, Data: []byte(line(id))})
	}
	return b
}

func open(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s *Sink, first, last uint64) {
	t.Helper()
	if err := s.Send(t.Context(), batch(first, last)); err != nil {
		t.Fatal(err)
	}
}

func closeSink(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// read gives the ids in all files of a folder, the oldest file first, and the
// names of the files.
func read(t *testing.T, dir string) (ids string, names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(names) // "audit-…" comes before "audit.log"
	var all []string
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = f
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		for l := range strings.Lines(string(text)) {
			id := lastID([]byte(l)).id
			if id == 0 || !strings.HasSuffix(l, "}\n") {
				t.Errorf("%s: line %q", name, l)
			}
			all = append(all, strconv.FormatUint(id, 10))
		}
	}
	return strings.Join(all, " "), names
}

func span(first, last uint64) string {
	var all []string
	for id := first; id <= last; id++ {
		all = append(all, strconv.FormatUint(id, 10))
	}
	return strings.Join(all, " ")
}

func last(s *Sink) uint64 {
	_, id := s.Last()
	return id
}

func TestAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "audit.log")
	for life := range uint64(3) {
		s := open(t, Options{Path: path, Sync: life == 1})
		if last(s) != life*10 {
			t.Errorf("last is %d in life %d", last(s), life)
		}
		send(t, s, life*10+1, life*10+10)
		closeSink(t, s)
	}
	if got, _ := read(t, filepath.Dir(path)); got != span(1, 30) {
		t.Errorf("got %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestRotates: by size and by age, with and without compression; nothing is
// lost but what is too old, and no file is larger than allowed.
func TestRotates(t *testing.T) {
	for _, compress := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			size := int64(len(line(1))) + 1
			s := open(t, Options{Path: filepath.Join(dir, "audit.log"), MaxBytes: 10*size + 50, MaxAge: time.Hour, Keep: 3, Compress: compress})
			for id := uint64(1); id <= 20; id += 2 {
				send(t, s, id, id+1)
				time.Sleep(time.Second)
			}
			synctest.Wait()
			s.old.Wait()
			if got, names := read(t, dir); got != span(1, 20) || len(names) != 2 || strings.HasSuffix(names[0], ".gz") != compress {
				t.Errorf("got %s in %q", got, names)
			}
			for id := uint64(21); id <= 26; id++ {
				time.Sleep(61 * time.Minute)
				send(t, s, id, id)
			}
			closeSink(t, s)
			if got, names := read(t, dir); got != span(23, 26) || len(names) != 4 {
				t.Errorf("got %s in %q", got, names)
			}
			// Its age does not begin anew with the process.
			s = open(t, Options{Path: filepath.Join(dir, "audit.log"), MaxAge: time.Hour, Keep: 3})
			if age := time.Since(s.born); age > time.Minute || s.size == 0 {
				t.Errorf("age %v, size %d", age, s.size)
			}
			time.Sleep(59 * time.Minute)
			closeSink(t, s)
			s = open(t, Options{Path: filepath.Join(dir, "audit.log"), MaxAge: time.Hour, Keep: 3})
			time.Sleep(2 * time.Minute)
			send(t, s, 27, 27)
			closeSink(t, s)
			if got, names := read(t, dir); got != span(24, 27) || len(names) != 4 {
				t.Errorf("got %s in %q", got, names)
			}
		})
	}
}

// TestTornLine: what a crash has left behind the last whole line goes away, and
// files of others are left alone.
func TestTornLine(t *testing.T) {
	for _, c := range []struct {
		name, text string
		last       uint64
		refused    bool
	}{
		{"empty", "", 0, false},
		{"whole", line(1) + "\n" + line(2) + "\n", 2, false},
		{"torn", line(1) + "\n" + line(2)[:40], 1, false},
		{"torn after a byte", line(1) + "\n{", 1, false},
		{"nothing but torn", line(1)[:20], 0, false},
		{"another program's", "root:x:0:0\nnobody", 0, true},
		{"another program's lines", "root:x:0:0\n", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Path: path})
			if c.refused {
				if err == nil || !strings.Contains(err.Error(), "another program") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || last(s) != c.last {
				t.Fatalf("last %d, %v", last(s), err)
			}
			send(t, s, c.last+1, c.last+1)
			closeSink(t, s)
			text, err := os.ReadFile(path)
			if err != nil || !strings.HasSuffix(string(text), "}\n") || strings.Contains(string(text), `{{`) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// TestTornText: a line for people that a crash has torn is ended, and what was
// written of it stays: nothing says whose it is.
func TestTornText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	if err := os.WriteFile(path, []byte("one\ntwo, and th"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Path: path, Text: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), target.Batch{Items: []target.Item{{ID: 1, Data: []byte("three")}}}); err != nil {
		t.Error(err)
	}
	closeSink(t, s)
	if text, err := os.ReadFile(path); err != nil || string(text) != "one\ntwo, and th\nthree\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestCrashInRotation: whatever a crash leaves of a rotation, the last entry is
// known and leftovers go away.
func TestCrashInRotation(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		o := Options{Path: filepath.Join(dir, "audit.log"), Compress: packed}
		s := open(t, o)
		send(t, s, 1, 5)
		if err := s.rotate(); err != nil {
			t.Fatal(err)
		}
		closeSink(t, s)
		if err := os.WriteFile(filepath.Join(dir, "audit-20060102T150405.000Z.log.gz.tmp"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		if last(s) != 5 {
			t.Errorf("last is %d", last(s))
		}
		send(t, s, 6, 6)
		closeSink(t, s)
		if got, names := read(t, dir); got != span(1, 6) || len(names) != 2 {
			t.Errorf("got %s in %q", got, names)
		}
	}
}

// TestMovedAway: a file that somebody has moved, cut or removed is made anew.
func TestMovedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "audit.log")
		s := open(t, Options{Path: path})
		send(t, s, 1, 3)
		for i, away := range []func() error{
			func() error { return os.Rename(path, filepath.Join(dir, "audit-1")) },
			func() error { return os.Remove(path) },
			func() error { return os.Truncate(path, 0) },
		} {
			if err := away(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			id := uint64(4 + i)
			send(t, s, id, id)
			if text, err := os.ReadFile(path); err != nil || string(text) != line(id)+"\n" {
				t.Errorf("%d: %q, %v", i, text, err)
			}
		}
		closeSink(t, s)
	})
}

// TestNotAFile: a target cannot be a folder or a device.
func TestNotAFile(t *testing.T) {
	for _, path := range []string{t.TempDir(), "/dev/null", "/proc/nothing/audit.log"} {
		if s, err := Open(Options{Path: path}); err == nil || s != nil {
			t.Errorf("%s was opened", path)
		}
	}
}

// TestGapAfterKill: what lay in memory when a process was killed is told of in
// the file, exactly.
func TestGapAfterKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, []byte(line(1)+"\n"+line(2)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		tg := target.New(target.Options{
			Name: "file", Run: run, Issued: 9, WithIDs: true, BatchAge: -1, Report: slog.New(slog.DiscardHandler),
			Sink: func() (target.Sink, error) { return Open(Options{Path: path}) },
			Gap: func(m target.Missing) []byte {
				return fmt.Appendf(nil, `{"gap":"%d-%d %s"}`, m.First, m.Last, m.Reason)
			},
		})
		tg.Start(nil)
		tg.Push(10, []byte(`{"n":10}`))
		tg.Close(context.Background())
		text, err := os.ReadFile(path)
		want := line(1) + "\n" + line(2) + "\n" + `{"id":"` + run + `-0000000000000009","gap":"3-9 process ended"}` + "\n" + `{"id":"` + run + `-0000000000000010","n":10}` + "\n"
		if err != nil || string(text) != want {
			t.Errorf("got  %s\nwant %s\n%v", text, want, err)
		}
	})
}
