package node

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// child is a node in a process of its own.
type child struct {
	*running
	cmd *exec.Cmd
}

// spawn runs a node as a process. It is killed at the end of the test at the latest.
func spawn(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{running: &running{t: t, log: &logBuffer{}, done: make(chan struct{})}}
	c.cmd = exec.Command(os.Args[0], append([]string{"--insecure-plain-text", "--log-format=json"}, args...)...)
	c.cmd.Env = append(os.Environ(), childVariable+"=1")
	c.cmd.Stderr = c.log
	for _, arg := range args {
		if addr, ok := strings.CutPrefix(arg, "--admin-addr="); ok {
			c.addr = addr
		}
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // ProcessState says it
		c.status = c.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Logf("log of %v:\n%s", args, c.log)
		}
	})
	return c
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits for the end of the process.
func (c *child) exit() int {
	c.t.Helper()
	select {
	case <-c.done:
		return c.status
	case <-time.After(patience):
		c.t.Fatalf("runs on for %v", patience)
		return -1
	}
}

// couple spawns two linked processes.
func couple(t *testing.T, args ...string) (a, b *child, names []string) {
	t.Helper()
	ports := freePorts(t, 4)
	names = ports[:2]
	both := append([]string{"--peers=" + strings.Join(names, ",")}, args...)
	a = spawn(t, append(both, "--name="+names[0], "--admin-addr="+ports[2])...)
	b = spawn(t, append(both, "--name="+names[1], "--admin-addr="+ports[3])...)
	for _, c := range []*child{a, b} {
		c.waitUp()
	}
	return a, b, names
}

// digestStream is a stream to the handler digest through a's admin port.
type digestStream struct {
	body   *io.PipeWriter
	result chan answered
}

func openDigest(t *testing.T, through *child, peer string) *digestStream {
	t.Helper()
	in, out := io.Pipe()
	s := &digestStream{body: out, result: make(chan answered, 1)}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+through.addr+stream(peer, "digest")+"?framing=raw", in)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer func() { _ = response.Body.Close() }()
		raw, err := io.ReadAll(response.Body)
		if err != nil {
			raw = []byte(err.Error())
		}
		s.result <- answered{response.StatusCode, response.Header, response.Trailer, string(raw)}
	}()
	return s
}

func (s *digestStream) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(s.body, text); err != nil {
		t.Fatal(err)
	}
}

// waitStream waits until a stream has come here, and is no longer one that may
// cross what happens next.
func (c *child) waitStream() {
	c.t.Helper()
	eventually(c.t, "the stream to come", func() bool {
		var status adminapi.Status
		if err := json.Unmarshal([]byte(c.get("/statusz").body), &status); err != nil {
			c.t.Fatal(err)
		}
		return status.Peers[0].StreamsOpen > 0
	})
}

// SIGTERM while streams run, on either side: not ready at once, no new calls,
// the streams run to their clean end, and the node ends with 0 (faults 71, 73).
func TestTermDuringStreams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		victim func(a, b *child) (leaves, stays *child)
	}{
		{"the node that serves the stream", func(a, b *child) (*child, *child) { return b, a }},
		{"the node that made the stream", func(a, b *child) (*child, *child) { return a, b }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, names := couple(t)
			leaves, stays := tt.victim(a, b)
			leaver := names[0]
			if leaves == b {
				leaver = names[1]
			}
			s := openDigest(t, a, names[1])
			s.send(t, "before ")
			b.waitStream()
			leaves.signal(syscall.SIGTERM)
			eventually(t, "the node to say that it is draining", func() bool {
				got := leaves.get("/readyz")
				return got.status == http.StatusServiceUnavailable && strings.Contains(got.body, "draining")
			})
			if got := leaves.get("/livez"); got.status != http.StatusOK {
				t.Errorf("while it drains, it is not alive: %d", got.status)
			}
			eventually(t, "new calls to be refused", func() bool {
				got := stays.send("POST", call(leaver, "echo"), nil, "x")
				if got.status == http.StatusOK {
					return false // it crossed the drain
				}
				if outcome := got.header.Get(adminapi.HeaderOutcome); outcome != adminapi.OutcomeNotSent {
					t.Errorf("a call during the drain: %s", outcome)
				}
				return true
			})
			s.send(t, "and after")
			_ = s.body.Close()
			got := <-s.result
			if got.body != sha("before and after") || got.trailer.Get(adminapi.HeaderOutcome) != adminapi.OutcomeAnswered {
				t.Errorf("the stream ended with %q, %v", got.body, got.trailer)
			}
			if status := leaves.exit(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			if !strings.Contains(leaves.log.String(), `"msg":"drained"`) {
				t.Error("not a word of having drained")
			}
			var reasons []string
			eventually(t, "the other side to see the link end", func() bool {
				reasons = reasons[:0]
				for line := range strings.Lines(stays.log.String()) {
					if strings.Contains(line, `"link is down"`) {
						reasons = append(reasons, line)
					}
				}
				return len(reasons) > 0
			})
			if len(reasons) != 1 || !strings.Contains(reasons[0], "drained") {
				t.Errorf("the other side did not see a clean end: %v", reasons)
			}
		})
	}
}

