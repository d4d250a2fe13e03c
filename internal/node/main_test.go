package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/settings"
)

// childVariable makes the test binary be a node, for what takes a process: signals.
const childVariable = "NODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		flushTime = patience // what it says at its end has to come, however slow this machine is
		os.Exit(Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests: nothing takes that long, not even
// the pause of a target, which may be a minute.
const patience = 3 * time.Minute

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited for %v: %s", patience, what)
		case <-ticker.C:
		}
	}
}

func freePorts(t *testing.T, count int) []string {
	t.Helper()
	addrs, err := freeport.Addrs(count)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// shown: who runs the tests asks for what nodes log (docs/logging.md). It is known
// once flags are.
var shown = sync.OnceValue(func() bool { return logger.DefaultLevel() < slog.LevelError })

// logBuffer is what a node has logged, as JSON lines.
type logBuffer struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if shown() {
		_, _ = os.Stderr.Write(p)
	}
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// running is a node in this process.
type running struct {
	*Node
	t       *testing.T
	addr    string // of its admin port
	log     *logBuffer
	signals chan os.Signal
	done    chan struct{}
	status  int // once done is closed
}

// loadArgs is the configuration that these flags make.
func loadArgs(t *testing.T, args ...string) Config {
	t.Helper()
	config, _, err := LoadConfig(settings.Input{Args: args, Environ: podName(), ReadFile: os.ReadFile})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// podName is all that these tests take from the environment.
func podName() []string { return []string{"POD_NAME=" + os.Getenv("POD_NAME")} }

// start runs a node with these flags until the test ends.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	config := loadArgs(t, append([]string{"--log-format=json"}, args...)...)
	r := &running{t: t, log: &logBuffer{}, signals: make(chan os.Signal, 4), done: make(chan struct{})}
	r.Node = &Node{
		config: &config, started: time.Now(),
		reread: func() (Config, error) {
			fresh, _, err := LoadConfig(settings.Input{Args: args, ReadFile: os.ReadFile})
			return fresh, err
		},
	}
	if err := errors.Join(r.openTelemetry(r.log), r.open(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.addr = r.member.AdminAddr().String()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		r.status = r.run(ctx, r.signals)
		r.closeTelemetry(r.status)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Logf("log of %s:\n%s", config.Name, r.log)
		}
	})
	return r
}

// pair runs two nodes that are linked, with these flags besides.
func pair(t *testing.T, args ...string) (a, b *running) {
	t.Helper()
	names := freePorts(t, 2)
	both := append([]string{"--peers=" + strings.Join(names, ","), "--admin-addr=127.0.0.1:0", "--insecure-plain-text"}, args...)
	a = start(t, append(both, "--name="+names[0])...)
	b = start(t, append(both, "--name="+names[1])...)
	a.waitReady()
	b.waitReady()
	return a, b
}

// waitReady waits until the node says that it is.
func (r *running) waitReady() {
	r.t.Helper()
	eventually(r.t, "the node to be ready", func() bool { return r.get("/readyz").status == http.StatusOK })
}

// answered is what came back.
type answered struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
}

func (r *running) get(path string) answered {
	return r.send(http.MethodGet, path, nil, "")
}

// send asks the admin port. A header "Host" sets the request's.
func (r *running) send(method, path string, header map[string]string, body string) answered {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, response.Trailer, string(raw)}
}

// failure parses an answer that is none.
func (a answered) failure(t *testing.T) adminapi.Error {
	t.Helper()
	var e adminapi.Error
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Message == "" {
		t.Fatalf("status %d with no reason: %q", a.status, a.body)
	}
	return e
}

// metric is the value of a metric without labels.
func (r *running) metric(name string) float64 {
	r.t.Helper()
	for line := range strings.Lines(r.get("/metrics").body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return f
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

func (r *running) hangUp() { r.signals <- syscall.SIGHUP }

// writeFile replaces a file, whole.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}

// authority issues certificates for tests.
func authority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate writes one for a node of grid "default", and gives its folder.
func certificate(t *testing.T, a *certs.Authority, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls")
	if err := a.Write(dir, certs.Leaf{Grid: "default", Name: name}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func lines(names ...string) string { return fmt.Sprintln(strings.Join(names, "\n")) }
