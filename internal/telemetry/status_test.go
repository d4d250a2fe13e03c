package telemetry

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// TestCut: a sentence that a receiver wrote is cut between letters.
func TestCut(t *testing.T) {
	for _, words := range []string{"", "short", strings.Repeat("x", maxWords), strings.Repeat("x", maxWords-1) + "é", strings.Repeat("€", maxWords)} {
		got := cut(words)
		if !utf8.ValidString(got) || !strings.HasPrefix(words, got) || len(got) < min(len(words), maxWords)-utf8.UTFMax {
			t.Errorf("%d bytes of %d: %q", len(got), len(words), got)
		}
	}
}

// TestStatusDuringAChange: how log and audit are is told while a change of where
// they go hangs, as on a disk that does.
func TestStatusDuringAChange(t *testing.T) {
	s, _ := openSystem(t, Options{DataDir: t.TempDir()})
	s.mu.Lock()
	defer s.mu.Unlock()
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.Status()
		for range gather(s) { // all of them
		}
	}()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("it waits for the change")
	}
}

// gather gives the metrics of a system.
func gather(s *System) <-chan prometheus.Metric {
	to := make(chan prometheus.Metric)
	go func() {
		defer close(to)
		s.Collector().Collect(to)
	}()
	return to
}
