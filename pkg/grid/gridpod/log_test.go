package gridpod

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/target/targettest"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// TestLogAndAuditOfPod: a pod sends its log, its program's log and its audit
// where its Grid says, from its start to its end, and follows a change.
func TestLogAndAuditOfPod(t *testing.T) {
	t.Setenv("GRID_DATA_DIR", t.TempDir())
	defer func(was time.Duration) { flushTime = was }(flushTime)
	flushTime = patience // the end has to come, however slow this machine is
	o, first, second := newOperator(t, false), targettest.NewHook(t), targettest.NewHook(t)
	dir, name := o.mount("web-0")
	o.publish(o.sign(name), dir)
	tell := func(h *targettest.Hook) {
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
		return len(first.All("handler", "echo")) == 1 && len(first.All("event", "start")) == 1 && len(first.All("msg", "opened")) == 1 && len(first.All("msg", "node started")) == 1
	})
	if got := fmt.Sprint(first.All("msg", "opened")[0]["shop"]); got != "map[at:9 shelf:3]" {
		t.Error(got)
	}
	if got := first.All("msg", "node started")[0]["node"]; got != name {
		t.Errorf("%v", got)
	}
	if got := first.All("msg", "opened")[0]["node"]; got != name {
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
	eventually(t, "the change to be seen", func() bool { return len(second.All("msg", "log and audit reconfigured")) == 1 })
	cancel()
	<-r.done
	if r.err != nil {
		t.Error(r.err)
	}
	if len(second.All("event", "drain")) != 1 || len(second.All("event", "stop")) != 1 || len(second.All("msg", "drained")) != 1 {
		t.Errorf("the end is not there: %v", second.Lines())
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
