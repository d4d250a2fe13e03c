package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// turns is how often those that one measurement compares take turns: what the
// machine does meanwhile hits all of them alike.
const turns = 64

// inTurns measures crowds, which take so many turns, each with a run of its own.
// Together they take as long as each alone would in measured, times their number.
func (s stopwatch) inTurns(ctx context.Context, turns int, crowds ...crowd) ([]*run, error) {
	runs := make([]*run, len(crowds))
	order := make([]int, len(crowds))
	for i, c := range crowds {
		c.begin()
		if _, err := drive(ctx, s.warm, []crowd{c}); err != nil {
			return nil, fmt.Errorf("warm up: %w", err)
		}
		runs[i], order[i] = &run{tallies: []tally{{latency: new(Histogram)}}}, i
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	for range turns {
		for _, i := range order {
			crowds[i].begin()
			r, err := drive(ctx, s.measure/time.Duration(turns), crowds[i:i+1])
			if err != nil {
				return nil, err
			}
			runs[i].add(r)
		}
		slices.Reverse(order) // nobody is always after the same
	}
	for _, r := range runs {
		if r.calls() == 0 {
			return nil, fmt.Errorf("no call was answered in %d turns of %s", turns, s.measure/time.Duration(turns))
		}
	}
	return runs, nil
}

// settle is before what is measured.
func (s stopwatch) settle() error {
	runtime.GC()
	if s.begin == nil {
		return nil
	}
	return s.begin()
}

// add counts a run of the same one crowd.
func (r *run) add(o *run) {
	r.elapsed += o.elapsed
	r.used.cpu += o.used.cpu
	r.used.allocs += o.used.allocs
	r.used.bytes += o.used.bytes
	r.p99s = append(r.p99s, o.quantile(0.99))
	t := &r.tallies[0]
	t.latency.Add(o.tallies[0].latency)
	t.calls += o.tallies[0].calls
	t.bytes += o.tallies[0].bytes
}

// quantile of the one crowd, over all its calls, in microseconds.
func (r *run) quantile(q float64) float64 { return micros(r.tallies[0].latency.Quantile(q)) }

// p99Ratio is the geometric mean of the ratios of p99 in each turn of r and the one
// of o beside it. One moment in which the machine did something else is the whole
// of the p99 of all calls, and one turn of this.
func (r *run) p99Ratio(o *run) float64 {
	sum := 0.0
	for i := range r.p99s {
		sum += math.Log(r.p99s[i] / o.p99s[i])
	}
	return math.Exp(sum / float64(len(r.p99s)))
}

// A cost is what one of something takes, all that is done behind it included.
type cost struct{ cpuNanos, allocs float64 }

// stepOps is how many are done between two readings of the clock.
const stepOps = 256

// costs does each of the things again and again on one goroutine, in turns. Each
// is given how often to do it, so that it can be called without a detour.
func (s stopwatch) costs(ctx context.Context, things ...func(n int)) ([]cost, error) {
	used, done := make([]usage, len(things)), make([]float64, len(things))
	order := make([]int, len(things))
	for i := range things {
		order[i] = i
	}
	do := func(i int, d time.Duration) (n int) {
		for began := time.Now(); time.Since(began) < d && ctx.Err() == nil; n += stepOps {
			things[i](stepOps)
		}
		return n
	}
	for i := range things {
		do(i, s.warm)
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	for range turns {
		for _, i := range order {
			before, err := usageNow()
			if err != nil {
				return nil, err
			}
			done[i] += float64(do(i, s.measure/turns))
			after, err := usageNow()
			if err != nil {
				return nil, err
			}
			u := after.since(before)
			used[i].cpu += u.cpu
			used[i].allocs += u.allocs
		}
		slices.Reverse(order)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all := make([]cost, len(things))
	for i := range all {
		all[i] = cost{float64(used[i].cpu) / done[i], float64(used[i].allocs) / done[i]}
	}
	return all, nil
}
