package main

import (
	"context"
	"time"
)

// mixedCases are small calls while large ones run on the same connection.
func mixedCases() []Case {
	var list []Case
	for _, large := range []struct {
		name string
		size int
	}{{"none", 0}, {"4MiB", 4 << 20}, {"32MiB", 32 << 20}} {
		list = append(list, Case{
			Group: "mixed", Variant: large.name, Needs: CanCall | CanBulk,
			Metrics: []Metric{
				{Name: "small_p50_us", Head: "small p50 µs"},
				{Name: "small_p99_us", Head: "small p99 µs", Beside: true},
				{Name: "large_mbs", Head: "large MB/s", Beside: true},
			},
			Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
				return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) {
					crowds := []crowd{crowd{callers: 4, size: smallSize, pause: time.Millisecond}.of(p, Echo)}
					if large.size > 0 {
						crowds = append(crowds, crowd{callers: 2, size: large.size}.of(p, Echo))
					}
					r, err := w.measured(ctx, crowds...)
					if err != nil {
						return nil, err
					}
					values := Values{
						"small_p99_us": micros(r.tallies[0].latency.Quantile(0.99)),
						"small_p50_us": micros(r.tallies[0].latency.Quantile(0.50)),
					}
					if large.size > 0 {
						// What was sent and echoed counts once.
						values["large_mbs"] = r.tallies[1].bytes / 1e6 / r.elapsed.Seconds()
					}
					return values, nil
				})
			},
		})
	}
	return list
}
