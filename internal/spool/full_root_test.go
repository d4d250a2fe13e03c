//go:build root

package spool

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

// TestRootFullDisk fills a disk of 1 MiB that is smaller than the spool may be:
// nothing that was accepted is lost, nothing is accepted in part, and when there
// is room again all goes on (faults.md 78).
func TestRootFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := Options{Dir: dir, MaxBytes: 64 << 20}
	q := open(t, o)
	next, told := uint64(1), uint64(0)
	for round := range 6 {
		refused, before := 0, next
		for refused < 50 { // a full disk is asked again and again
			err := q.Append([]Entry{{ID: next, Data: payload(next)}}, true)
			switch {
			case err == nil:
				next++
			case errors.Is(err, syscall.ENOSPC):
				refused++
			default:
				t.Fatal(err)
			}
		}
		if next-before < 3000 {
			t.Fatalf("round %d: only %d entries on 1 MiB", round, next-before)
		}
		if round%2 == 1 { // another life on the full disk
			_ = q.Close()
			q = open(t, o)
		}
		if got := fmt.Sprint(take(t, q)); got != ids(told+1, next-1) {
			t.Fatalf("round %d: got %s, want %d to %d", round, got, told+1, next-1)
		}
		told = next - 1
	}
	if len(segments(t, dir, "bad")) > 0 {
		t.Error("a full disk was taken for damage")
	}
}
