package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestGoesToTargets: log and audit go where the configuration says, each target
// gets what is of its level, and the next process goes on with the ids.
func TestGoesToTargets(t *testing.T) {
	dir, hook := t.TempDir(), targettest.NewHook(t)
	config := fmt.Sprintf(`
logging:
  targets:
  - {name: all, level: debug, file: {path: %[1]s/all.log}}
  - {name: people, file: {path: %[1]s/people.log, format: text}}
  - {name: central, level: warn, webhook: {url: '%[2]s'}, batch: {age: 1ms}}
audit:
  targets:
  - {name: all, policy: block, file: {path: %[1]s/audit.log}}
  - {name: central, webhook: {url: '%[2]s'}, batch: {age: 1ms}}
`, dir, hook.URL)
	for life := range 2 {
		s, console := openSystem(t, Options{DataDir: filepath.Join(dir, "data"), LogFormat: "json", Version: "v1"})
		apply(t, s, config)
		log := s.Log().Logger()
		log.Debug("one")
		log.Info("two")
		log.Warn("three")
		s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain})
		closeSystem(t, s)
		if got := messages(targettest.ParseLines([]byte(console.String()))); !slices.Equal(got, []string{"two", "three"}) {
			t.Errorf("console: %q", got)
		}
		for name, each := range map[string][]string{"all.log": {"one", "two", "three"}} {
			if got := messages(readLines(t, filepath.Join(dir, name))); !slices.Equal(got, slices.Repeat(each, life+1)) {
				t.Errorf("%s: %q", name, got)
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, "people.log"))
		if err != nil || strings.Count(string(text), "two") != life+1 || strings.Contains(string(text), "{") {
			t.Errorf("people.log: %s %v", text, err)
		}
		records := readLines(t, filepath.Join(dir, "audit.log"))
		if got := events(records); !slices.Equal(got, slices.Repeat([]string{"start", "drain", "stop"}, life+1)) {
			t.Errorf("audit.log: %q", got)
		}
		for i, r := range records {
			if id := fmt.Sprint(r["id"]); !strings.HasSuffix(id, fmt.Sprintf("-%016d", i+1)) {
				t.Errorf("record %d has id %s", i+1, id)
			}
		}
		got := hook.Wait(t, func(lines []map[string]any) bool { return len(lines) >= 4*(life+1) })
		if !slices.Equal(messages(got), slices.Repeat([]string{"three"}, life+1)) || !slices.Equal(events(got), slices.Repeat([]string{"start", "drain", "stop"}, life+1)) {
			t.Errorf("webhook: %v", got)
		}
	}
}

// TestNothingLostWhileAway: what a receiver does not take waits on disk, through
// the end of the process, and comes then, in order (fault rows 75, 79, 83;
// field-history D1, D4, L9).
func TestNothingLostWhileAway(t *testing.T) {
	dir, hook := t.TempDir(), targettest.NewHook(t)
	config := fmt.Sprintf(`
logging: {targets: [{name: central, webhook: {url: '%[1]s'}, batch: {age: 1ms, entries: 7}}]}
audit: {targets: [{name: central, policy: block, webhook: {url: '%[1]s'}, batch: {age: 1ms}}]}
`, hook.URL)
	hook.Answer(http.StatusServiceUnavailable)
	var want []string
	const lives, each = 3, 50
	for life := range lives {
		s, console := openSystem(t, Options{DataDir: dir})
		apply(t, s, config)
		for n := range each {
			want = append(want, fmt.Sprintf("%d/%d", life, n))
			info(s, want[len(want)-1])
			s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain})
		}
		if life < lives-1 {
			ctx, cancel := timeout(50 * time.Millisecond)
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			continue
		}
		hook.Answer(0)
		got := hook.Wait(t, func(lines []map[string]any) bool { return len(lines) >= lives*(2*each+2)-1 })
		if !slices.Equal(messages(got), want) {
			t.Errorf("log: %q", messages(got))
		}
		if n := len(events(got)); n != lives*(each+2)-1 {
			t.Errorf("%d records", n)
		}
		if strings.Contains(console.String(), "lost") {
			t.Error(console)
		}
	}
}

