package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

func fileLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // it is made with its first entry
	}
	return targettest.ParseLines(text)
}

// target is how a target of a node is.
func (r *running) target(system, name string) adminapi.Target {
	r.t.Helper()
	var s adminapi.Status
	if err := json.Unmarshal([]byte(r.get("/statusz").body), &s); err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(s.Telemetry.Targets, func(t adminapi.Target) bool { return t.System == system && t.Name == name })
	if i < 0 {
		return adminapi.Target{}
	}
	return s.Telemetry.Targets[i]
}

// TestLogAndAuditOfNode: what a node says and whom it serves goes where its file
// says, and elsewhere once the file says so, by SIGHUP or by itself.
func TestLogAndAuditOfNode(t *testing.T) {
	dir, names, first, second := t.TempDir(), freePorts(t, 1), targettest.NewHook(t), targettest.NewHook(t)
	config := filepath.Join(dir, "node.yaml")
	text := "name: " + names[0] + "\nadmin-addr: 127.0.0.1:0\ninsecure-plain-text: true\npeers: ['" + names[0] + "']\ndata-dir: " + filepath.Join(dir, "data") + "\n"
	targets := func(url string) string {
		return fmt.Sprintf(`
logging:
  targets:
  - {name: central, webhook: {url: '%[1]s'}, batch: {age: 1ms}}
  - {name: local, file: {path: '%[2]s/node.log'}}
audit:
  targets:
  - {name: central, webhook: {url: '%[1]s'}, batch: {age: 1ms}}
  - {name: local, policy: block, file: {path: '%[2]s/audit.log'}}
`, url, dir)
	}
	writeFile(t, config, text+targets(first.URL))
	n := start(t, "--config="+config)
	n.waitReady()
	n.send("POST", call(names[0], "echo"), nil, "x")
	n.send("POST", call(names[0], "nonsense"), nil, "x")
	eventually(t, "the call to be recorded", func() bool {
		return len(targettest.With(first.All("event", "call"), "handler", "echo")) == 1 && len(first.All("event", "start")) == 1
	})
	eventually(t, "the log to come", func() bool { return len(first.All("node", names[0])) > 2 })
	if got := targettest.With(fileLines(t, filepath.Join(dir, "audit.log")), "handler", "echo"); len(got) != 1 || got[0]["result"] != "ok" || got[0]["peer"] != names[0] {
		t.Errorf("%v", got)
	}
	if got := n.target("audit", "local"); got.In < 2 || got.Kind != "file" || got.Failing {
		t.Errorf("%+v", got)
	}
	if body := n.get("/metrics").body; !strings.Contains(body, `gridmesh_target_entries_out_total{kind="webhook",system="audit",target="central"}`) ||
		!strings.Contains(body, "gridmesh_audit_records_total") {
		t.Error("metrics do not tell of targets")
	}

	// By itself: the second receiver has what comes, and the file what it had.
	writeFile(t, config, text+targets(second.URL))
	eventually(t, "the change to be seen", func() bool { return strings.Contains(n.log.String(), "log and audit reconfigured") })
	n.send("POST", call(names[0], "echo"), nil, "x")
	eventually(t, "the call to be recorded at the second receiver", func() bool { return len(targettest.With(second.All("event", "call"), "handler", "echo")) == 1 })
	if got := targettest.With(fileLines(t, filepath.Join(dir, "audit.log")), "handler", "echo"); len(got) != 2 {
		t.Errorf("%v", got)
	}

	// Refused as a whole: the log's targets would be good.
	writeFile(t, config, text+strings.Replace(targets(first.URL), "policy: block", "policy: wait", 1))
	n.hangUp()
	eventually(t, "the change to be refused", func() bool {
		return strings.Contains(n.log.String(), `audit.targets[1].policy (file `+config) && n.metric("gridmesh_telemetry_configuration_refused") == 1
	})
	n.send("POST", call(names[0], "echo"), nil, "x")
	eventually(t, "the call to be recorded as before", func() bool { return len(targettest.With(second.All("event", "call"), "handler", "echo")) == 2 })

	// And without: by SIGHUP.
	writeFile(t, config, text+"logging: {level: debug}\n")
	n.hangUp()
	eventually(t, "the targets to be gone", func() bool { return len(n.telemetry.Log().Outputs()) == 1 && len(n.telemetry.Audit().Targets()) == 0 })
	if n.metric("gridmesh_telemetry_configuration_refused") != 0 || n.telemetry.Log().Level().String() != "DEBUG" {
		t.Error("it counts as refused, or the level is another")
	}
}

