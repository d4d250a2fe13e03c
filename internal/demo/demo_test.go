package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// childVariable makes the test binary be the driver.
const childVariable = "DEMO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// driver is a run of the demo in a process of its own.
type driver struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string // its folder for temporary files
	out    *bufio.Scanner
	stderr bytes.Buffer
	lines  []string
	pages  []string // addresses of the status pages that it printed
}

func drive(t *testing.T, args ...string) *driver {
	t.Helper()
	d := &driver{t: t, dir: t.TempDir()}
	d.cmd = exec.Command(os.Args[0], args...)
	d.cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+d.dir, "GRID_NAME=not-for-the-nodes")
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewScanner(out)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait() // it may have been waited for
	})
	return d
}

var page = regexp.MustCompile(`status page of \S+: http://([^/]+)/statusz`)

// read reads lines until one contains text, or all of them.
func (d *driver) read(text string) {
	d.t.Helper()
	for d.out.Scan() {
		d.lines = append(d.lines, d.out.Text())
		if m := page.FindStringSubmatch(d.out.Text()); m != nil {
			d.pages = append(d.pages, m[1])
		}
		if text != "" && strings.Contains(d.out.Text(), text) {
			return
		}
	}
	if text != "" {
		_ = d.cmd.Wait() // for its last words
		d.t.Fatalf("it never said %q:\n%s\n%s", text, strings.Join(d.lines, "\n"), &d.stderr)
	}
}

// leavesNothing checks that no node and no file is left, and gives the exit status.
func (d *driver) leavesNothing() int {
	d.t.Helper()
	d.read("")
	_ = d.cmd.Wait() // ProcessState says it
	for _, addr := range d.pages {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			d.t.Errorf("a node is left at %s", addr)
		}
	}
	left, err := filepath.Glob(filepath.Join(d.dir, "*"))
	if err != nil || len(left) > 0 {
		d.t.Errorf("files are left: %q, %v", left, err)
	}
	return d.cmd.ProcessState.ExitCode()
}

func TestDemo(t *testing.T) {
	d := drive(t, "-for", "1s")
	if status := d.leavesNothing(); status != 0 {
		t.Errorf("exit status %d:\n%s\n%s", status, strings.Join(d.lines, "\n"), &d.stderr)
	}
	var r result
	decoder := json.NewDecoder(strings.NewReader(d.lines[len(d.lines)-1]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if !r.well() || r.Nodes != 4 || r.LinksUp != 12 || r.StreamBytes < 2*fileBytes {
		t.Errorf("the result is %+v", r)
	}
	if len(d.pages) != 4 {
		t.Errorf("%d status pages were printed", len(d.pages))
	}
}

// TestBuildKeepsToItsFolder: go leaves the folder that it works in where it is
// when it is interrupted just after having made it.
func TestBuildKeepsToItsFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", outside)
	ctx, cancel := context.WithCancel(t.Context())
	begun := func() bool {
		made, err := filepath.Glob(filepath.Join(dir, "go-build*"))
		left, also := filepath.Glob(filepath.Join(outside, "*"))
		return len(made)+len(left) > 0 || errors.Join(err, also) != nil
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil && !begun() {
			runtime.Gosched()
		}
		cancel()
	})
	_, err := build(ctx, dir)
	cancel()
	watch.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(outside, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %q, %v", left, err)
	}
}