// TestApplyRefuses: a configuration that is not possible is refused whole, and
// the one before stays in use (field-history L25, L38).
func TestApplyRefuses(t *testing.T) {
	dir := t.TempDir()
	s, _ := openSystem(t, Options{})
	apply(t, s, fmt.Sprintf("logging: {targets: [{name: a, file: {path: %s/a.log}}]}", dir))
	before := s.Log().Outputs()
	for text, want := range map[string]string{
		"audit: {targets: [{name: a, policy: block, webhook: {url: 'http://h'}}]}":               "audit.targets[0].policy: block has calls wait until their records are on disk; set data-dir, which says on which, or in a pod mount a volume at /var/lib/gridmesh",
		"logging: {targets: [{name: b, webhook: {url: 'http://h'}, spool: {maxBytes: 257MiB}}]}": "logging.targets[0].spool.maxBytes: it is 257MiB; without a data-dir (in a pod, a volume at /var/lib/gridmesh) entries wait in memory, and allowed are 256MiB",
	} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(c); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	c := Config{Logging: Logging{Targets: []Target{{Name: "b"}, {Name: "b"}}}} // not of Parse
	if err := s.Apply(c); err == nil {
		t.Error("a configuration that was not checked was taken")
	}
	if after := s.Log().Outputs(); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	if st := s.Status(); st.RefusedConfigs != 3 || !strings.Contains(st.LastError, "logging.targets[0]: it says not where") {
		t.Errorf("%+v", st)
	}
	apply(t, s, "{}")
	if st := s.Status(); st.RefusedConfigs != 3 || st.LastError != "" || len(st.Targets) != 1 {
		t.Errorf("%+v", st)
	}
	closeSystem(t, s)
	if err := s.Apply(Config{}); err == nil {
		t.Error("a system that was closed took a configuration")
	}
}

// TestApplyIsWhole: where one of several targets cannot be made, none is.
func TestApplyIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, dirIDs, dirLog), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, dirIDs, dirLog, "bad"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := openSystem(t, Options{DataDir: dir})
	c, err := Parse(fmt.Appendf(nil, "logging: {targets: [{name: good, file: {path: %[1]s/a}}, {name: bad, file: {path: %[1]s/b}}]}", dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(c); err == nil || !strings.Contains(err.Error(), filepath.Join(dirLog, "bad")) {
		t.Error(err)
	}
	if n := len(s.Log().Outputs()); n != 1 || len(s.seqs) != 0 {
		t.Errorf("%d outputs, %d sequences", n, len(s.seqs))
	}
	if err := os.Remove(filepath.Join(dir, dirIDs, dirLog, "bad")); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(c); err != nil {
		t.Error(err)
	}
}

// TestSameDataDir: two processes do not share a data directory.
func TestSameDataDir(t *testing.T) {
	dir := t.TempDir()
	openSystem(t, Options{DataDir: dir})
	if s, err := Open(Options{DataDir: dir, Console: &console{}}); err == nil || s != nil || !strings.Contains(err.Error(), "data-dir: ") {
		t.Errorf("%v", err)
	}
}

// TestUnchangedTargetsStay: a target that is in both configurations as it was is
// the same one, whatever else changes; one that is not is another.
func TestUnchangedTargetsStay(t *testing.T) {
	dir := t.TempDir()
	config := func(level, keep, policy string) string {
		return fmt.Sprintf(`
logging: {targets: [{name: a, level: %[2]s, file: {path: %[1]s/a, keep: %[3]s}}, {name: b, file: {path: %[1]s/b}}]}
audit: {outgoing: true, targets: [{name: a, policy: %[4]s, file: {path: %[1]s/c}}]}
`, dir, level, keep, policy)
	}
	s, _ := openSystem(t, Options{Level: slog.LevelError})
	apply(t, s, config("info", "3", "drop"))
	logs, audits := s.Log().Outputs(), s.Audit().Targets()
	apply(t, s, config("warn", "3", "drop"))
	now := s.Log().Outputs()
	if now[1].Target != logs[1].Target || now[2].Target != logs[2].Target || s.Audit().Targets()[0] != audits[0] {
		t.Error("targets that did not change are others")
	}
	if *now[1].Level != slog.LevelWarn || now[2].Level != nil {
		t.Error("the level has not changed")
	}
	apply(t, s, config("warn", "4", "block"))
	last := s.Log().Outputs()
	if last[1].Target == logs[1].Target || last[2].Target != logs[2].Target || s.Audit().Targets()[0] == audits[0] {
		t.Error("a target that changed is the same one, or the other way round")
	}
}

// TestLevels: the configuration's level holds, and without one the program's.
func TestLevels(t *testing.T) {
	s, _ := openSystem(t, Options{Level: slog.LevelWarn})
	for _, c := range []struct {
		config string
		level  slog.Level // of the program
		want   slog.Level
	}{
		{"{}", slog.LevelWarn, slog.LevelWarn},
		{"logging: {level: debug}", slog.LevelError, slog.LevelDebug},
		{"logging: {level: error}", slog.LevelInfo, slog.LevelError},
		{"{}", slog.LevelInfo, slog.LevelInfo},
	} {
		apply(t, s, c.config)
		s.SetLevel(c.level)
		if got := s.Log().Level(); got != c.want {
			t.Errorf("%s and %v: %v, want %v", c.config, c.level, got, c.want)
		}
	}
}

// TestFileChangesHands: a file that goes from one target to another has each
// entry once and no line torn, though the first one is still being closed.
func TestFileChangesHands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	s, _ := openSystem(t, Options{})
	var want []string
	for n := range 200 {
		apply(t, s, fmt.Sprintf("logging: {targets: [{name: %c, file: {path: %s}}]}", 'a'+n%3, path))
		want = append(want, strconv.Itoa(n))
		info(s, strconv.Itoa(n))
	}
	closeSystem(t, s)
	got := messages(readLines(t, path))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries of %d: %q", len(got), len(want), got)
	}
}

