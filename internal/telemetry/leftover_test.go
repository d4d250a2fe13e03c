package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
		const words = "what waits for it stays on disk"
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
	good := newReceiver(t)
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
	got := good.wait(t, func(lines []map[string]any) bool { return len(lines) > 0 }) // else it hangs, as the other one does
	select {
	case <-closed:
		t.Error("it did not wait for the one that hangs")
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
// did not run is told of, once.
func TestQueuesOfNobody(t *testing.T) {
	dir := t.TempDir()
	const config = `{logging: {targets: [{name: %[1]s, webhook: {url: "http://127.0.0.1:1"}}]}, audit: {targets: [{name: %[1]s, webhook: {url: "http://127.0.0.1:1"}}]}}`
	life := func(name string) string {
		t.Helper()
		s, console := openSystem(t, Options{DataDir: dir})
		for range 3 {
			apply(t, s, fmt.Sprintf(config, name))
		}
		info(s, "waits")
		ctx, cancel := timeout(10 * time.Millisecond)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		return console.String()
	}
	const words = "what waits for it stays on disk"
	if got := life("before"); strings.Contains(got, words) {
		t.Errorf("the first life says %s", got)
	}
	if got := life("after"); strings.Count(got, words) != 2 || strings.Count(got, `"target":"before"`) < 2 {
		t.Errorf("the second life says %s", got)
	}
	if got := life("before"); strings.Count(got, words) != 2 || strings.Count(got, `"target":"after"`) < 2 {
		t.Errorf("the third life says %s", got)
	}
}
