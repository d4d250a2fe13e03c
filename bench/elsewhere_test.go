package main

import (
	"math"
	"runtime"
	"testing"
	"time"
)

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  100 20 3 9999 9999 9999 9999 4 9999 9999\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if want := 1270 * time.Millisecond; got != want || err != nil {
		t.Errorf("busy = %s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu a 2 3 4 5 6 7 8"} {
		if _, err := parseBusy(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestElsewhereIsWhatOthersUsed(t *testing.T) {
	start := time.Now()
	cpus := runtime.NumCPU()
	of := func(share float64) time.Duration { return time.Duration(share * float64(cpus) * float64(time.Second)) }
	before := clock{at: start, all: time.Minute, self: time.Second}
	for _, tc := range []struct {
		name  string
		after clock
		want  float64
	}{
		{"a quarter", clock{at: start.Add(time.Second), all: time.Minute + of(1), self: time.Second + of(0.75)}, 0.25},
		{"none, as ticks have it", clock{at: start.Add(time.Second), all: time.Minute, self: 2 * time.Second}, 0},
		{"unknown", clock{at: start.Add(time.Second), self: 2 * time.Second}, 0},
	} {
		if got := tc.after.elsewhere(before); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", tc.name, got, tc.want)
		}
	}
}
