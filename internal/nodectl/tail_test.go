package nodectl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/node"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// startTrio is a mesh of three nodes that log; the commands ask the first.
func startTrio(t *testing.T) (m *mesh, stop []func()) {
	t.Helper()
	ports := freePorts(t, 6)
	m = &mesh{names: ports[:3], admins: ports[3:]}
	for i, name := range m.names {
		config, _, err := node.LoadConfig(settings.Input{Args: []string{
			"--insecure-plain-text", "--log-level=info", "--drain-timeout=1h",
			"--name=" + name, "--admin-addr=" + m.admins[i], "--peers=" + strings.Join(m.names, ","),
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			node.Run(ctx, config, func() (node.Config, error) { return config, nil }, nil, io.Discard)
		}()
		end := func() { cancel(); <-done }
		t.Cleanup(end)
		stop = append(stop, end)
	}
	for i := range m.admins {
		one := &mesh{admins: m.admins[i:]}
		one.until(t, exitDone, "status")
	}
	return m, stop
}

// tailing is a tail that is followed.
type tailing struct {
	t      *testing.T
	cancel context.CancelFunc
	status chan int

	mu     sync.Mutex // protects what follows
	lines  []string
	stderr bytes.Buffer
}

func (f *tailing) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stderr.Write(p)
}

type lineWriter struct{ f *tailing }

func (w lineWriter) Write(p []byte) (int, error) { // the command writes whole lines
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.f.lines = append(w.f.lines, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func (m *mesh) follow(t *testing.T, args ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &tailing{t: t, cancel: cancel, status: make(chan int, 1)}
	go func() {
		f.status <- Main(ctx, args[0], args[1:], IO{Stdin: strings.NewReader(""), Stdout: lineWriter{f}, Stderr: f, Environ: []string{"GRID_ADMIN_ADDR=" + m.admins[0]}})
	}()
	t.Cleanup(cancel)
	return f
}

// wait waits until a line, or standard error, matches.
func (f *tailing) wait(pattern string) string {
	f.t.Helper()
	is := regexp.MustCompile(pattern)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		f.mu.Lock()
		for _, line := range append(strings.Split(f.stderr.String(), "\n"), f.lines...) {
			if is.MatchString(line) {
				f.mu.Unlock()
				return line
			}
		}
		text := strings.Join(f.lines, "\n") + f.stderr.String()
		f.mu.Unlock()
		select {
		case <-tick.C:
		case got := <-f.status:
			f.t.Fatalf("it has ended with %d: %s", got, text)
		case <-deadline.C:
			f.t.Fatalf("nothing matches %s in:\n%s", pattern, text)
		}
	}
}

// interrupt is Ctrl-C: the command ends at once, and well.
func (f *tailing) interrupt(stderr string) {
	f.t.Helper()
	f.cancel()
	select {
	case got := <-f.status:
		if got != exitDone || !regexp.MustCompile(`(?s)^`+stderr+`$`).MatchString(f.stderr.String()) {
			f.t.Errorf("status %d, %s", got, &f.stderr)
		}
	case <-time.After(patience):
		f.t.Fatal("it runs on")
	}
}

func TestTails(t *testing.T) {
	m, _ := startTrio(t)
	first, other := regexp.QuoteMeta(m.names[0]), regexp.QuoteMeta(m.names[1])
	text := "--output=text"
	line := func(name, rest string) string { return name + ` \d{4}-[^\n]*Z ` + rest + `\n` }
	for _, tt := range []struct {
		name string
		args []string
		want want
	}{
		{"of the node asked", []string{"log", "tail", "-n=1", "--match=node started", text}, want{exitDone, line(first, `INFO  node started [^\n]*`), ``}},
		{"of another one", []string{"log", "tail", m.names[1], "--match=node started", text}, want{exitDone, line(other, `INFO  node started [^\n]*`), ``}},
		{"of all", []string{"log", "tail", "--mesh", "--match=node started", text}, want{exitDone, `(` + `[^\n]* INFO  node started [^\n]*\n` + `){3}`, ``}},
		{"of two, one named twice", []string{"log", "tail", m.names[0], m.names[1], m.names[0], "--match=node started", text}, want{exitDone, `([^\n]* INFO  node started [^\n]*\n){2}`, ``}},
		{"an attribute", []string{"log", "tail", "--attr=peer=" + m.names[1][:9] + "*", "--match=link is up", "-n=1", text}, want{exitDone, line(first, `INFO  link is up [^\n]*`), ``}},
		{"json", []string{"log", "tail", "--match=node started"}, want{exitDone, `\{"time":"[^\n]*"msg":"node started"[^\n]*"node":"` + first + `"[^\n]*\}\n`, ``}},
		{"no more than asked for", []string{"log", "tail", "-n", "0"}, want{exitDone, ``, ``}},
		{"a level", []string{"log", "tail", "--level=error"}, want{exitDone, ``, ``}},
		{"audit, which is off", []string{"audit", "tail"}, want{exitDone, ``, `node audit: no record to show; .* --follow\n`}},

		{"of nobody", []string{"log", "tail", "nobody:1"}, want{exitNotSent, ``, `node log: there is no peer "nobody:1"\nHint: the peer list has: .*`}},
		{"of nobody and somebody", []string{"log", "tail", "nobody:1", m.names[1], "--match=node started", text}, want{
			exitNotSent, `[^\n]* node started [^\n]*\n`, `node nobody:1: there is no peer "nobody:1"\nnode log: 1 of 2 nodes' tails ended with an error, see above\n`,
		}},
		{"nothing", []string{"log"}, want{exitUsage, ``, `node log: 0 arguments where "tail \[PEER...\]" belong\n.*`}},
		{"something else", []string{"audit", "head"}, want{exitUsage, ``, `node audit: "head" where "tail" belongs\n.*`}},
		{"all and one", []string{"log", "tail", "--mesh", m.names[1]}, want{exitUsage, ``, `node log: --mesh is all nodes; .*`}},
		{"too many", []string{"log", "tail", "-n", "1001"}, want{exitUsage, ``, `.*allowed: a whole number from 0 to 1000.*`}},
		{"a filter of the other's", []string{"audit", "tail", "--level=warn"}, want{exitUsage, ``, `.*--level.*`}},
		{"an attribute without a value", []string{"log", "tail", "--attr=peer="}, want{exitFailed, ``, `node log: .*attrs: "": it has 1 to 256 bytes.*`}},
	} {
		t.Run(tt.name, func(t *testing.T) { m.run(t, "", tt.args...).check(t, tt.want) })
	}
}

// TestTailsOfOtherReleases: a member that serves no tails is told of, and the
// tails of the others are no failure for it; one that is asked alone is.
func TestTailsOfOtherReleases(t *testing.T) {
	m, _ := startTrio(t)
	bare := freePorts(t, 1)[0]
	manager, err := grid.NewManager(t.Context(), grid.Options{Local: bare, Grid: "default", InsecurePlainText: true})
	if err != nil {
		t.Fatal(err)
	}
	all := append([]string{bare}, m.names...)
	server := manager.NewServer()
	server.Addr = bare
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	t.Cleanup(func() {
		_ = manager.Close()
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	if err := manager.SetPeers(all); err != nil {
		t.Fatal(err)
	}
	for _, admin := range m.admins {
		one := &mesh{admins: []string{admin}}
		one.run(t, strings.Join(all, "\n")+"\n", "peers", "set", "-").check(t, want{exitDone, `(?s).*`, ``})
	}
	m.until(t, exitDone, "status")
	const said = `node %s: it shows no tails: .*\n`
	three := `([^\n]* node started [^\n]*\n){3}`
	m.run(t, "", "log", "tail", "--mesh", "--match=node started", "--output=text").check(t, want{exitDone, three, fmt.Sprintf(said, bare)})
	m.run(t, "", "audit", "tail", "--mesh").check(t, want{exitDone, ``, fmt.Sprintf(said, bare) + `node audit: no record to show; .*\n`})
	m.run(t, "", "log", "tail", bare).check(t, want{exitFailed, ``, `node log: it shows no tails: .*`})
	m.run(t, "", "log", "tail", "nobody:1", bare).check(t, want{exitNotSent, ``, `(node [^\n]*\n){2}node log: 1 of 2 nodes' tails ended with an error, see above\n`})
}

// callUntilSeen calls echo at the second node until a tail has shown something.
// Records are made from when a tail runs, of which nobody tells.
func (m *mesh) callUntilSeen(t *testing.T, f *tailing) {
	t.Helper()
	for range 1000 {
		m.run(t, "x", "call", m.names[1], "echo", "--timeout=10s").check(t, want{exitDone, `x`, ``})
		f.mu.Lock()
		seen := len(f.lines) > 0
		f.mu.Unlock()
		if seen {
			return
		}
	}
	t.Fatal("nothing is seen of a thousand calls")
}

// TestFollowAudit: calls are seen as they end, at another node, and Ctrl-C ends
// the tail there, too.
func TestFollowAudit(t *testing.T) {
	m, _ := startTrio(t)
	other := m.follow(t, "audit", "tail", "-f", m.names[1])
	m.callUntilSeen(t, other)
	f := m.follow(t, "audit", "tail", "-f", m.names[1], "--handler=ec*", "--output=text")
	m.callUntilSeen(t, f)
	f.wait(`^` + regexp.QuoteMeta(m.names[1]) + ` \S+Z call peer=` + regexp.QuoteMeta(m.names[0]) +
		` handler=echo direction=in result=ok request_bytes=1 reply_bytes=1 duration_ns=\d+$`)
	f.interrupt("")
	line := other.wait(`"event":"stream".*"handler":"audit.tail"`)
	var record struct {
		Result    string `json:"result"`
		Direction string `json:"direction"`
		Sent      int    `json:"sent"`
	}
	if err := json.Unmarshal([]byte(line), &record); err != nil || record.Result != "canceled" || record.Direction != "in" || record.Sent == 0 {
		t.Errorf("%s: %v", line, err)
	}
	other.interrupt("")
}

// TestNodeGoesAwayFromATail: the others' go on, and no tail keeps a node that
// leaves from leaving, neither one that it serves nor one that it reads.
func TestNodeGoesAwayFromATail(t *testing.T) {
	m, stop := startTrio(t)
	f := m.follow(t, "log", "tail", "--mesh", "-f", "-n=1000", "--output=text")
	for _, name := range m.names {
		f.wait(`^` + regexp.QuoteMeta(name) + ` .* node started `)
	}
	stop[2]() // whose drain has an hour, and does not take it
	gone := regexp.QuoteMeta(m.names[2])
	f.wait(`^node ` + gone + `: .*shutting down.*`)
	f.wait(`^` + regexp.QuoteMeta(m.names[1]) + ` .* link is down .*peer=` + gone)
	stop[0]() // the one that reads
	select {
	case got := <-f.status:
		if got == exitDone || !strings.Contains(f.stderr.String(), "3 of 3 nodes' tails ended with an error") {
			t.Errorf("status %d, %s", got, &f.stderr)
		}
	case <-time.After(patience):
		t.Fatal("the command runs on")
	}
}

// TestInterruptedInAStream: a stream of which both sides have nothing to say ends
// by Ctrl-C all the same.
func TestInterruptedInAStream(t *testing.T) {
	m, _ := startTrio(t)
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	f := &tailing{t: t, cancel: cancel, status: make(chan int, 1)}
	go func() {
		f.status <- Main(ctx, "stream", []string{m.names[1], "log.tail", `--payload={"past":1,"follow":true}`},
			IO{Stdin: in, Stdout: lineWriter{f}, Stderr: f, Environ: []string{"GRID_ADMIN_ADDR=" + m.admins[0]}})
	}()
	f.wait(`"msg":`)
	cancel()
	select {
	case got := <-f.status:
		if got != exitMaybe || !strings.Contains(f.stderr.String(), "given up before the stream ended") {
			t.Errorf("status %d, %s", got, &f.stderr)
		}
	case <-time.After(patience):
		t.Fatal("it runs on")
	}
}

// TestSlowTerminal: a command that is not read loses entries, says how many, and
// the node's link does not count as congested.
func TestSlowTerminal(t *testing.T) {
	m, _ := startTrio(t)
	read, written := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() {
		defer func() { _ = written.Close() }()
		status <- Main(ctx, "audit", []string{"tail", "-f", m.names[1], "--event=call"}, IO{
			Stdin: strings.NewReader(""), Stdout: written, Stderr: io.Discard, Environ: []string{"GRID_ADMIN_ADDR=" + m.admins[0]},
		})
	}()
	began := make(chan struct{})
	go func() {
		one := make([]byte, 1)
		_, _ = io.ReadFull(read, one) // the tail runs: now its terminal stands still
		close(began)
	}()
	for waiting := true; waiting; {
		m.run(t, "x", "call", m.names[1], "echo")
		select {
		case <-began:
			waiting = false
		default:
		}
	}
	for calls := uint64(0); calls < 4*target.RingEntries; { // more than are kept for it and on their way to it
		var made adminapi.BenchResult
		if err := json.Unmarshal([]byte(m.run(t, "", "bench", m.names[1], "--for=100ms", "--callers=8", "--json").stdout), &made); err != nil {
			t.Fatal(err)
		}
		calls += made.Calls
	}
	got := m.run(t, "", "status", "--json")
	if strings.Contains(got.stdout, `"congested":true`) || strings.Contains(got.stdout, `"streams_waiting":1`) {
		t.Errorf("the link is congested: %s", got.stdout)
	}
	missed := make(chan string, 1)
	go func() {
		d := json.NewDecoder(io.MultiReader(strings.NewReader("{"), read))
		for {
			var note adminapi.TailNote
			if err := d.Decode(&note); err != nil {
				missed <- err.Error()
				return
			}
			if note.Tail.Missed > 0 {
				missed <- strconv.FormatUint(note.Tail.Missed, 10)
				_, _ = io.Copy(io.Discard, read)
				return
			}
		}
	}()
	select {
	case text := <-missed:
		if !regexp.MustCompile(`^\d+$`).MatchString(text) {
			t.Errorf("missed: %s", text)
		}
	case <-time.After(patience):
		t.Error("nothing was missed")
	}
	cancel()
	if got := <-status; got != exitDone {
		t.Errorf("status %d", got)
	}
}
