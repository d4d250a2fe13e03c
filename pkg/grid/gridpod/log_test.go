package gridpod

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// hook keeps what is posted to it.
type hook struct {
	*httptest.Server

	mu    sync.Mutex // protects lines
	lines []map[string]any
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // short, if at all: then lines are missing
		h.mu.Lock()
		defer h.mu.Unlock()
		for line := range strings.Lines(string(body)) {
			var l map[string]any
			if json.Unmarshal([]byte(line), &l) == nil {
				h.lines = append(h.lines, l)
			}
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// all gives the lines whose key has this value.
func (h *hook) all(key string, value any) (found []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines {
		if l[key] == value {
			found = append(found, l)
		}
	}
	return found
}

// TestLogAndAuditOfPod: a pod sends its log, its program's log and its audit
// where its Grid says, from its start to its end, and follows a change.
func TestLogAndAuditOfPod(t *testing.T) {
	t.Setenv("GRID_DATA_DIR", t.TempDir())
	defer func(was time.Duration) { flushTime = was }(flushTime)
	flushTime = patience // the end has to come, however slow this machine is
	o, first, second := newOperator(t, false), newHook(t), newHook(t)
	dir, name := o.mount("web-0")
	o.publish(o.sign(name), dir)
	tell := func(h *hook) {
		target := fmt.Sprintf(`[{"name": "a", "webhook": {"url": %q}, "batch": {"age": "1ms"}}]`, h.URL)
		o.write(filepath.Join(dir, "grid", telemetry.PodFile), []byte(`{"logging": {"targets": `+target+`}, "audit": {"targets": `+target+`}}`))
	}
	tell(first)
	r := o.open(dir, name)
	program := slog.New(slog.NewMultiHandler(r.Logger.Handler(), r.LogHandler().WithGroup("shop").WithAttrs([]slog.Attr{slog.Int("shelf", 3)})))
	r.Logger = program // so that what the pod says takes both ways to the targets
	r.member.LogTo(r.logger())
	program.Info("opened", "at", 9)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(r.done)
		r.err = r.ServeContext(ctx, r.m)
	}()
	defer r.client.CloseIdleConnections()
	r.waitReady()
	if reply, err := r.m.Connection(name).Request(t.Context(), "echo", []byte("x")); err != nil || string(reply) != "x" {
		t.Errorf("%s %v", reply, err)
	}
	eventually(t, "all to come", func() bool {
		return len(first.all("handler", "echo")) == 1 && len(first.all("event", "start")) == 1 && len(first.all("msg", "opened")) == 1 && len(first.all("msg", "node started")) == 1
	})
	if got := fmt.Sprint(first.all("msg", "opened")[0]["shop"]); got != "map[at:9 shelf:3]" {
		t.Error(got)
	}
	if got := first.all("msg", "node started")[0]["node"]; got != name {
		t.Errorf("%v", got)
	}
	if got := first.all("msg", "opened")[0]["node"]; got != name {
		t.Errorf("an entry of the program's is of %v", got)
	}
	if n := strings.Count(r.log.String(), `msg="node started"`); n != 1 {
		t.Errorf("the program's logger has it %d times", n)
	}
	if status := r.get("/statusz?format=json").body; strings.Count(status, `"kind": "webhook"`) != 2 {
		t.Error(status)
	}
	if !strings.Contains(r.get("/metrics").body, `gridmesh_target_entries_out_total{kind="webhook",system="log",target="a"}`) {
		t.Error("no metrics of the targets")
	}

	tell(second)
	eventually(t, "the change to be seen", func() bool { return len(second.all("msg", "log and audit reconfigured")) == 1 })
	cancel()
	<-r.done
	if r.err != nil {
		t.Error(r.err)
	}
	if len(second.all("event", "drain")) != 1 || len(second.all("event", "stop")) != 1 || len(second.all("msg", "drained")) != 1 {
		t.Errorf("the end is not there: %v", second.lines)
	}
}

// TestCloseOfPod: one that never serves can be ended, more than once.
func TestCloseOfPod(t *testing.T) {
	o := newOperator(t, false)
	dir, _ := o.mount("web-0")
	pod, err := fromDir(dir, "web-0")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
	}
}
