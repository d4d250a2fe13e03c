package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// childEnv makes the test binary a node of its own process: its name and those
// of its peers.
const childEnv = "GRIDMESH_CHAOS_NODE"

// patience is for what would otherwise hang, and judges nothing.
const patience = time.Minute

// commands are what a node in a process of its own understands, a line each on
// its standard input; each answers with a line.
var commands = map[string]func(n *childNode, args []string) string{
	"wait": func(n *childNode, args []string) string { // for a link
		if err := n.Connection(args[0]).Wait(context.Background()); err != nil {
			return err.Error()
		}
		return "linked"
	},
	"peers": func(n *childNode, args []string) string { // are its peers from now on
		if err := n.SetPeers(args); err != nil {
			return err.Error()
		}
		return "changed"
	},
	"call": func(n *childNode, args []string) string { // with so many seconds of time
		seconds, _ := strconv.Atoi(args[1])
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
		defer cancel()
		began := time.Now()
		_, err := n.Connection(args[0]).Request(ctx, "echo", []byte("hello"))
		return fmt.Sprint(grid.OutcomeOf(err), " ", time.Since(began).Milliseconds(), " ", err)
	},
}

// childNode is a node that does what its standard input says.
type childNode struct {
	*grid.Manager
	load *load
	held []io.Closer
}

// runChild is the process of a node, which takes over a listener.
func runChild(spec []string) error {
	ln, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	m, err := grid.NewManager(context.Background(), grid.Options{
		Local: spec[0], Peers: spec, InsecurePlainText: true, DefaultTimeout: -1,
		Limits: grid.Limits{BackoffCap: time.Second},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if err := errors.Join(register(m), m.RegisterStream("drain", grid.StreamHandler{InCapacity: 16, Serve: func(_ context.Context, s *grid.HandlerStream) error {
		for _, err := range s.All() {
			if err != nil {
				return err
			}
		}
		return nil
	}})); err != nil {
		return err
	}
	go func() { _ = m.NewServer().Serve(ln) }()
	n := &childNode{Manager: m}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		fmt.Fprintln(os.Stdout, commands[words[0]](n, words[1:]))
	}
	return nil
}

// process is a child, seen from the test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Scanner
}

// port gives a listener for a node, and its name.
func port(t *testing.T) (*net.TCPListener, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.(*net.TCPListener), ln.Addr().String()
}

// spawn starts a node in a process of its own.
func spawn(t *testing.T, ln *net.TCPListener, name string, peers ...string) *process {
	t.Helper()
	file, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	p := &process{t: t, name: name, cmd: exec.Command(os.Args[0])}
	// With little garbage, memory is what is in use.
	p.cmd.Env = append(os.Environ(), "GOGC=20", childEnv+"="+strings.Join(append([]string{name}, peers...), " "))
	p.cmd.ExtraFiles = []*os.File{file}
	log := &strings.Builder{}
	p.cmd.Stderr = log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%.5000s", name, log)
		}
	})
	return p
}

// do has the process do a command, and gives its answer.
func (p *process) do(words ...any) string {
	p.t.Helper()
	hang := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer hang.Stop()
	if _, err := fmt.Fprintln(p.in, words...); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("%s ended, or hung for %v, at %v", p.name, patience, words)
	}
	return p.out.Text()
}

// want is do with the beginning of the answer.
func (p *process) want(answer string, words ...any) {
	p.t.Helper()
	if got := p.do(words...); !strings.HasPrefix(got, answer) {
		p.t.Fatalf("%s answers %v with %q, expected is %q", p.name, words, got, answer)
	}
}

// until waits for a condition outside of this process.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
