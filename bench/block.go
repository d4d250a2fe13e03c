package main

import "context"

// blockCases tell what a handler that blocks does to the calls beside it.
func blockCases() []Case {
	const others = 63
	return []Case{{
		Group: "block", Variant: "64", Needs: CanBlock,
		Metrics: []Metric{
			{Name: "p99_rise_us", Head: "p99 rise µs"},
			{Name: "p99_beside_us", Head: "p99 beside a blocked µs"},
			{Name: "p99_alone_us", Head: "p99 without µs"},
			{Name: "ops_share", Head: "op/s share of without"},
		},
		Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
			return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) {
				crowds := crowd{callers: others, size: smallSize}.of(p, Echo)
				one := crowd{callers: 1, size: smallSize}
				alone, err := w.measured(ctx, crowds, one.of(p, Echo))
				if err != nil {
					return nil, err
				}
				beside, err := w.measured(ctx, crowds, one.of(p, Block))
				if err != nil {
					return nil, err
				}
				before := micros(alone.tallies[0].latency.Quantile(0.99))
				after := micros(beside.tallies[0].latency.Quantile(0.99))
				return Values{
					"p99_rise_us":   after - before,
					"p99_beside_us": after,
					"p99_alone_us":  before,
					"ops_share": (beside.tallies[0].calls / beside.elapsed.Seconds()) /
						(alone.tallies[0].calls / alone.elapsed.Seconds()),
				}, nil
			})
		},
	}}
}
