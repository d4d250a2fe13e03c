package nodectl

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/node"
	"github.com/gridmesh/gridmesh/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// podName is what a pod has in its environment.
const podName = "POD_NAME=web-0"

func freePorts(t *testing.T, count int) []string {
	t.Helper()
	addrs, err := freeport.Addrs(count)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// startNode runs a node until the returned function is called or the test ends.
func startNode(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	return startOne(t, append([]string{"--insecure-plain-text"}, args...)...)
}

// startOne does so with these flags only.
func startOne(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	config, _, err := node.LoadConfig(settings.Input{Args: append([]string{"--log-level=error"}, args...), Environ: []string{podName}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		node.Run(ctx, config, func() (node.Config, error) { return config, nil }, nil, io.Discard)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// mesh is two nodes; the commands ask the first.
type mesh struct {
	names, admins []string
	stopSecond    func()
}

func startMesh(t *testing.T, args ...string) *mesh {
	t.Helper()
	ports := freePorts(t, 4)
	m := &mesh{names: ports[:2], admins: ports[2:]}
	for i, name := range m.names {
		m.stopSecond = startNode(t, append(args, "--name="+name, "--admin-addr="+m.admins[i], "--peers="+strings.Join(m.names, ","))...)
	}
	m.until(t, exitDone, "status")
	return m
}

// outcome is what a command left behind.
type outcome struct {
	status         int
	stdout, stderr string
}

// run runs a command against the first node.
func (m *mesh) run(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return run(t, []string{"GRID_ADMIN_ADDR=" + m.admins[0], "GRID_NAME=not-our-business"}, strings.NewReader(stdin), args...)
}

func run(t *testing.T, environ []string, stdin io.Reader, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status := Main(ctx, args[0], args[1:], IO{Stdin: stdin, Stdout: &stdout, Stderr: &stderr, Environ: environ})
	return outcome{status, stdout.String(), stderr.String()}
}

// until runs a command until it ends with this status.
func (m *mesh) until(t *testing.T, status int, args ...string) outcome {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		got := m.run(t, "", args...)
		if got.status == status {
			return got
		}
		select {
		case <-deadline.C:
			t.Fatalf("%q ends with %d: %s", args, got.status, got.stderr)
		case <-ticker.C:
		}
	}
}

// want is what a command has to leave behind; the texts are regular expressions.
type want struct {
	status         int
	stdout, stderr string
}

func (o outcome) check(t *testing.T, w want) {
	t.Helper()
	if o.status != w.status {
		t.Errorf("exit status %d, want %d", o.status, w.status)
	}
	if !regexp.MustCompile(`(?s)^` + w.stdout + `$`).MatchString(o.stdout) {
		t.Errorf("standard output is\n%s\nwant\n%s", o.stdout, w.stdout)
	}
	if !regexp.MustCompile(`(?s)^` + w.stderr + `$`).MatchString(o.stderr) {
		t.Errorf("standard error is\n%s\nwant\n%s", o.stderr, w.stderr)
	}
}

func TestCommands(t *testing.T) {
	m := startMesh(t)
	other := m.names[1]
	name := regexp.QuoteMeta(other)
	const again = `It has not run: calling again is safe\.\n`
	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        want
	}{
		{"call", "hello", []string{"call", other, "echo"}, want{exitDone, `hello`, ``}},
		{"call with bytes", "\x00\x01\r\n", []string{"call", other, "echo"}, want{exitDone, "\x00\x01\r\n", ``}},
		{"call with flags behind", "x", []string{"call", other, "echo", "--timeout=5s", "--wait"}, want{exitDone, `x`, ``}},
		{"call with data", "not this", []string{"call", other, "echo", "-d", "this"}, want{exitDone, `this`, ``}},
		{"call with no data", "not this", []string{"call", "--data=", other, "echo"}, want{exitUsage, ``, `node call: data \(flag --data\): there is no value.*`}},
		{"call nobody", "", []string{"call", "nobody:1", "echo"}, want{
			exitNotSent, ``,
			`node call: there is no peer "nobody:1"\n` + again + `Hint: the peer list has: .*` + name + `.*\.\n`,
		}},
		{"call nothing", "", []string{"call", other, "nope"}, want{exitNotSent, ``, `node call: .*no such handler.*\n` + again + `Hint: a plain node serves echo, .*\n`}},
		{"call what refuses", "{}", []string{"call", other, "bench"}, want{exitFailed, ``, `node call: bench at ` + name + `: bench: callers is 0, .* \(code invalid_argument\)\n`}},
		{"call without handler", "", []string{"call", other}, want{exitUsage, ``, `node call: 1 arguments where "PEER HANDLER" belong\nUsage: node call PEER HANDLER; node help call says more\.\n`}},
		{"call with a wrong flag", "", []string{"call", "--tiemout=1s", other, "echo"}, want{exitUsage, ``, `.*--tiemout.*did you mean --timeout\?.*`}},
		{"stream", "a\nb\n", []string{"stream", other, "digest"}, want{exitDone, `fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603\n`, ``}},
		{"stream raw", "ab", []string{"stream", "--raw", other, "digest"}, want{exitDone, `fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603`, ``}},
		{"stream large", strings.Repeat("x", 1<<22), []string{"stream", other, "digest", "--raw"}, want{exitDone, `[0-9a-f]{64}`, ``}},
		{"stream of nothing", "", []string{"stream", other, "nope"}, want{exitNotSent, ``, `node stream: .*no such handler.*`}},
		{"stream out of time", "", []string{"stream", other, "digest", "--timeout=1ns"}, want{exitUsage, ``, `node stream: timeout = "1ns" .*out of range.*`}},
		{"status", "", []string{"status"}, want{
			exitDone, regexp.QuoteMeta(m.names[0]) + `, grid default, ready, up .*\nlinks 1/1, .*PEER +STATE.*\n` + name + ` +linked .*`, ``,
		}},
		{"status of the mesh", "", []string{"status", "--mesh"}, want{exitDone, `2 nodes, links 2/2, .*NODE +STATE.*` + name + ` +ready +1/1.*`, ``}},
		{"status with an argument", "", []string{"status", "all"}, want{exitUsage, ``, `node status: 1 arguments.*`}},
		{"peers show", "", []string{"peers", "show"}, want{exitDone, `# peer list of 2 names \(static\)\n.*` + name + `\n.*`, ``}},
		{"peers", "", []string{"peers"}, want{exitUsage, ``, `.*0 arguments where "show \| set FILE" belong.*`}},
		{"peers nonsense", "", []string{"peers", "drop"}, want{exitUsage, ``, `.*where "show" or "set FILE" belongs\nHint: .*`}},
		{"peers set, bad", other + "\n", []string{"peers", "set", "-"}, want{exitFailed, ``, `node peers: .*this node is not in the peer list.*\nHint: the last good list stays in use\.\n`}},
		{"peers set, no file", "", []string{"peers", "set", "/nowhere/peers"}, want{exitUsage, ``, `node peers: open /nowhere/peers: no such file or directory\n`}},
		{"peers set, signed", adminapi.SignedBegins + "1\n", []string{"peers", "set", "-"}, want{exitFailed, ``, `node peers: this node trusts nobody's signature\nHint: .*peers-dir\.\n`}},
		{"bench", "", []string{"bench", other, "--for=20ms", "--callers=2"}, want{
			exitDone, regexp.QuoteMeta(m.names[0]) + ` to ` + name + `: 2 callers, 512 bytes each way, .*\n\d+ calls/s, p50 .* ms, p99 .* ms, max .* ms\n`, ``,
		}},
		{"bench too much", "", []string{"bench", other, "--callers=1025"}, want{exitUsage, ``, `.*allowed: a whole number from 1 to 1024.*`}},
		{"no such command", "", []string{"stats"}, want{exitUsage, ``, `node: there is no command "stats"; .*`}},
	} {
		t.Run(tt.name, func(t *testing.T) { m.run(t, tt.stdin, tt.args...).check(t, tt.want) })
	}
}

func TestJSONIsWhatTheNodeSays(t *testing.T) {
	m := startMesh(t)
	for _, tt := range []struct {
		args []string
		into any
	}{
		{[]string{"status", "--json"}, &adminapi.Status{}},
		{[]string{"status", "--mesh", "--json"}, &adminapi.Mesh{}},
		{[]string{"peers", "show", "--json"}, &adminapi.PeerNames{}},
		{[]string{"bench", m.names[1], "--for=1ms", "--json"}, &adminapi.BenchResult{}},
	} {
		got := m.run(t, "", tt.args...)
		decoder := json.NewDecoder(strings.NewReader(got.stdout))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(tt.into); err != nil || got.status != exitDone || got.stderr != "" {
			t.Errorf("%q: %v, status %d, %s", tt.args, err, got.status, got.stderr)
		}
	}
}

// What peers show writes, peers set takes.
func TestPeersThereAndBack(t *testing.T) {
	m := startMesh(t)
	shown := m.run(t, "", "peers", "show")
	file := filepath.Join(t.TempDir(), "peers")
	if err := os.WriteFile(file, []byte(shown.stdout+"third:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run(t, "", "peers", "set", file).check(t, want{exitDone, `# peer list of 3 names \(admin\)\n.*third:1\n`, ``})
	m.run(t, "", "status").check(t, want{
		exitFailed, `.*links 1/2.*third:1 +d(own|ialing).*`, `node status: 1 of 2 links are up\n`,
	})
	m.run(t, shown.stdout, "peers", "set", "-").check(t, want{exitDone, `# peer list of 2 names \(admin\)\n.*`, ``})
	m.run(t, "", "status").check(t, want{exitDone, `.*links 1/1.*`, ``})
}

func TestNodeThatIsDown(t *testing.T) {
	m := startMesh(t)
	m.stopSecond()
	got := m.until(t, exitFailed, "status")
	for strings.Contains(got.stdout, "draining") { // it has just left
		got = m.until(t, exitFailed, "status")
	}
	got.check(t, want{exitFailed, `.*links 0/1.*` + regexp.QuoteMeta(m.names[1]) + ` +d(own|ialing).*`, `node status: 0 of 1 links are up\n`})
	m.run(t, "", "status", "--mesh").check(t, want{exitFailed, `2 nodes, links 0/2.*no answer.*`, `node status: 0 of 2 links are up\n`})
	m.run(t, "x", "call", m.names[1], "echo").check(t, want{
		exitNotSent, ``, `node call: .*no link to the peer\nIt has not run: calling again is safe\.\nHint: see node status .*--wait waits for it\.\n`,
	})
}

func TestAdminPortThatIsNone(t *testing.T) {
	nobody := freePorts(t, 1)[0]
	run(t, nil, nil, "status", "--admin", nobody).check(t, want{
		exitNoAdmin, ``, `node status: no node answers at ` + regexp.QuoteMeta(nobody) + `: .*connection refused\nHint: say where its admin port is with --admin-addr .*\n`,
	})
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	addr := strings.TrimPrefix(other.URL, "http://")
	for _, args := range [][]string{{"status"}, {"call", "a:1", "echo", "-d", "x"}, {"stream", "a:1", "digest"}} {
		// Something that speaks HTTP/1.1 only, and is no node.
		got := run(t, []string{"GRID_ADMIN_ADDR=" + addr}, strings.NewReader(""), args...)
		if got.status == exitDone || got.stdout != "" || got.stderr == "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
	run(t, []string{"GRID_ADMIN_ADDR=nowhere"}, nil, "status").check(t, want{exitUsage, ``, `node status: admin-addr = "nowhere" \(environment GRID_ADMIN_ADDR\): .*`})
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	right, wrong, empty := filepath.Join(dir, "right"), filepath.Join(dir, "wrong"), filepath.Join(dir, "empty")
	for path, text := range map[string]string{right: "0123456789abcdef0\nnext-0123456789abcdef\n", wrong: "0123456789abcdef1", empty: "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := startMesh(t, "--admin-token-file="+right)
	for file, w := range map[string]want{
		right: {exitDone, `x`, ``},
		wrong: {exitNoAdmin, ``, `node call: the admin token is not the one of this node\nHint: .*admin-token-file\.\n`},
		empty: {exitUsage, ``, `node call: .*empty: no token in it\n`},
		dir:   {exitUsage, ``, `node call: .*is a directory\n`},
	} {
		got := m.run(t, "x", "call", m.names[1], "echo", "--admin-token-file="+file)
		got.check(t, w)
		if strings.Contains(got.stderr, "0123456789abcdef") {
			t.Errorf("the token is in what is printed: %s", got.stderr)
		}
	}
	// On the node's own machine none is needed.
	m.run(t, "x", "call", m.names[1], "echo").check(t, want{exitDone, `x`, ``})
}

// A command that is interrupted ends at once, and says what may have happened.
func TestInterrupted(t *testing.T) {
	m := startMesh(t)
	for _, args := range [][]string{{"stream", m.names[1], "digest"}, {"bench", m.names[1], "--for=1m"}} {
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		var stdout, stderr bytes.Buffer
		status := make(chan int, 1)
		go func() {
			status <- Main(ctx, args[0], args[1:], IO{Stdin: in, Stdout: &stdout, Stderr: &stderr, Environ: []string{"GRID_ADMIN_ADDR=" + m.admins[0]}})
		}()
		if args[0] == "stream" {
			if _, err := io.WriteString(out, "half\n"); err != nil { // it reads, so it is on its way
				t.Fatal(err)
			}
		}
		cancel()
		select {
		case got := <-status:
			if got != exitMaybe || stdout.Len() > 0 || !strings.Contains(stderr.String(), "given up before") {
				t.Errorf("%q: status %d, %s, %s", args, got, &stdout, &stderr)
			}
		case <-time.After(patience):
			t.Fatalf("%q runs on", args)
		}
		_ = out.Close()
	}
}

func TestWhereToAsk(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:7701": "127.0.0.1:7701", ":7701": "127.0.0.1:7701", "0.0.0.0:7701": "127.0.0.1:7701", "[::]:7701": "127.0.0.1:7701",
		"node-0:7701": "node-0:7701", "[::1]:7701": "[::1]:7701",
	} {
		c, err := newClient(&options{admin: given})
		if err != nil || c.addr != want {
			t.Errorf("%s: %v, %v; want %s", given, c, err, want)
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range commands() {
		var text strings.Builder
		if !IsCommand(c.name) || !Help(c.name, &text) {
			t.Errorf("there is no help for %s", c.name)
		}
		for _, want := range []string{"Usage: node " + c.name + " " + c.args, "Examples:\n", "--admin-addr", "GRID_ADMIN_ADDR", "Exit status:"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("help of %s does not say %q", c.name, want)
			}
		}
		got := run(t, nil, nil, c.name, "--help", "and", "more", "--nonsense")
		if got.status != exitDone || got.stdout != text.String() || got.stderr != "" {
			t.Errorf("%s --help: %+v", c.name, got)
		}
	}
	if IsCommand("serve") || Help("serve", io.Discard) {
		t.Error("there is a command serve")
	}
}
