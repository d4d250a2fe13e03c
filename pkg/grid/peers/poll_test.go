package peers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a Source with a loop over it, in a bubble: what it gives is kept
// for the test, which passes time and looks.
type watched struct {
	mu    sync.Mutex // protects given
	given []given
	stop  func()
}

type given struct {
	list List
	err  error
}

func watch(t *testing.T, source Source) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := new(watched)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l, err := range source.Lists(ctx) {
			w.mu.Lock()
			w.given = append(w.given, given{l, err})
			w.mu.Unlock()
		}
	}()
	w.stop = func() {
		cancel()
		<-done
	}
	return w
}

// pass passes time and gives what was given in it.
func (w *watched) pass(d time.Duration) []given {
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.given
	w.given = nil
	return got
}

// next passes time and wants exactly one thing given in it.
func (w *watched) next(t *testing.T, d time.Duration) (List, error) {
	t.Helper()
	got := w.pass(d)
	if len(got) != 1 {
		t.Fatalf("given %d times, want once: %v", len(got), got)
	}
	return got[0].list, got[0].err
}

func (w *watched) nothing(t *testing.T, d time.Duration) {
	t.Helper()
	if got := w.pass(d); len(got) != 0 {
		t.Fatalf("given without a change: %v", got)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	one, two := "node-0:9000\n", "node-0:9000\nnode-1:9000\n"
	write(t, path, one)
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, WatchFile(path, self))
		defer w.stop()

		if l, err := w.next(t, 0); err != nil || len(l.Names) != 1 {
			t.Fatalf("at once: %v, %v", l, err)
		}
		w.nothing(t, time.Minute)

		// Written in place: seen within a poll, and given once it has settled.
		write(t, path, two)
		if l, err := w.next(t, PollEvery+settle); err != nil || len(l.Names) != 2 {
			t.Fatalf("written in place: %v, %v", l, err)
		}
		w.nothing(t, time.Minute)

		// Renamed over.
		write(t, path+".new", one)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if l, err := w.next(t, PollEvery+settle); err != nil || len(l.Names) != 1 {
			t.Fatalf("renamed over: %v, %v", l, err)
		}

		// Wrong in one way, then in another, then gone: one error for each.
		for _, test := range []struct {
			text string
			want error
		}{
			{"node-0:9000\nnode-1:90", ErrMalformed},
			{"", ErrEmpty},
			{"node-1:9000\n", ErrNotListed},
		} {
			write(t, path, test.text)
			_, err := w.next(t, PollEvery+settle)
			wantError(t, err, test.want, path)
			w.nothing(t, time.Minute)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err := w.next(t, PollEvery+settle)
		wantError(t, err, fs.ErrNotExist, path)
		w.nothing(t, time.Minute)

		// Good again, even if it says what it said before: the alarm is over.
		write(t, path, one)
		if l, err := w.next(t, PollEvery+settle); err != nil || len(l.Names) != 1 {
			t.Fatalf("good again: %v, %v", l, err)
		}
	})
}

// What is read while the file is being written, be it valid, is not given.
func TestWatchFileInTheMaking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	whole := "node-0:9000\nnode-1:9000\nnode-2:9000\n"
	write(t, path, whole)
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, WatchFile(path, self))
		defer w.stop()
		if _, err := w.next(t, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(PollEvery - time.Millisecond)
		for _, size := range []int{12, 20, 24, 0} { // a line, one and a half, two, none
			write(t, path, whole[:size])
			w.nothing(t, settle)
		}
		write(t, path, whole)
		w.nothing(t, time.Minute)

		write(t, path, whole+"node-3:9000\n")
		if l, err := w.next(t, PollEvery+settle); err != nil || len(l.Names) != 4 {
			t.Fatalf("got %v, %v", l, err)
		}
	})
}

// What was seen once, and then not, counts for nothing when it is seen again.
func TestWatchFileSeenOnceTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	whole := "node-0:9000\nnode-1:9000\n"
	write(t, path, whole)
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, WatchFile(path, self))
		defer w.stop()
		if _, err := w.next(t, 0); err != nil {
			t.Fatal(err)
		}
		const before, after = time.Millisecond, time.Millisecond
		for range 3 {
			w.nothing(t, PollEvery-before)
			write(t, path, whole[:12])
			w.nothing(t, before+after) // in which it is read once
			write(t, path, whole)
			w.nothing(t, settle-after) // and once more
		}
	})
}

