package target

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sequenceVariable holds the folder in a process that is to be killed.
const sequenceVariable = "GRIDMESH_TEST_SEQUENCE"

func openSequence(t *testing.T, dir string) *Sequence {
	t.Helper()
	s, err := OpenSequence(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.lock != nil {
			_ = s.Close()
		}
	})
	return s
}

func TestSequence(t *testing.T) {
	dir := t.TempDir()
	s := openSequence(t, dir)
	if _, err := OpenSequence(dir); err == nil {
		t.Error("two processes give the same ids")
	}
	for want := uint64(1); want <= 10; want++ {
		if got := s.Next(); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	}
	s.AtLeast(5)
	s.AtLeast(20)
	run := s.Run()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.lock = nil
	s = openSequence(t, dir)
	if s.Run() != run || s.Next() != 21 {
		t.Errorf("run %s, last %d", s.Run(), s.Last())
	}
}

// TestSequenceKilled: a process that is killed has not forgotten which ids it
// gave, though it wrote none of them.
func TestSequenceKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), sequenceVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for in := bufio.NewScanner(out); in.Scan(); {
		if n, _ := fmt.Sscan(in.Text(), &last); n == 1 && last > 5000 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	s := openSequence(t, dir)
	if got := s.Last(); got < last || got > last+1 {
		t.Errorf("the process said %d, the file says %d", last, got)
	}
}

func sequenceChild(dir string) {
	s, err := OpenSequence(dir)
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return
	}
	for {
		fmt.Fprintln(os.Stdout, s.Next())
	}
}

// TestSequencePowerLost: after the machine stopped, ids may have been given that
// no file knows of. Those that come are of another run.
func TestSequencePowerLost(t *testing.T) {
	dir := t.TempDir()
	s := openSequence(t, dir)
	for range 7 {
		s.Next()
	}
	first := s.Run()
	_ = s.lock.Close()
	s.lock = nil // killed
	page, err := os.ReadFile(filepath.Join(dir, "sequence"))
	if err != nil {
		t.Fatal(err)
	}
	page[bootOffset]++ // and the machine was started anew
	if err := os.WriteFile(filepath.Join(dir, "sequence"), page, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openSequence(t, dir)
	if s.Run() == first || s.Next() != 8 {
		t.Errorf("run %s and before %s, id %d", s.Run(), first, s.Last())
	}
}

func TestSequenceUnusable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenSequence(file); s != nil || err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestFormatID(t *testing.T) {
	for id, want := range map[uint64]string{
		0: "0192f3a4b5c6-0000000000000000", 123: "0192f3a4b5c6-0000000000000123", 9_999_999_999_999_999: "0192f3a4b5c6-9999999999999999",
	} {
		if got := FormatID("0192f3a4b5c6", id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
