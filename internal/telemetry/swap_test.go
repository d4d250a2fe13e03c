package telemetry

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestSwapsUnderLoad: while entries flow from several callers, targets come, go
// and change. One that stays has each entry once; one that changes between a
// webhook and a file has each entry in one of the two; ids rise, and no gap is
// told of (fault row 76; field-history L13, L14, L35, D2, D14).
func TestSwapsUnderLoad(t *testing.T) {
	const callers, swaps = 4, 60
	dir, hook := t.TempDir(), targettest.NewHook(t)
	config := func(n int) string {
		moves := fmt.Sprintf("webhook: {url: '%s', timeout: %ds}, batch: {age: 1ms}", hook.URL, 1+n%7)
		if n%3 == 1 {
			moves = fmt.Sprintf("file: {path: %s}", filepath.Join(dir, "moves.log"))
		}
		extra := ""
		if n%2 == 1 {
			extra = fmt.Sprintf("- {name: extra, file: {path: %s}}", filepath.Join(dir, "extra.log"))
		}
		return strings.ReplaceAll(fmt.Sprintf(`
logging:
  targets:
  - {name: moves, %[1]s}
  - {name: stays, file: {path: %[2]s}}
  %[4]s
audit:
  targets:
  - {name: moves, %[5]s}
  - {name: stays, policy: block, file: {path: %[3]s}}
`, moves, filepath.Join(dir, "stays.log"), filepath.Join(dir, "audit.log"), extra, strings.ReplaceAll(moves, "moves.log", "amoves.log")), "\t", "  ")
	}
	s, console := openSystem(t, Options{DataDir: filepath.Join(dir, "data")})
	apply(t, s, config(0))
	stop := make(chan struct{})
	made := make([]int, callers)
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
				}
				info(s, fmt.Sprintf("%d/%d", c, made[c]))
				s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain, Peer: fmt.Sprintf("%d/%d", c, made[c])})
				made[c]++
			}
		})
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s.Collector())
	for n := range swaps {
		apply(t, s, config(n+1))
		if _, err := reg.Gather(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
	closeSystem(t, s)

	count := 0
	for _, n := range made {
		count += n
	}
	// each counts every entry, and what is no entry, and holds ids to their order.
	each := func(key string, lines []map[string]any) (seen map[string]int, others []string) {
		seen = make(map[string]int)
		last := ""
		for _, l := range lines {
			id, _ := l["id"].(string)
			if id <= last {
				t.Errorf("id %s after %s", id, last)
			}
			last = id
			if text, ok := l[key].(string); ok && strings.Contains(text, "/") {
				seen[text]++
				continue
			}
			if event := l["event"]; event != audit.EventStart && event != audit.EventStop {
				others = append(others, fmt.Sprint(l))
			}
		}
		return seen, others
	}
	check := func(what string, most int, seen map[string]int, others []string) {
		if len(others) > 0 {
			t.Errorf("%s has %q", what, others)
		}
		for c, n := range made {
			for i := range n {
				if got := seen[fmt.Sprintf("%d/%d", c, i)]; got < 1 || got > most {
					t.Errorf("%s has entry %d/%d %d times", what, c, i, got)
				}
			}
		}
	}
	seen, others := each("msg", readLines(t, filepath.Join(dir, "stays.log")))
	check("the log that stays", 1, seen, others)
	seen, others = each("peer", readLines(t, filepath.Join(dir, "audit.log")))
	check("the audit that stays", 1, seen, others)

	var logs, records []map[string]any
	for _, l := range hook.Lines() {
		if _, ok := l["event"]; ok {
			records = append(records, l)
		} else {
			logs = append(logs, l)
		}
	}
	for _, m := range []struct {
		key, file string
		lines     []map[string]any
	}{{"msg", "moves.log", logs}, {"peer", "amoves.log", records}} {
		seen := make(map[string]int)
		_, more := each(m.key, readLines(t, filepath.Join(dir, m.file)))
		for _, l := range append(m.lines, readLines(t, filepath.Join(dir, m.file))...) {
			seen[fmt.Sprint(l[m.key])]++
		}
		check(m.file+" and the webhook", 2, seen, more) // a batch may come twice when it changes hands
	}
	if text := console.String(); strings.Contains(text, "lost") || strings.Contains(text, "dropped") {
		t.Error(text)
	}
	t.Logf("%d entries", count)
}

// TestMetrics: names and labels are as Prometheus wants them, and there are no
// more of them than targets.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	s, _ := openSystem(t, Options{})
	apply(t, s, fmt.Sprintf("logging: {targets: [{name: a, file: {path: %[1]s/a}}]}\naudit: {targets: [{name: a, file: {path: %[1]s/b}}]}", dir))
	info(s, "one")
	problems, err := testutil.CollectAndLint(s.Collector())
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if n := testutil.CollectAndCount(s.Collector()); n != 3*len(metrics)+4 {
		t.Errorf("%d lines", n)
	}
	want := `
# HELP gridmesh_target_entries_in_total Entries of log or audit that a target was given.
# TYPE gridmesh_target_entries_in_total counter
gridmesh_target_entries_in_total{kind="console",system="log",target="console"} 1
gridmesh_target_entries_in_total{kind="file",system="audit",target="a"} 1
gridmesh_target_entries_in_total{kind="file",system="log",target="a"} 1
`
	if err := testutil.CollectAndCompare(s.Collector(), strings.NewReader(want), "gridmesh_target_entries_in_total"); err != nil {
		t.Error(err)
	}
}