// TestDrainIsRecorded: the audit of a node begins with its start and ends with
// its drain and its stop, all of them delivered before the process ends.
func TestDrainIsRecorded(t *testing.T) {
	defer func(was time.Duration) { flushTime = was }(flushTime)
	flushTime = patience // the end has to come, however slow this machine is
	h := targettest.NewHook(t)
	a, _ := pair(t, "--audit={targets: [{name: a, webhook: {url: '"+h.URL+"'}}]}")
	a.signals <- os.Interrupt
	<-a.done
	got := targettest.With(h.Lines(), "node", a.config.Name)
	var events []string
	for _, l := range got {
		events = append(events, fmt.Sprint(l["event"]))
	}
	if len(events) < 5 || events[0] != "start" || !slices.Contains(events, "peers") || !slices.Contains(events, "handshake") ||
		!slices.Contains(events, "drain") || events[len(events)-1] != "stop" {
		t.Errorf("%q", events)
	}
}

// TestTargetsOfPod: a node of a Grid takes from the ConfigMap where log and audit
// go, follows it, and runs on when it is nonsense.
func TestTargetsOfPod(t *testing.T) {
	h := targettest.NewHook(t)
	ports := freePorts(t, 2)
	number := func(addr string) (port int) {
		_, text, _ := strings.Cut(addr, ":")
		_, _ = fmt.Sscan(text, &port)
		return port
	}
	t.Setenv("POD_NAME", "web-0")
	dir := mount(t, poddir.File{Port: number(ports[0]), AdminPort: number(ports[1]), Identity: "grid"})
	file := filepath.Join(dir, "grid", telemetry.PodFile)
	writeFile(t, file, "nonsense")
	n := start(t, "--kubernetes-dir="+dir)
	eventually(t, "a word on the nonsense", func() bool {
		return strings.Contains(n.log.String(), "it is no mapping; known keys are audit, logging") && n.telemetry.Status().RefusedConfigs == 1
	})
	writeFile(t, file, fmt.Sprintf(`{"logging": {"targets": [{"name": "a", "webhook": {"url": %q}, "batch": {"age": "1ms"}}]}}`, h.URL))
	eventually(t, "the change to be seen", func() bool { return len(h.All("msg", "log and audit reconfigured")) == 1 })
	secret := filepath.Join(t.TempDir(), "token")
	writeFile(t, secret, "canary")
	writeFile(t, file, fmt.Sprintf(`{"logging": {"targets": [{"name": "a", "webhook": {"url": %q, "tokenFile": %q}}]}}`, h.URL, secret))
	eventually(t, "what is no Secret of a target to be refused", func() bool {
		return strings.Contains(n.telemetry.Status().LastError, "where the Secrets of targets are mounted")
	})
	if err := os.Remove(file); err != nil { // the Grid has no targets any more
		t.Fatal(err)
	}
	eventually(t, "the targets to be gone", func() bool { return len(n.telemetry.Log().Outputs()) == 1 })
}

// TestHangingReceiver: a receiver that takes entries and never answers delays no
// call and no other target, be it the audit's that blocks: its records are on
// disk (fault rows 75, 76).
func TestHangingReceiver(t *testing.T) {
	dir, names := t.TempDir(), freePorts(t, 1)
	over := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-over
	}))
	defer hangs.Close()
	defer close(over)
	n := start(t, "--name="+names[0], "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--peers="+names[0], "--data-dir="+dir+"/data",
		"--logging={targets: [{name: hangs, webhook: {url: '"+hangs.URL+"', timeout: 5m}, batch: {age: 1ms}}, {name: works, file: {path: "+dir+"/log}}]}",
		"--audit={timeout: 5m, targets: [{name: hangs, policy: block, webhook: {url: '"+hangs.URL+"', timeout: 5m}, batch: {age: 1ms}}, {name: works, file: {path: "+dir+"/audit}}]}")
	n.waitReady()
	const calls = 50
	for range calls {
		if got := n.send("POST", call(names[0], "echo"), nil, "x"); got.status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
	}
	eventually(t, "the target that works to have all", func() bool {
		return len(targettest.With(fileLines(t, dir+"/audit"), "handler", "echo")) == calls && len(targettest.With(fileLines(t, dir+"/log"), "msg", "node started")) == 1
	})
	if got := n.target("audit", "hangs"); got.Out != 0 || got.Dropped != 0 || got.QueueEntries < calls || got.OldestSeconds <= 0 {
		t.Errorf("%+v", got)
	}
	n.signals <- os.Interrupt // and it does not hold up the end
	<-n.done
}
