package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestWitnessTellsWhatWorkDoes: of calls that work has made slower the rise tells;
// others that happen to be slow it does not hold against it.
func TestWitnessTellsWhatWorkDoes(t *testing.T) {
	const (
		calls, every  = 400_000, 250 * time.Microsecond
		period, works = 100 * time.Millisecond, 200 * time.Microsecond
	)
	for name, c := range map[string]struct {
		delay time.Duration // of the calls that begin while there is work
		stall int           // of so many calls one, for long, whatever the work does
		want  float64
	}{
		"nothing":     {0, 0, 1},
		"its machine": {0, 90, 1},
		// 50 µs and an exponential tail of 50 µs have their p99 at 50 + 50 ln 100;
		// 0.2 % more above it move it to 50 + 50 ln 125.
		"slow calls": {time.Millisecond, 0, (1 + math.Log(125)) / (1 + math.Log(100))},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			w := newWitness(calls)
			for at := time.Duration(0); at < calls*every; at += period {
				w.work = append(w.work, span{at, at + works})
			}
			for at := time.Duration(0); at < calls*every; at += every {
				from := at + time.Duration(random.Int64N(int64(every)))
				took := 50*time.Microsecond + time.Duration(random.ExpFloat64()*float64(50*time.Microsecond))
				if c.stall > 0 && random.IntN(c.stall) == 0 {
					took += 20 * time.Millisecond
				}
				if from%period < works {
					took += c.delay
				}
				w.calls = append(w.calls, span{from, from + took})
			}
			rise, err := w.rise()
			if err != nil || math.Abs(rise-c.want) > 0.01 {
				t.Errorf("rise %.3f, %v; want %.3f", rise, err, c.want)
			}
		})
	}
}

// TestWitnessSeesWork: what is nearby a piece of work is touched by it; of a long
// one its beginning and its end are work.
func TestWitnessSeesWork(t *testing.T) {
	const ms = time.Millisecond
	w := newWitness(0)
	w.began = time.Now().Add(-1100 * ms)
	w.worked(w.began.Add(100 * ms)) // until now
	w.work[1] = span{1095 * ms, 1100 * ms}
	w.work = append(w.work, span{1096 * ms, 1097 * ms}) // within another one
	work := merged(w.work)
	for name, c := range map[string]struct {
		from time.Duration
		want bool
	}{
		"before":           {100*ms - nearby, false},
		"nearby before":    {100*ms - nearby + 1, true},
		"at its beginning": {101 * ms, true},
		"in between":       {100*ms + edge + nearby, false},
		"still in between": {1095*ms - nearby, false},
		"at its end":       {1098 * ms, true},
		"nearby behind":    {1100*ms + nearby - 1, true},
		"behind":           {1100*ms + nearby, false},
	} {
		if got := touched(work, c.from); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestWitnessNeedsQuiet: without a call that nothing touched there is no rise.
func TestWitnessNeedsQuiet(t *testing.T) {
	w := newWitness(1)
	w.work = []span{{0, time.Second}}
	w.calls = []span{{0, time.Millisecond}}
	if rise, err := w.rise(); err == nil {
		t.Errorf("rise %v", rise)
	}
	w.reset()
	w.work = nil
	if _, err := w.rise(); err == nil {
		t.Error("no call at all, and no error")
	}
}
