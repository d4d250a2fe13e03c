//go:build root

package node

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestRootAuditFullDisk: a node whose audit blocks, on a disk of 1 MiB, with a
// receiver that is away. When the disk is full calls are refused as unavailable,
// and none that was answered is missing when the receiver is back; then calls
// are answered again (fault row 78).
func TestRootAuditFullDisk(t *testing.T) {
	dir, h, names := t.TempDir(), targettest.NewHook(t), freePorts(t, 1)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	h.Answer(http.StatusServiceUnavailable)
	n := start(t, "--name="+names[0], "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--peers="+names[0], "--data-dir="+dir,
		fmt.Sprintf("--audit={timeout: 300ms, targets: [{name: trail, policy: block, webhook: {url: '%s'}, batch: {age: 1ms}}]}", h.URL))
	n.waitReady()
	answered, refused := 0, 0
	ask := func() bool {
		got := n.send("POST", call(names[0], "echo"), nil, "x")
		if got.status == http.StatusOK {
			answered++
			return true
		}
		if e := got.failure(t); e.Code != "unavailable" {
			t.Fatalf("%+v", e)
		}
		refused++
		return false
	}
	for refused < 20 {
		ask()
		if answered > 100_000 {
			t.Fatal("the disk does not fill")
		}
	}
	if answered < 1000 {
		t.Errorf("only %d calls on 1 MiB", answered)
	}
	if n.metric("gridmesh_audit_refused_calls_total") < 20 {
		t.Error("the metrics do not tell of refused calls")
	}
	if got := n.target("audit", "trail"); !got.Failing || got.QueueBytes < 500<<10 {
		t.Errorf("%+v", got)
	}
	h.Answer(0)
	eventually(t, "a call to be answered again", ask)
	eventually(t, "all to come", func() bool { return n.target("audit", "trail").QueueBytes == 0 })
	if got := len(targettest.With(targettest.With(h.All("event", "call"), "handler", "echo"), "result", "ok")); got < answered {
		t.Errorf("%d records of %d answered calls", got, answered)
	}
	seen, missing, last := numbers(t, h.Lines())
	for id := uint64(1); id <= last; id++ {
		if seen[id] == 0 && !missing[id] {
			t.Errorf("record %d is missing, and nothing says so", id)
		}
	}
	t.Logf("%d calls answered, %d refused; %d records told of as missing", answered, refused, len(missing))
}