func TestWatchFileEvery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	synctest.Test(t, func(t *testing.T) {
		source := WatchFile(path, self)
		source.Every = time.Hour
		w := watch(t, source)
		defer w.stop()
		_, err := w.next(t, settle) // at the start, too, an error is looked at twice
		wantError(t, err, fs.ErrNotExist)
		write(t, path, self+"\n")
		w.nothing(t, time.Hour-time.Second)
		if _, err := w.next(t, time.Second+settle); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWatchFileRefusesOtherKinds(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	write(t, large, strings.Repeat("#", MaxText)+"\n")
	synctest.Test(t, func(t *testing.T) {
		for path, why := range map[string]string{dir: "not a regular file", large: "more than 5242880 bytes"} {
			w := watch(t, WatchFile(path, self))
			if _, err := w.next(t, settle); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v", path, err)
			}
			w.stop()
		}
	})
}

// mount writes a version of a ConfigMap the way the kubelet does: files in a
// directory of their own, links to them through ..data, and ..data renamed
// over, last.
func mount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(dir, version), 0o700))
	for name, text := range files {
		write(t, filepath.Join(dir, version, name), text)
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); !errors.Is(err, fs.ErrExist) {
			check(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	check(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if old != "" {
		check(os.RemoveAll(filepath.Join(dir, old)))
	}
}

func TestWatchDir(t *testing.T) {
	a, b := testKey(0), testKey(1)
	pub := func(n ...byte) []byte {
		var text []byte
		for _, i := range n {
			block, err := MarshalPublicKeys(public(testKey(i))...)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, block...)
		}
		return text
	}
	dir := t.TempDir()
	version := func(n int, trusted []byte, doc []byte) {
		t.Helper()
		mount(t, dir, fmt.Sprintf("..v%d", n), map[string]string{KeysFile: string(trusted), ListFile: string(doc)})
	}
	version(1, pub(0), mustSign(t, testList(1, self), a))
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, WatchDir(dir, testGrid))
		defer w.stop()
		if l, err := w.next(t, 0); err != nil || l.Epoch != 1 || !l.Signed() {
			t.Fatalf("got %v, %v", l, err)
		}
		w.nothing(t, time.Minute)

		// A signed list is given at once: its signature proves it whole.
		version(2, pub(0), mustSign(t, testList(2, self), a))
		if l, err := w.next(t, PollEvery); err != nil || l.Epoch != 2 {
			t.Fatalf("got %v, %v", l, err)
		}

		// Rotation: both keys known, signed with both, then the old one gone.
		version(3, pub(0, 1), mustSign(t, testList(2, self), a))
		if l, err := w.next(t, PollEvery); err != nil || l.Epoch != 2 {
			t.Fatalf("got %v, %v", l, err)
		}
		trust, err := LoadTrust(dir, testGrid)
		if err != nil || len(trust.Keys) != 2 || trust.Grid != testGrid {
			t.Fatalf("got %v, %v", trust, err)
		}
		version(4, pub(0, 1), mustSign(t, testList(3, self), a, b))
		if l, err := w.next(t, PollEvery); err != nil || l.Epoch != 3 {
			t.Fatalf("got %v, %v", l, err)
		}
		version(5, pub(1), mustSign(t, testList(4, self), b))
		if l, err := w.next(t, PollEvery); err != nil || l.Epoch != 4 {
			t.Fatalf("got %v, %v", l, err)
		}

		version(6, pub(1), mustSign(t, testList(5, self), a))
		_, err = w.next(t, PollEvery+settle)
		wantError(t, err, ErrSignature, filepath.Join(dir, ListFile))
		version(7, []byte("no key"), mustSign(t, testList(5, self), b))
		if _, err = w.next(t, PollEvery+settle); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, KeysFile)) {
			t.Fatalf("got %v", err)
		}
		if _, err := LoadTrust(dir, testGrid); err == nil {
			t.Error("trust in no key")
		}
		version(8, pub(1), nil)
		_, err = w.next(t, PollEvery+settle)
		wantError(t, err, ErrMalformed, "cut short")
		if err := os.Remove(filepath.Join(dir, "..v8", KeysFile)); err != nil {
			t.Fatal(err)
		}
		_, err = w.next(t, PollEvery+settle)
		wantError(t, err, fs.ErrNotExist, KeysFile)
		w.nothing(t, time.Minute)
	})
}

// Document and keys change together: read through ..data as it is at that
// moment, one never meets the other of another version.
func TestWatchDirReadsOneVersion(t *testing.T) {
	dir := t.TempDir()
	sets := make([]map[string]string, 2)
	for i := range sets {
		keys, err := MarshalPublicKeys(public(testKey(byte(i)))...)
		if err != nil {
			t.Fatal(err)
		}
		sets[i] = map[string]string{KeysFile: string(keys), ListFile: string(mustSign(t, testList(uint64(i+1), self), testKey(byte(i))))}
	}
	mount(t, dir, "..v0", sets[0])
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				mount(t, dir, fmt.Sprintf("..v%d", n), sets[n%2])
			}
		}
	}()
	defer func() {
		close(stop)
		<-done
	}()
	source := WatchDir(dir, testGrid)
	read := 0
	for range 2_000 {
		now := source.read(reading{})
		if now.err != nil && !errors.Is(now.err, fs.ErrNotExist) { // the version went away while it was read
			t.Fatal(now.err)
		}
		if now.err == nil {
			read++
		}
	}
	if read == 0 {
		t.Error("no reading succeeded")
	}
}

func TestStatic(t *testing.T) {
	var got []List
	for l, err := range Static("b:1", "a:1").Lists(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if len(got) != 1 || !slices.Equal(got[0].Names, []string{"a:1", "b:1"}) {
		t.Errorf("got %v", got)
	}
	for _, err := range Static("b:1", "B:1").Lists(t.Context()) {
		wantError(t, err, ErrMalformed, "lower case")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for l, err := range Static("b:1").Lists(ctx) {
		t.Errorf("after the end: %v, %v", l, err)
	}
}

func TestListsEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	write(t, path, self+"\n")
	synctest.Test(t, func(t *testing.T) {
		source := WatchFile(path, self)
		for _, err := range source.Lists(t.Context()) { // a loop that is left
			wantError(t, err, nil)
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		given := 0
		for _, err := range source.Lists(ctx) { // and another, after it: it starts anew
			wantError(t, err, nil)
			given++
		}
		if given != 1 {
			t.Errorf("the second loop was given %d lists, want 1", given)
		}
		start := time.Now()
		for range 100 { // the first reading is due at once, as well
			for l, err := range source.Lists(ctx) {
				t.Fatalf("given after the context ended: %v, %v", l, err)
			}
		}
		if !time.Now().Equal(start) {
			t.Error("an ended context did not end the loop at once")
		}
	})
}