// Whatever ends it, and when: nothing is left.
func TestInterrupted(t *testing.T) {
	const shown = "runs on until Ctrl-C"
	for _, tt := range []struct {
		name, at string
		signal   os.Signal
	}{
		{"Ctrl-C while it shows", "asked all nodes", os.Interrupt},
		{"SIGTERM while it builds", "building", syscall.SIGTERM},
		{"Ctrl-C when all was shown", shown, os.Interrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := drive(t)
			d.read(tt.at)
			if err := d.cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			status, want := d.leavesNothing(), 130
			if strings.Contains(strings.Join(d.lines, "\n"), shown) { // which it may come to before the signal does
				want = 0
			}
			if status != want {
				t.Errorf("exit status %d, want %d: %s", status, want, &d.stderr)
			}
			if last := d.lines[len(d.lines)-1]; strings.HasPrefix(last, "{") != (want == 0) {
				t.Errorf("the last line is %s", last)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-for", "soon"}, {"-for", "-1s"}, {"more"}, {"-nope"}} {
		var stdout, stderr bytes.Buffer
		if status := run(args, &stdout, &stderr); status != 2 || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %s, %s", args, status, &stdout, &stderr)
		}
	}
}

func TestWell(t *testing.T) {
	good := result{Nodes: 4, LinksUp: 12, LinksExpected: 12, Calls: 1, StreamBytes: 1, DigestOK: true, ReconnectMillis: 1, AddedNodeMillis: 1, AuditRecords: 1}
	if !good.well() {
		t.Error("a good result is not well")
	}
	for name, spoil := range map[string]func(*result){
		"a link down":       func(r *result) { r.LinksUp-- },
		"a node missing":    func(r *result) { r.LinksUp, r.LinksExpected = 6, 6 },
		"no calls":          func(r *result) { r.Calls = 0 },
		"an error":          func(r *result) { r.ErrorsUnexpected = 1 },
		"no stream":         func(r *result) { r.StreamBytes = 0 },
		"a wrong digest":    func(r *result) { r.DigestOK = false },
		"never came back":   func(r *result) { r.ReconnectMillis = 0 },
		"never was added":   func(r *result) { r.AddedNodeMillis = 0 },
		"nothing audited":   func(r *result) { r.AuditRecords = 0 },
		"audit lost":        func(r *result) { r.AuditDropped = 1 },
		"a link too many":   func(r *result) { r.LinksUp++ },
		"no links expected": func(r *result) { r.LinksUp, r.LinksExpected, r.Nodes = 0, 0, 4 },
	} {
		r := good
		if spoil(&r); r.well() {
			t.Errorf("%s is well", name)
		}
	}
}

// An error counts unless a node was dead at some time of the call.
func TestWhichErrorsCount(t *testing.T) {
	fails := errors.New("failed")
	for _, tt := range []struct {
		name   string
		alive  [2]bool
		during func(nodes []*node) // what happens while the call runs
		err    error
		calls  uint64
		wrong  uint64
	}{
		{"answered", [2]bool{true, true}, nil, nil, 1, 0},
		{"failed", [2]bool{true, true}, nil, fails, 0, 1},
		{"one is dead before", [2]bool{true, false}, nil, fails, 0, 0},
		{"one dies meanwhile", [2]bool{true, true}, func(nodes []*node) { nodes[1].turn() }, fails, 0, 0},
		{"one dies and comes back meanwhile", [2]bool{true, true}, func(nodes []*node) { nodes[0].turn(); nodes[0].turn() }, fails, 0, 0},
		{"another one dies meanwhile", [2]bool{true, true}, func([]*node) {}, fails, 0, 1},
		{"answered though one dies", [2]bool{true, true}, func(nodes []*node) { nodes[1].turn() }, nil, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := []*node{{name: "a"}, {name: "b"}}
			for i, alive := range tt.alive {
				if alive {
					nodes[i].turn()
				}
			}
			var traffic traffic
			traffic.judge(t.Context(), nodes, func(context.Context) error {
				if tt.during != nil {
					tt.during(nodes)
				}
				return tt.err
			})
			if traffic.calls.Load() != tt.calls || traffic.wrong.Load() != tt.wrong || len(traffic.faults()) != int(tt.wrong) {
				t.Errorf("%d calls, %d errors", traffic.calls.Load(), traffic.wrong.Load())
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var traffic traffic
	traffic.judge(ctx, nil, func(context.Context) error { cancel(); return fails })
	if traffic.wrong.Load() != 0 {
		t.Error("a call that was given up counts as an error")
	}
}

// A stream that did not end well has no digest, whatever came before.
func TestStreamNeedsItsEnd(t *testing.T) {
	outcome := adminapi.OutcomeAnswered
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", adminapi.HeaderOutcome)
		_, _ = io.WriteString(w, "sum")
		w.Header().Set(adminapi.HeaderOutcome, outcome)
	}))
	defer server.Close()
	a := newAdmin()
	defer a.close()
	addr := strings.TrimPrefix(server.URL, "http://")
	if got, err := a.stream(t.Context(), addr, "b:1", "digest", strings.NewReader("x")); err != nil || string(got) != "sum" {
		t.Errorf("%q, %v", got, err)
	}
	outcome = adminapi.OutcomeMaybe
	if got, err := a.stream(t.Context(), addr, "b:1", "digest", strings.NewReader("x")); err == nil {
		t.Errorf("a cut stream gave %q", got)
	}
}

func TestCleanEnviron(t *testing.T) {
	got := cleanEnviron([]string{"PATH=/bin", "GRID_NAME=a:1", "GRIDLOCK=1", "HOME=/", "GRID_CONFIG=x"})
	if !slices.Equal(got, []string{"PATH=/bin", "GRIDLOCK=1", "HOME=/"}) {
		t.Errorf("got %q", got)
	}
}

func TestScreen(t *testing.T) {
	lines := []line{
		{name: "a:1", pid: 7, state: "ready", links: adminapi.Links{Up: 1, Expected: 1}, perSecond: 100, p50: time.Millisecond, p99: 2 * time.Millisecond, queueOf: 4 << 20, streams: 2},
		{name: "b:1", state: "dead", links: adminapi.Links{Expected: 1}, p99: 5 * time.Millisecond, queue: 2048, queueOf: 4 << 20, streams: 3, waiting: 1, wait: 1500 * time.Millisecond},
	}
	var plain bytes.Buffer
	s := newScreen(&plain)
	s.sayf("%d nodes", 2)
	s.draw(lines)
	want := regexp.MustCompile(`^ +\d+\.\ds  2 nodes\n +\d+\.\ds  links 1/2, 100 calls/s, p50 1ms, p99 5ms, queue 2KiB of 8MiB, credit: 1 of 5 streams wait, 1\.5s\n$`)
	if !want.MatchString(plain.String()) {
		t.Errorf("not on a terminal:\n%s", &plain)
	}

	// On a terminal the table is drawn again in its place, and lines that stay go above it.
	var terminal bytes.Buffer
	s = newScreen(&terminal)
	s.live = true
	s.draw(lines)
	height := strings.Count(terminal.String(), "\n")
	for _, want := range []string{"links", "calls/s", "p50", "p99", "queue", "credit", "a:1", "dead", "1 of 3 streams wait, 1.5s", "0B of 4MiB"} {
		if !strings.Contains(terminal.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, &terminal)
		}
	}
	if height != len(lines)+2 {
		t.Errorf("the table has %d lines", height)
	}
	terminal.Reset()
	s.sayf("news")
	if !strings.HasPrefix(terminal.String(), "\x1b[4A\x1b[J") || !strings.HasSuffix(terminal.String(), "news\n") {
		t.Errorf("a line that stays: %q", &terminal)
	}
	terminal.Reset()
	s.sayf("more")
	if strings.Contains(terminal.String(), "\x1b") {
		t.Errorf("nothing was to be wiped: %q", &terminal)
	}
}
