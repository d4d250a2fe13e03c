//go:build root

package file

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRootFullDisk: on a full disk a batch is refused whole, no line is torn,
// and all goes on when there is room (faults.md 78).
func TestRootFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	// The disk holds an old file and a quarter of a new one.
	s := open(t, Options{Path: filepath.Join(dir, "audit.log"), MaxBytes: 200 << 10, Keep: 1})
	next, refused := uint64(1), 0
	try := func() {
		t.Helper()
		switch err := s.Send(t.Context(), batch(next, next+99)); {
		case err == nil:
			next += 100
		case errors.Is(err, syscall.ENOSPC):
			refused++
		default:
			t.Fatal(err)
		}
	}
	for refused < 10 {
		if try(); next > 20_000 {
			t.Fatal("the disk does not fill")
		}
	}
	if next < 1000 {
		t.Errorf("only %d entries", next)
	}
	s.o.MaxBytes = 10 << 10 // so that the new one is rotated, and the old one goes
	full := next
	for next < full+1000 {
		try()
		s.old.Wait()
		if refused > 20 {
			t.Fatal("it does not go on")
		}
	}
	closeSink(t, s)
	if ids, names := read(t, dir); len(names) == 0 || ids == "" { // it looks at each line
		t.Errorf("%q in %q", ids, names)
	}
}
