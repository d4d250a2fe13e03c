package posting

import (
	"net/http"
	"testing"
	"time"
)

// TestRetryAfter: a number or a date, and never anything that is not after now.
func TestRetryAfter(t *testing.T) {
	now := time.Now()
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999999": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if got := retryAfter(now.Add(time.Minute).UTC().Format(http.TimeFormat), now); got < 58*time.Second || got > time.Minute {
		t.Errorf("a date in a minute: %v", got)
	}
}
