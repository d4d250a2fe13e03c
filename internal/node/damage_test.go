package node

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestDamagedQueue: a node whose queue on disk has a flipped bit starts, delivers
// the rest, tells which records are missing, and keeps the file (fault row 80).
// How fast one opens is for TestOpenLarge to say.
func TestDamagedQueue(t *testing.T) {
	h, dir, names := targettest.NewHook(t), t.TempDir(), freePorts(t, 1)
	h.Answer(http.StatusServiceUnavailable)
	run := func() *running {
		t.Helper()
		n := start(t, "--name="+names[0], "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--peers="+names[0], "--data-dir="+dir,
			fmt.Sprintf("--audit={targets: [{name: trail, policy: block, webhook: {url: '%s'}, batch: {age: 1ms}}]}", h.URL))
		n.waitReady()
		return n
	}
	n := run()
	const calls = 50
	for range calls {
		if got := n.send("POST", call(names[0], "echo"), nil, "x"); got.status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
	}
	n.signals <- os.Interrupt
	<-n.done

	segments, err := filepath.Glob(filepath.Join(dir, "audit", "trail", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%q %v", segments, err)
	}
	raw, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(segments[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Answer(0)
	n = run()
	eventually(t, "the second life to be recorded", func() bool { return len(h.All("event", "start")) == 2 })
	eventually(t, "the file to be set aside", func() bool {
		bad, err := filepath.Glob(filepath.Join(dir, "audit", "trail", "*.bad"))
		return err == nil && len(bad) == 1
	})
	if n.target("audit", "trail").Damaged != 1 {
		t.Error("the status tells of no damage")
	}
	seen, missing, last := numbers(t, h.Lines())
	for id := uint64(1); id <= last; id++ {
		if seen[id] == 0 && !missing[id] || seen[id] > 0 && missing[id] {
			t.Errorf("record %d came %d times, and is told of as missing: %v", id, seen[id], missing[id])
		}
	}
	if len(missing) != 1 || len(targettest.With(targettest.With(h.Lines(), "event", "gap"), "reason", "spool damaged")) != 1 {
		t.Errorf("%d records are missing: %v", len(missing), targettest.With(h.Lines(), "event", "gap"))
	}
}