// A stream that does not end is cut at the end of drain-timeout, and never
// taken for one that has ended well.
func TestTermAndNoEnd(t *testing.T) {
	a, b, names := couple(t, "--drain-timeout=300ms")
	s := openDigest(t, a, names[1])
	s.send(t, "half")
	b.waitStream()
	begin := time.Now()
	b.signal(syscall.SIGTERM)
	if status := b.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	got := <-s.result
	if got.trailer.Get(adminapi.HeaderOutcome) != adminapi.OutcomeMaybe || got.trailer.Get(adminapi.HeaderError) == "" || strings.Contains(got.body, sha("half")) {
		t.Errorf("the cut stream ended with %q, %v", got.body, got.trailer)
	}
	if !strings.Contains(b.log.String(), "calls were cut: they ran on for longer than drain-timeout") {
		t.Error("not a word of the cut")
	}
	_ = s.body.Close()
}

// A second signal does not wait (fault 72).
func TestSecondSignalCuts(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		a, b, names := couple(t, "--drain-timeout=1h")
		s := openDigest(t, a, names[1])
		s.send(t, "half")
		b.waitStream()
		b.signal(syscall.SIGTERM)
		eventually(t, "the node to drain", func() bool { return strings.Contains(b.log.String(), `"msg":"draining"`) })
		select {
		case <-b.done:
			t.Fatal("it did not wait for the stream")
		default:
		}
		b.signal(syscall.SIGHUP) // no reason to hurry
		b.signal(second)
		if status := b.exit(); status != 128+int(second) { // not in an hour
			t.Errorf("exit status %d", status)
		}
		if got := <-s.result; got.trailer.Get(adminapi.HeaderOutcome) != adminapi.OutcomeMaybe {
			t.Errorf("the cut stream ended with %v", got.trailer)
		}
		_ = s.body.Close()
	}
}

func TestPortInUse(t *testing.T) {
	n := alone(t)
	for _, args := range [][]string{
		{"--name=127.0.0.1:1", "--listen=127.0.0.1:0", "--admin-addr=" + n.addr},
		{"--name=127.0.0.1:1", "--listen=" + n.addr, "--admin-addr=127.0.0.1:0"},
	} {
		c := spawn(t, args...)
		if status := c.exit(); status != 1 {
			t.Errorf("%v: exit status %d", args, status)
		}
		setting := "listen: "
		if args[1] == "--listen=127.0.0.1:0" {
			setting = "admin-addr: "
		}
		if !strings.Contains(c.log.String(), setting) || !strings.Contains(c.log.String(), "address already in use") {
			t.Errorf("%v: the log does not name the setting", args)
		}
	}
}

func TestRefusedConfigurationEndsWith2(t *testing.T) {
	c := spawn(t, "--name=nonsense")
	if status := c.exit(); status != badUsage || !strings.Contains(c.log.String(), `name = "nonsense" (flag --name)`) {
		t.Errorf("exit status %d: %s", status, c.log)
	}
}

// A node on its way down takes the whole process with it: nothing waits for
// requests on the admin port that do not end.
func TestAdminStreamsDoNotHoldUpTheEnd(t *testing.T) {
	a, b, names := couple(t, "--drain-timeout=100ms")
	s := openDigest(t, a, names[1])
	s.send(t, "half")
	b.waitStream()
	a.signal(syscall.SIGTERM)
	if status := a.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	<-s.result
	_ = s.body.Close()
	if strings.Contains(a.log.String(), "panic") {
		t.Error("it panicked")
	}
}
