package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// TestRemovedWhileAway: a target that is removed, or renamed, while its receiver
// is away leaves what waits for it on disk, and that is said. One of its name
// delivers it; one that follows at once is no reason to say anything.
func TestRemovedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, console := openSystem(t, Options{DataDir: filepath.Join(t.TempDir(), "data")})
		const away = `{targets: [{name: central, webhook: {url: "http://127.0.0.1:1", timeout: 1s}}]}`
		apply(t, s, "{logging: "+away+", audit: "+away+"}")
		info(s, "waits")
		time.Sleep(time.Second)
		apply(t, s, "{}")
		apply(t, s, "{logging: "+away+", audit: "+away+"}")
		time.Sleep(2 * leftTime)
		const words = "queue on disk without a target"
		if strings.Contains(console.String(), words) {
			t.Errorf("said of a target that another one follows: %s", console)
		}
		apply(t, s, "{}")
		time.Sleep(2 * leftTime)
		if got := console.String(); strings.Count(got, words) != 2 || !strings.Contains(got, `"target":"central"`) {
			t.Errorf("got %s", got)
		}
	})
}

// TestHangingAtTheEnd: a receiver of the audit that hangs takes all the time that
// there is for the end, and none of it from a target of the log: what lies there
// in a batch that is not full yet is delivered.
func TestHangingAtTheEnd(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or else the server does not see that the client has gone
		<-r.Context().Done()
	}))
	defer hangs.Close()
	good := targettest.NewHook(t)
	s, console := openSystem(t, Options{})
	apply(t, s, fmt.Sprintf(`
logging: {targets: [{name: good, webhook: {url: %q}, batch: {age: 5m}}]}
audit: {targets: [{name: hangs, webhook: {url: %q}, batch: {age: 1ms}}]}
`, good.URL, hangs.URL))
	info(s, "the last words")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- s.Close(ctx) }()
	got := good.Wait(t, func(lines []map[string]any) bool { return len(lines) > 0 }) // else it hangs, as the other one does
	select {
	case err := <-closed:
		t.Errorf("it did not wait for the one that hangs: %v", err)
	default:
		cancel() // the time is over
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if got := messages(got); len(got) != 1 {
		t.Errorf("the log has %q; the console says %s", got, console)
	}
}

// TestQueuesOfNobody: what waits for a target that was renamed while the program
// did not run, or has become one that keeps no queue, is told of once, with its
// folder and size, and is seen until it is delivered or deleted.
func TestQueuesOfNobody(t *testing.T) {
	dir, hook := t.TempDir(), targettest.NewHook(t)
	const away = "http://127.0.0.1:1"
	config := func(name, url string) string {
		t := fmt.Sprintf("{targets: [{name: %s, webhook: {url: %q}, batch: {age: 1ms}}]}", name, url)
		return fmt.Sprintf("{logging: %s, audit: %s}", t, t)
	}
	file := func(name string) string {
		return fmt.Sprintf("{logging: {targets: [{name: %[1]s, file: {path: %[2]s/said}}]}, audit: {targets: [{name: %[1]s, file: {path: %[2]s/done}}]}}", name, dir)
	}
	data := filepath.Join(dir, "data")
	// life has a program run, that tells of the queues of the names said.
	life := func(config string, then func(s *System), said ...string) {
		t.Helper()
		s, console := openSystem(t, Options{DataDir: data})
		for range 3 {
			apply(t, s, config)
		}
		info(s, "waits")
		if then != nil {
			then(s)
		}
		patience := time.Minute
		if strings.Contains(config, away) {
			patience = 10 * time.Millisecond
		}
		ctx, cancel := timeout(patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		got := console.String()
		if n := strings.Count(got, "queue on disk without a target"); n != 2*len(said) {
			t.Errorf("with %s it is told of %d queues: %s", config, n, got)
		}
		for _, name := range said {
			if !strings.Contains(got, fmt.Sprintf("%q:%q", "folder", filepath.Join(data, dirLog, name))) {
				t.Errorf("with %s the console says %s", config, got)
			}
		}
	}
	left := func(want ...string) func(s *System) {
		return func(s *System) {
			t.Helper()
			var got []string
			for _, q := range s.Status().LeftQueues {
				got = append(got, q.System+" "+q.Name)
				if q.Bytes < 50 || q.Bytes > 10<<10 || q.Folder != filepath.Join(data, q.System, q.Name) {
					t.Errorf("%+v", q)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("left are %q, want %q", got, want)
			}
			if n := testutil.CollectAndCount(s.Collector(), "gridmesh_left_queue_bytes"); n != len(want) {
				t.Errorf("%d lines in /metrics, want %d", n, len(want))
			}
		}
	}
	life(config("one", away), left())
	life(config("two", away), left("audit one", "log one"), "one")
	life(config("one", away), left("audit two", "log two"), "two")
	life(file("one"), left("audit one", "audit two", "log one", "log two"), "one", "two")
	life(config("two", away), func(s *System) {
		for _, system := range []string{dirLog, dirAudit} {
			if err := os.RemoveAll(filepath.Join(data, system, "one")); err != nil {
				t.Fatal(err)
			}
		}
		left()(s)
		apply(t, s, file("two")) // it takes over what waits
		left()(s)
	}, "one")
	life(config("two", hook.URL), left())
	life(config("three", hook.URL), left())
}

// TestRemovedAndBack: what a target could not deliver before it was removed is
// told of as missing when one of its name comes, and so is what was recorded
// meanwhile; what it has on disk is delivered.
func TestRemovedAndBack(t *testing.T) {
	for _, c := range []struct {
		what       string
		disk       bool
		log, audit []string
	}{
		{"memory", false, []string{"3 target removed", "back"}, []string{"4 target removed", "2 target absent", "drain", "stop"}},
		{"disk", true, []string{"waits", "waits", "waits", "back"}, []string{"start", "drain", "drain", "drain", "2 target absent", "drain", "stop"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, o := t.TempDir(), Options{}
				if c.disk {
					o.DataDir = filepath.Join(dir, "data")
				}
				s, console := openSystem(t, o)
				record := func() { s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventDrain}) }
				const away, other = `{name: central, webhook: {url: "http://127.0.0.1:1", timeout: 1s}}`, `{name: other, console: {}}`
				apply(t, s, fmt.Sprintf("{logging: {targets: [%s]}, audit: {targets: [%s, %s]}}", away, away, other))
				for range 3 {
					info(s, "waits")
					record()
				}
				time.Sleep(time.Second)
				apply(t, s, fmt.Sprintf("{audit: {targets: [%s]}}", other))
				record()
				time.Sleep(2 * leftTime)
				record()
				file := func(name string) string { return fmt.Sprintf("{name: central, file: {path: %s/%s}}", dir, name) }
				apply(t, s, fmt.Sprintf("{logging: {targets: [%s]}, audit: {targets: [%s, %s]}}", file("log"), file("audit"), other))
				info(s, "back")
				record()
				closeSystem(t, s)
				for name, want := range map[string][]string{"log": c.log, "audit": c.audit} {
					var got []string
					for _, l := range readLines(t, filepath.Join(dir, name)) {
						words := fmt.Sprint(cmp.Or(l["event"], l["msg"]))
						if l["reason"] != nil {
							words = fmt.Sprintf("%v %v", l["count"], l["reason"])
						}
						got = append(got, words)
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s has %q, want %q; the console says %s", name, got, want, console)
					}
				}
				if left := s.leftQueues(); len(left) > 0 {
					t.Errorf("left are %v", left)
				}
			})
		})
	}
}
