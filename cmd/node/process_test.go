package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/freeport"
)

// childVariable has this test's program be the node program.
const childVariable = "GRIDMESH_TEST_NODE_PROGRAM"

// hang ends what will not come; a slow machine is not judged by it.
const hang = time.Minute

func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	return cmd
}

// TestTailOfAProcess: node log tail shows what a node logs as it does, and
// Ctrl-C is a good end of it, whether or not anything comes.
func TestTailOfAProcess(t *testing.T) {
	ports, err := freeport.Addrs(2)
	if err != nil {
		t.Fatal(err)
	}
	node := child(t, "--name="+ports[0], "--peers="+ports[0], "--admin-addr="+ports[1], "--insecure-plain-text")
	said, err := node.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "node started") {
		continue
	}

	tail := child(t, "log", "tail", "-f", "--match=reloading,targets", "--output=text", "--admin-addr="+ports[1])
	shown, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	tail.Stderr = &stderr
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(hang, func() { _ = tail.Process.Kill() })
	defer timer.Stop()
	if err := node.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(shown).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, ports[0]+" 2") || !strings.Contains(line, " INFO  ") || !strings.Contains(line, "reloading") {
		t.Errorf("%q, %v, %s", line, err, &stderr)
	}
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("the tail ended with %v, %s", err, &stderr)
	}
	if err := node.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		continue
	}
	if err := node.Wait(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
}
