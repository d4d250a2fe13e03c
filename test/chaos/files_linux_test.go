package chaos

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

func init() { //nolint:gochecknoinits // the table of commands is one of the tests' own
	// limit bounds the open files of the process.
	commands["limit"] = func(_ *childNode, args []string) string {
		files, _ := strconv.ParseUint(args[0], 10, 32)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
			return err.Error()
		}
		return "limited"
	}
	// starve opens files until there are no more to be had, feed closes them.
	commands["starve"] = func(n *childNode, _ []string) string {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return fmt.Sprint("starved ", err)
			}
			n.held = append(n.held, f)
		}
	}
	commands["feed"] = func(n *childNode, _ []string) string {
		for _, f := range n.held {
			_ = f.Close()
		}
		n.held = nil
		return "fed"
	}
	// cpu is how many milliseconds of it the process has used.
	commands["cpu"] = func(*childNode, []string) string {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return err.Error()
		}
		return strconv.FormatInt((used.Utime.Nano()+used.Stime.Nano())/1e6, 10)
	}
}

func (p *process) cpu() time.Duration {
	p.t.Helper()
	ms, err := strconv.Atoi(p.do("cpu"))
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(ms) * time.Millisecond
}

// numbered gives a listener whose node dials, or is dialled by, the node of
// that name: of names that differ in one number, parity decides (protocol, 2).
func numbered(t *testing.T, name string, dials bool) (*net.TCPListener, string) {
	t.Helper()
	_, other, _ := strings.Cut(name, ":")
	theirs, _ := strconv.Atoi(other)
	for {
		ln, own := port(t)
		ours := ln.Addr().(*net.TCPAddr).Port
		if odd := (ours^theirs)&1 == 1; (ours < theirs) == odd == dials {
			return ln, own
		}
	}
}

// serve runs a node in this process.
func serve(t *testing.T, ln net.Listener, peers ...string) *grid.Manager {
	t.Helper()
	m, err := grid.NewManager(t.Context(), grid.Options{
		Local: ln.Addr().String(), Peers: peers, InsecurePlainText: true, Limits: grid.Limits{BackoffCap: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := register(m); err != nil {
		t.Fatal(err)
	}
	srv := m.NewServer()
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = m.Close()
		_ = srv.Close()
	})
	return m
}

// A node that is out of file descriptors goes on with the links it has; what
// needs another one fails, known not to have been sent, and nothing spins; when
// there are descriptors again, it dials and accepts (fault row 16).
func TestOutOfFiles(t *testing.T) {
	ln, name := port(t)
	first, linked := numbered(t, name, false)
	second, dialled := numbered(t, name, false)
	third, dials := numbered(t, name, true)
	serve(t, first, name)
	child := spawn(t, ln, name, linked)
	child.want("linked", "wait", linked)
	child.want("limited", "limit", 64)
	child.want("starved", "starve")
	if got := child.do("starve"); !strings.Contains(got, "too many open files") {
		t.Fatalf("starving ended with %q", got)
	}

	// One more to dial, one that dials, and a stranger.
	child.want("changed", "peers", linked, dialled, dials)
	serve(t, second, name)
	comes := serve(t, third, name)
	stranger, err := net.Dial("tcp", name) // the kernel accepts it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	if _, err := stranger.Write([]byte("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	began, used := time.Now(), child.cpu()
	until(t, "the end of the time", func() bool { return time.Since(began) > 3*time.Second })
	share := (child.cpu() - used).Seconds() / time.Since(began).Seconds()
	if share > 0.05 && !raceDetector {
		t.Errorf("%.0f %% of a core are used for nothing", 100*share)
	}
	child.want(grid.Answered.String(), "call", linked, 60)
	child.want(grid.NotSent.String(), "call", dialled, 10)
	child.want(grid.NotSent.String(), "call", dials, 10)
	if state := comes.Connection(name).State(); state == grid.StateLinked {
		t.Error("it accepts, without a descriptor for that")
	}

	began = time.Now()
	child.want("fed", "feed")
	answer := make([]byte, 12)
	_ = stranger.SetReadDeadline(began.Add(patience))
	if _, err := io.ReadFull(stranger, answer); err != nil || string(answer) != "HTTP/1.1 404" {
		t.Errorf("the stranger has waited for %v, and got %q, %v", time.Since(began), answer, err)
	}
	accepted := time.Since(began)
	child.want("linked", "wait", dialled)
	child.want("linked", "wait", dials)
	t.Logf("%.1f %% of a core; accepts after %v, linked after %v", 100*share, accepted, time.Since(began))
	child.want(grid.Answered.String(), "call", dialled, 60)
	child.want(grid.Answered.String(), "call", dials, 60)
}