// TestComesBack: a target that was removed while its receiver was away, and is
// added again, delivers what it had on disk.
func TestComesBack(t *testing.T) {
	hook := targettest.NewHook(t)
	hook.Answer(http.StatusBadGateway)
	s, _ := openSystem(t, Options{DataDir: t.TempDir()})
	config := fmt.Sprintf("logging: {targets: [{name: a, webhook: {url: '%s'}, batch: {age: 1ms}}]}", hook.URL)
	for n := range 5 {
		apply(t, s, config)
		info(s, strconv.Itoa(n))
		if n < 4 {
			apply(t, s, "{}")
		}
	}
	hook.Answer(0)
	got := hook.Wait(t, func(lines []map[string]any) bool { return len(lines) >= 5 })
	if got := messages(got); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%q", got)
	}
}

// TestIDsLost: where the data directory has lost how far ids were given, as
// after a loss of power, no entry is taken for one that was delivered.
func TestIDsLost(t *testing.T) {
	dir, hook := t.TempDir(), targettest.NewHook(t)
	config := fmt.Sprintf(`
logging: {targets: [{name: a, webhook: {url: '%[1]s'}, batch: {age: 1ms}}]}
audit: {targets: [{name: a, webhook: {url: '%[1]s'}, batch: {age: 1ms}}, {name: b, file: {path: %[2]s/audit.log}}]}
`, hook.URL, dir)
	for life := range 2 {
		s, _ := openSystem(t, Options{DataDir: dir})
		apply(t, s, config)
		for range 20 {
			info(s, "said")
			s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain})
		}
		closeSystem(t, s)
		got := hook.Wait(t, func(lines []map[string]any) bool { return len(lines) >= 42*(life+1) })
		if m, e := messages(got), events(got); len(m) != 20*(life+1) || len(e) != 22*(life+1) || slices.Contains(e, audit.EventGap) {
			t.Errorf("life %d: %d entries, %q", life, len(m), e)
		}
		if e := events(readLines(t, filepath.Join(dir, "audit.log"))); len(e) != 22*(life+1) {
			t.Errorf("life %d: %q", life, e)
		}
		if err := os.RemoveAll(filepath.Join(dir, dirIDs)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOptionalFiles: files that may be absent count as not given while they are,
// and have the target made anew when they come.
func TestOptionalFiles(t *testing.T) {
	dir, hook := t.TempDir(), targettest.NewHook(t)
	config := fmt.Sprintf(`logging: {targets: [{name: a, optionalFiles: true, webhook: {url: '%s',
  caFile: %[2]s/ca, certFile: %[2]s/crt, keyFile: %[2]s/key, tokenFile: %[2]s/token}, batch: {age: 1ms}}]}`, hook.URL, dir)
	s, _ := openSystem(t, Options{})
	apply(t, s, config)
	info(s, "one")
	hook.Wait(t, func(lines []map[string]any) bool { return len(lines) == 1 })
	before := s.Log().Outputs()[1].Target
	apply(t, s, config)
	if s.Log().Outputs()[1].Target != before {
		t.Error("nothing has changed, and it is another target")
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, s, config)
	if s.Log().Outputs()[1].Target == before {
		t.Error("there is a token now, and it is the same target")
	}
	info(s, "two")
	hook.Wait(t, func(lines []map[string]any) bool { return len(lines) == 2 })
}

// TestAuditIsTurnedOff: who takes all targets away from an audit ends it for all
// calls to come. Its last record says when, and the next that it goes on: a trail
// that just ends could as well be of a node to which nobody came.
func TestAuditIsTurnedOff(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	s, _ := openSystem(t, Options{})
	on := fmt.Sprintf(`audit: {targets: [{name: a, file: {path: %s}}]}`, name)
	drain := func() { s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain}) }
	apply(t, s, on)
	drain()
	apply(t, s, `{}`)
	drain() // for nobody
	apply(t, s, `{}`)
	apply(t, s, on)
	drain()
	closeSystem(t, s)
	if got := events(readLines(t, name)); !slices.Equal(got, []string{"start", "drain", "stop", "start", "drain", "stop"}) {
		t.Errorf("%q", got)
	}
}
