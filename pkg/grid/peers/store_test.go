package peers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestSaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.signed")
	trust := testTrust(testKey(0))
	if _, err := Load(path, trust); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before the first Save: %v", err)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		l := signed(t, testList(epoch, "node-0:9000", "node-1:9000"))
		if err := Save(path, l); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path, trust)
		if err != nil || !back.same(l) || !bytes.Equal(back.Raw(), l.Raw()) {
			t.Fatalf("got %+v, %v, want %+v", back, err, l)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files left, want the list alone (%v)", len(entries), err)
	}
	if _, err := Load(path, testTrust(testKey(1))); !errors.Is(err, ErrSignature) {
		t.Errorf("with another key: %v", err)
	}
}

func TestSaveRefusesUnsigned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.signed")
	if err := Save(path, testList(1, self)); err == nil {
		t.Error("an unsigned list was saved")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

// Where the new document cannot be written whole, the old one stays.
func TestSaveFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.signed")
	old, next := signed(t, testList(1, self)), signed(t, testList(2, self))
	if err := Save(path, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, next); err == nil {
		t.Error("a full disk went unnoticed")
	}
	if back, err := Load(path, testTrust(testKey(0))); err != nil || back.Epoch != 1 {
		t.Errorf("got epoch %d, %v", back.Epoch, err)
	}
	if err := Save(path, next); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if err := Save(filepath.Join(path, "below", "a-file"), next); err == nil {
		t.Error("no folder to save to, and no error")
	}
}

func TestLoadRefusesCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.signed")
	raw := signed(t, testList(1, self)).Raw()
	for i := range raw {
		if err := os.WriteFile(path, raw[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, testTrust(testKey(0))); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

const saveForeverEnv = "GRIDMESH_TEST_SAVE_FOREVER"

// saveForever is what the child of TestSaveSurvivesKill does until it is killed.
func saveForever(path string) {
	var lists []List
	for epoch := uint64(1); epoch <= 2; epoch++ {
		l := testList(epoch, manyNames(4_000*int(epoch))...)
		raw, err := Sign(l, testKey(0))
		if err == nil {
			l, err = Verify(raw, testTrust(testKey(0)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		lists = append(lists, l)
	}
	for i := 0; ; i++ {
		if err := Save(path, lists[i%len(lists)]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, "saved")
	}
}

func TestSaveSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.signed")
	epochs := make(map[uint64]int)
	for round := range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), saveForeverEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(20) {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
		}
		// It is at its next Save now, in whichever of its steps.
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed, as told

		l, err := Load(path, testTrust(testKey(0)))
		if err != nil {
			t.Fatalf("killed in round %d: %v", round, err)
		}
		if want := 4_000 * int(l.Epoch); len(l.Names) != want {
			t.Fatalf("epoch %d has %d names, want %d", l.Epoch, len(l.Names), want)
		}
		epochs[l.Epoch]++
	}
	t.Logf("found by epoch: %v", epochs)
}
