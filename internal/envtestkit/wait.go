package envtestkit

import (
	"testing"
	"time"
)

// pause is between two looks at what a test waits for.
const pause = 20 * time.Millisecond

// Wait waits until look says true. When that does not come it fails the test with
// what look said last.
func Wait(tb testing.TB, what string, look func() (state string, done bool)) {
	tb.Helper()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	timeout := time.NewTimer(hang)
	defer timeout.Stop()
	for {
		state, done := look()
		if done {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout.C:
			tb.Fatalf("waited %s for %s; now: %s", hang, what, state)
		case <-tb.Context().Done():
			tb.Fatalf("waiting for %s: %v; last: %s", what, tb.Context().Err(), state)
		}
	}
}
