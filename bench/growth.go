package main

import (
	"context"
	"fmt"
	"strconv"
)

var (
	growthCalls   = []int{10, 100, 1000, 10_000}
	growthStreams = []int{1000, 3000, 10_000}
)

// growthCases tell how the cost of one grows with the number of all.
func growthCases() []Case {
	calls := Case{
		Group: "growth", Variant: "calls", Needs: CanCall,
		Metrics: []Metric{{Name: "share", Head: "cpu/op last ÷ first"}, {Name: "rise", Head: "rise", Beside: true}},
		Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
			return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) { return growCalls(ctx, p, w) })
		},
	}
	for _, n := range growthCalls {
		calls.Metrics = append(calls.Metrics, Metric{Name: cpuAt(n), Head: fmt.Sprintf("cpu µs at %d", n)})
	}
	streams := Case{
		Group: "growth", Variant: "streams", Needs: CanHold,
		Metrics: []Metric{{Name: "share", Head: "heap/stream last ÷ first"}},
		Run: func(ctx context.Context, s System, _ stopwatch) (Values, error) {
			return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) { return growStreams(ctx, s, p) })
		},
	}
	for _, n := range growthStreams {
		streams.Metrics = append(streams.Metrics, Metric{Name: heapAt(n), Head: fmt.Sprintf("heap KiB/end at %d", n)})
	}
	return []Case{calls, streams}
}

func cpuAt(n int) string  { return "cpu_us_" + strconv.Itoa(n) }
func heapAt(n int) string { return "heap_kib_" + strconv.Itoa(n) }

// growCalls has more and more calls in flight on one connection. The share is
// of the last step's cost to the first's; the rise is the largest ratio of a
// step's cost to the least before it: below 1 when the cost falls throughout.
func growCalls(ctx context.Context, p Pair, w stopwatch) (Values, error) {
	values := make(Values)
	var costs []float64
	for _, n := range growthCalls {
		r, err := w.measured(ctx, crowd{callers: n, size: smallSize}.of(p, Echo))
		if err != nil {
			return nil, fmt.Errorf("%d calls in flight: %w", n, err)
		}
		values[cpuAt(n)] = r.cpuMicros()
		costs = append(costs, r.cpuMicros())
	}
	values["share"] = costs[len(costs)-1] / costs[0]
	values["rise"] = rise(costs)
	return values, nil
}

// growStreams opens more and more streams on one connection, and leaves them.
// The share is of the last step's heap for a stream to the first's.
func growStreams(ctx context.Context, s System, p Pair) (Values, error) {
	holder, ok := p.(Holder)
	if !ok {
		return nil, fmt.Errorf("%s says it can hold streams, but its pair is no Holder", s.Name())
	}
	// The first stream brings what is made once for all.
	if err := holder.Hold(ctx, 1); err != nil {
		return nil, err
	}
	before, open := footprintNow(), 0
	values := make(Values)
	for _, n := range growthStreams {
		if err := holder.Hold(ctx, n-open); err != nil {
			return nil, fmt.Errorf("%d idle streams: %w", n, err)
		}
		open = n
		// Each stream has an end on both sides, and both are in this process.
		values[heapAt(n)] = (footprintNow().heap - before.heap) / float64(n) / 2 / kib
	}
	first, last := growthStreams[0], growthStreams[len(growthStreams)-1]
	values["share"] = values[heapAt(last)] / values[heapAt(first)]
	return values, nil
}

// rise is the largest ratio of a value to the least of those before it.
func rise(values []float64) float64 {
	least, worst := values[0], 0.0
	for _, v := range values[1:] {
		worst = max(worst, v/least)
		least = min(least, v)
	}
	return worst
}
