package telemetry

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestNoRecursion: what a target fails with is told on the console and becomes
// no entry of any target, itself included, be the console at /dev/full or not
// (fault row 82; field-history L1, L2).
func TestNoRecursion(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	for name, to := range map[string]*os.File{"console": nil, "full console": full} {
		t.Run(name, func(t *testing.T) {
			hook := targettest.NewHook(t)
			hook.Answer(http.StatusInternalServerError)
			dir := t.TempDir()
			o := Options{DataDir: filepath.Join(dir, "data")}
			if to != nil {
				o.Console = to
			}
			s, console := openSystem(t, o)
			apply(t, s, fmt.Sprintf(`
logging:
  level: debug
  targets:
  - {name: fails, webhook: {url: '%[1]s'}, batch: {age: 1ms}}
  - {name: nowhere, file: {path: /proc/no/such/file}}
  - {name: works, file: {path: %[2]s/log}}
audit:
  targets:
  - {name: fails, webhook: {url: '%[1]s'}, batch: {age: 1ms}}
  - {name: screen, console: {}}
`, hook.URL, dir))
			const entries = 20
			for n := range entries {
				info(s, strconv.Itoa(n))
				s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain})
			}
			// One has failed, and that was told; the other one has all.
			for all := s.Status().Targets; all[1].Retried < 2 || all[3].Out < entries; all = s.Status().Targets {
				<-time.After(time.Millisecond)
			}
			ctx, cancel := timeout(50 * time.Millisecond)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
			if got := messages(readLines(t, filepath.Join(dir, "log"))); len(got) != entries {
				t.Errorf("the target that works has %q", got)
			}
			if to == nil && !strings.Contains(console.String(), "target does not take entries, they wait") {
				t.Errorf("nothing was told: %s", console)
			}
			if n := strings.Count(console.String(), "do not take"); n > 4 {
				t.Errorf("told %d times", n)
			}
		})
	}
}
