package node

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestNoLoop: a target that fails, whose failure would be logged to itself, a
// console that is full, and a target that has no folder: the node runs, calls are
// answered, and what is logged is what happened and no more (fault row 82).
func TestNoLoop(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	dir, h := t.TempDir(), targettest.NewHook(t)
	h.Answer(http.StatusInternalServerError)
	names := freePorts(t, 1)
	config := loadArgs(t, "--name="+names[0], "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--peers="+names[0], "--data-dir="+filepath.Join(dir, "data"),
		"--logging={level: debug, targets: [{name: self, webhook: {url: '"+h.URL+"'}, batch: {age: 1ms}}, {name: nowhere, file: {path: /proc/none/x}}, {name: works, file: {path: "+dir+"/log}}]}",
		"--audit={targets: [{name: self, webhook: {url: '"+h.URL+"'}, batch: {age: 1ms}}, {name: screen, console: {}}]}")
	n := &running{Node: &Node{config: &config}, t: t, done: make(chan struct{}), signals: make(chan os.Signal, 1), log: &logBuffer{}}
	if err := errors.Join(n.openTelemetry(full), n.open(t.Context())); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.done)
		n.status = n.run(t.Context(), n.signals)
	}()
	eventually(t, "the node to run", func() bool {
		return len(targettest.With(fileLines(t, dir+"/log"), "msg", "node started")) == 1
	})
	before := len(fileLines(t, dir+"/log"))
	n.addr = n.member.AdminAddr().String()
	eventually(t, "the target to fail a few times", func() bool { return n.target("log", "self").Retried > 2 && n.target("audit", "self").Retried > 2 })
	for range 5 {
		if got := n.send("POST", call(names[0], "echo"), nil, "x"); got.status != http.StatusOK {
			t.Errorf("%+v", got)
		}
	}
	if after := len(fileLines(t, dir+"/log")); after > before+10 {
		t.Errorf("%d entries became %d", before, after)
	}
	if got := n.target("log", "console"); got.Dropped == 0 || !got.Failing {
		t.Errorf("the full console: %+v", got)
	}
	n.signals <- os.Interrupt
	<-n.done
	n.closeTelemetry(1)
	http.DefaultClient.CloseIdleConnections()
	if n.status != 0 {
		t.Errorf("ended with %d", n.status)
	}
}
