package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys/crashfs"
)

// open opens a spool in dir and fails the test if it cannot.
func open(t *testing.T, o Options) *Queue {
	t.Helper()
	if o.Damaged == nil {
		o.Damaged = func(file string, offset int64, reason string) { t.Errorf("%s at %d: %s", file, offset, reason) }
	}
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// put appends the entries first to last.
func put(t *testing.T, q *Queue, first, last uint64) {
	t.Helper()
	for id := first; id <= last; id++ {
		if err := q.Append([]Entry{{ID: id, Data: payload(id)}}, false); err != nil {
			t.Fatalf("entry %d: %v", id, err)
		}
	}
}

// take takes out all that is there and acknowledges it.
func take(t *testing.T, q *Queue) (ids []uint64) {
	t.Helper()
	for {
		var b Batch
		if err := q.Next(&b, 10, 1<<20); err != nil {
			t.Fatal(err)
		}
		last := q.Stats().Told
		for _, e := range b.Entries {
			if !bytes.Equal(e.Data, payload(e.ID)) {
				t.Fatalf("entry %d is not what was put in: %q", e.ID, e.Data)
			}
			ids, last = append(ids, e.ID), e.ID
		}
		if err := q.Ack(&b, last); err != nil {
			t.Fatal(err)
		}
		if len(b.Entries) == 0 {
			return ids
		}
	}
}

// ids lists first to last without some.
func ids(first, last uint64, without ...uint64) string {
	var all []uint64
	for id := first; id <= last; id++ {
		if len(without) == 0 || id < without[0] || id > without[len(without)-1] {
			all = append(all, id)
		}
	}
	return fmt.Sprint(all)
}

func segments(t *testing.T, dir, kind string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*."+kind))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: whatever happens to files, the rest comes out in order, what is
// damaged is told of and kept, and new entries find their place (faults.md 80;
// field-history D1, D7, D13).
func TestDamage(t *testing.T) {
	// 100 entries in segments of 4 KiB.
	const last = 100
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 4
			return b
		}
	}
	middle := func(dir string) string { return segments(t, dir, "seg")[1] }
	newest := func(dir string) string {
		all := segments(t, dir, "seg")
		return all[len(all)-1]
	}
	secondOf := func(name string) (first, after uint64) { // ids of the first entry, and of the next file's first
		var number uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "%d", &number); err != nil {
			t.Fatal(err)
		}
		ids := [2]uint64{}
		for i := range ids {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(name), fmt.Sprintf("%020d.seg", number+uint64(i))))
			if err != nil {
				t.Fatal(err)
			}
			e, _ := parseFrame(number, data[headBytes:headBytes+int64(frameLength(data[headBytes:], 0))])
			ids[i] = e.ID
		}
		return ids[0], ids[1]
	}
	for _, c := range []struct {
		name    string
		damage  func(dir string) (without []uint64)
		reports int
		bad     int
	}{
		{"nothing", func(string) []uint64 { return nil }, 0, 0},
		{"torn tail", func(dir string) []uint64 {
			edit(t, newest(dir), func(b []byte) []byte { return b[:len(b)-7] })
			return []uint64{last}
		}, 0, 0},
		{"zeros behind the tail", func(dir string) []uint64 {
			edit(t, newest(dir), func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
			return nil
		}, 0, 0},
		{"rubbish behind the tail", func(dir string) []uint64 {
			edit(t, newest(dir), func(b []byte) []byte { return append(b, strings.Repeat("\x01\x00rubbish", 900)...) })
			return nil
		}, 0, 0},
		{"flipped bit in the data", func(dir string) []uint64 {
			first, _ := secondOf(middle(dir))
			edit(t, middle(dir), flip(int(headBytes)+frameHead+3))
			return []uint64{first}
		}, 1, 1},
		{"flipped bit in a length", func(dir string) []uint64 {
			first, _ := secondOf(middle(dir))
			edit(t, middle(dir), flip(int(headBytes)))
			return []uint64{first}
		}, 1, 1},
		{"flipped bit in the newest segment", func(dir string) []uint64 {
			data, _ := os.ReadFile(newest(dir))
			e, _ := parseFrame(0, data[headBytes:headBytes+int64(frameLength(data[headBytes:], 0))])
			edit(t, newest(dir), flip(int(headBytes)+frameHead+3))
			return []uint64{e.ID}
		}, 1, 1},
		{"flipped bit in the head", func(dir string) []uint64 {
			first, after := secondOf(middle(dir))
			edit(t, middle(dir), flip(2))
			return []uint64{first, after - 1}
		}, 1, 1},
		{"unknown version", func(dir string) []uint64 {
			first, after := secondOf(middle(dir))
			edit(t, middle(dir), func(b []byte) []byte { b[7] = 9; return b })
			return []uint64{first, after - 1}
		}, 1, 1},
		{"missing segment", func(dir string) []uint64 {
			first, after := secondOf(middle(dir))
			if err := os.Remove(middle(dir)); err != nil {
				t.Fatal(err)
			}
			return []uint64{first, after - 1}
		}, 0, 0},
		{"empty segment", func(dir string) []uint64 {
			first, after := secondOf(middle(dir))
			edit(t, middle(dir), func([]byte) []byte { return nil })
			return []uint64{first, after - 1}
		}, 0, 0},
		{"a segment under another's number", func(dir string) []uint64 {
			first, after := secondOf(middle(dir))
			other, err := os.ReadFile(segments(t, dir, "seg")[0])
			if err != nil {
				t.Fatal(err)
			}
			edit(t, middle(dir), func([]byte) []byte { return other })
			return []uint64{first, after - 1}
		}, 1, 1},
		{"ack file lost", func(dir string) []uint64 {
			if err := os.Remove(filepath.Join(dir, "ack")); err != nil {
				t.Fatal(err)
			}
			return nil
		}, 1, 0},
		{"ack file of rubbish", func(dir string) []uint64 {
			edit(t, filepath.Join(dir, "ack"), func([]byte) []byte { return []byte(strings.Repeat("x", 3000)) })
			return nil
		}, 1, 0},
		{"files that are not ours", func(dir string) []uint64 {
			for _, name := range []string{"README", "7.seg.tmp", "00000000000000000099.tmp", "x.seg", ".seg"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return nil
		}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, o, reports := t.TempDir(), Options{MaxBytes: 64 << 10}, 0
			o.Dir, o.Damaged = dir, func(file string, offset int64, reason string) {
				reports++
				t.Log(filepath.Base(file), offset, reason)
			}
			q := open(t, o)
			put(t, q, 1, last)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			want := ids(1, last, c.damage(dir)...)

			q = open(t, o)
			if got := fmt.Sprint(take(t, q)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			put(t, q, last+1, last+30)
			if got := fmt.Sprint(take(t, q)); got != ids(last+1, last+30) {
				t.Errorf("afterwards got %s", got)
			}
			if reports != c.reports {
				t.Errorf("%d reports, want %d", reports, c.reports)
			}
			put(t, q, last+31, last+60) // the segments before are done with
			take(t, q)
			if bad := segments(t, dir, "bad"); len(bad) != c.bad {
				t.Errorf("set aside: %q, want %d", bad, c.bad)
			}
		})
	}
}

// TestFull: not a byte above MaxBytes, nothing in part, and room comes back.
func TestFull(t *testing.T) {
	const most = 64 << 10
	dir := t.TempDir()
	q := open(t, Options{Dir: dir, MaxBytes: most})
	onDisk := func() (sum int64) {
		for _, name := range segments(t, dir, "seg") {
			if info, err := os.Stat(name); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	next := uint64(1)
	for range 20 {
		for {
			entries := []Entry{{ID: next, Data: payload(next)}, {ID: next + 1, Data: payload(next + 1)}}
			err := q.Append(entries, false)
			if errors.Is(err, ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			next += 2
		}
		if got := onDisk(); got > most || got < most*9/10 {
			t.Fatalf("full with %d bytes, allowed are %d", got, most)
		}
		if s := q.Stats(); s.Used != onDisk() || s.Last != next-1 {
			t.Errorf("stats say %+v, on disk are %d", s, onDisk())
		}
		first := q.Stats().Told + 1
		if got := fmt.Sprint(take(t, q)); got != ids(first, next-1) {
			t.Fatalf("got %s, want %d to %d", got, first, next-1)
		}
		if got := onDisk(); got > most/8 {
			t.Errorf("%d bytes are left of an empty spool", got)
		}
	}
}

// TestEntryLimits: below, at and above MaxEntry, and ids that do not rise.
func TestEntryLimits(t *testing.T) {
	q := open(t, Options{Dir: t.TempDir(), MaxBytes: 64 << 20})
	for i, c := range []struct {
		id   uint64
		size int
		ok   bool
	}{
		{1, MaxEntry - 1, true},
		{2, MaxEntry, true},
		{3, MaxEntry + 1, false},
		{2, 1, false},
		{3, 0, true},
		{1 << 39, 1, true},
	} {
		err := q.Append([]Entry{{ID: c.id, Data: make([]byte, c.size)}}, true)
		if (err == nil) != c.ok {
			t.Errorf("%d: entry %d of %d bytes: %v", i, c.id, c.size, err)
		}
	}
	var got []string
	for {
		var b Batch
		if err := q.Next(&b, 10, 100); err != nil {
			t.Fatal(err)
		}
		if len(b.Entries) == 0 {
			break
		}
		for _, e := range b.Entries {
			got = append(got, fmt.Sprint(e.ID, ":", len(e.Data)))
		}
	}
	if want := fmt.Sprint([]string{"1:1048575", "2:1048576", "3:0", fmt.Sprint(uint64(1)<<39, ":1")}); fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestLock: two users of one folder would steal each other's entries (field-history D12).
func TestLock(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "give each its own") {
		t.Fatalf("a second one opened it: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Dir: dir})
}

// TestUnusableFolder: an error, and no panic then or later (field-history L11, D1).
func TestUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/nothing"} {
		if q, err := Open(Options{Dir: dir}); err == nil || q != nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestBase: a new spool knows which ids it was never given.
func TestBase(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		q := open(t, Options{Dir: dir, Base: 41})
		if s := q.Stats(); s.Told != 41 || s.Last != 41 {
			t.Fatalf("%+v, want 41 twice", s)
		}
		if err := q.Append([]Entry{{ID: 41}}, false); err == nil {
			t.Error("an id that is not new was taken")
		}
		_ = q.Close()
	}
}

// TestOpenLarge: a spool of 1 GiB opens without being read.
func TestOpenLarge(t *testing.T) {
	dir := t.TempDir()
	make1 := func(number uint64, size int64) { // full of holes
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%020d.seg", number)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	make1(300, 0)
	o := Options{Dir: dir, MaxBytes: 2 << 30, Damaged: func(string, int64, string) {}}
	q := open(t, o)
	big := strings.Repeat("x", 64<<10)
	for id := uint64(1); id <= 63; id++ { // the newest segment, which is read
		if err := q.Append([]Entry{{ID: id, Data: []byte(big)}}, false); err != nil {
			t.Fatal(err)
		}
	}
	_ = q.Close()
	for number := range uint64(256) {
		make1(number+1, 4<<20)
	}
	o.Damaged = func(file string, _ int64, _ string) { t.Errorf("%s was read, which is one of holes", file) }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	q = open(t, o)
	runtime.ReadMemStats(&after)
	if used := q.Stats().Used; used < 1<<30 {
		t.Fatalf("only %d bytes are there", used)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("it took %d KiB of memory to open 1 GiB", grown>>10)
	}
}

// TestCodeSize holds the promise of docs/adr/0001-spool.md.
func TestCodeSize(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	count, inImports := 0, false
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "import (":
				inImports = true
			case inImports:
				inImports = line != ")"
			case line != "" && !strings.HasPrefix(line, "//"):
				count++
			}
		}
	}
	if count >= 500 {
		t.Errorf("%d lines of code, fewer than 500 were promised", count)
	}
}

// TestRoomAgain: a disk that has filled while all of the spool was one segment
// takes entries again when they have been taken out, in the same process.
func TestRoomAgain(t *testing.T) {
	fs := crashfs.New(1)
	fs.Room = 40 << 10
	q := open(t, Options{Dir: "q", FS: fs})
	next, told := uint64(1), uint64(0)
	for round := range 5 {
		before := next
		for q.Append([]Entry{{ID: next, Data: payload(next)}}, false) == nil {
			next++
		}
		if next-before < 100 {
			t.Fatalf("round %d: only %d entries", round, next-before)
		}
		if got := fmt.Sprint(take(t, q)); got != ids(told+1, next-1) {
			t.Fatalf("round %d: got %s, want %d to %d", round, got, told+1, next-1)
		}
		told = next - 1
		if err := q.Append([]Entry{{ID: next, Data: make([]byte, 39<<10)}}, false); err == nil {
			t.Error("there cannot be room for that")
		}
	}
}

// TestFrame looks that a frame is read in its own segment only, and costs no
// allocation.
func TestFrame(t *testing.T) {
	buf, entry, now := make([]byte, 0, 1<<10), Entry{ID: 7, Data: []byte("entry")}, time.Now()
	if n := testing.AllocsPerRun(1000, func() { buf = appendFrame(buf[:0], 1, entry, now) }); n > 0 {
		t.Errorf("a frame allocates %v times", n)
	}
	for segment := range uint64(4) {
		if e, ok := parseFrame(segment, buf); ok != (segment == 1) || ok && string(e.Data) != "entry" {
			t.Errorf("read in segment %d: %v %+v", segment, ok, e)
		}
	}
}
