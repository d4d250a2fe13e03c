package freeport

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// childVariable makes the test binary say what it was given, and wait for its end.
const childVariable = "FREEPORT_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		m.Run()
		return
	}
	addrs, err := Addrs(block - 1)
	fmt.Fprintln(os.Stdout, strings.Join(addrs, " "), err)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// TestNobodyElses: processes that live at the same time have no port in common,
// though none of them listens yet.
func TestNobodyElses(t *testing.T) {
	const processes = 8
	seen := make(map[string]int)
	for n := range processes {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"=1")
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			if err := child.Wait(); err != nil {
				t.Error(err)
			}
		})
		addrs := make([]string, block-1)
		for i := range addrs {
			if _, err := fmt.Fscan(out, &addrs[i]); err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[addrs[i]]; ok {
				t.Fatalf("processes %d and %d were given %s", other, n, addrs[i])
			}
			seen[addrs[i]] = n
		}
	}
}

func TestAddrs(t *testing.T) {
	if addrs, err := Addrs(block); err == nil {
		t.Errorf("more than there are: %q", addrs)
	}
	addrs, err := Addrs(8)
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	rest, err := Addrs(block - 2)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(rest, addrs[0]) {
		t.Errorf("%s is given while somebody listens there", addrs[0])
	}
	slices.Sort(rest)
	if len(slices.Compact(rest)) != block-2 {
		t.Errorf("got %q", rest)
	}
}
