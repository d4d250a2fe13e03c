package main

import (
	"context"
	"strconv"
)

var callMetrics = []Metric{
	{Name: "ops", Head: "op/s", Beside: true},
	{Name: "p50_us", Head: "p50 µs"},
	{Name: "p99_us", Head: "p99 µs"},
	{Name: "allocs", Head: "allocs/op"},
	{Name: "bytes", Head: "B/op"},
	{Name: "cpu_us", Head: "cpu µs/op"},
}

// singleCases are small echo calls by 1, 64 and 1024 callers.
func singleCases() []Case {
	var list []Case
	for _, callers := range []int{1, 64, 1024} {
		list = append(list, Case{
			Group: "single", Variant: strconv.Itoa(callers), Needs: CanCall, Metrics: callMetrics,
			Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
				return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) { return echo(ctx, p, w, callers) })
			},
		})
	}
	return list
}

// tlsCases are the same over TLS 1.3.
func tlsCases() []Case {
	var list []Case
	for _, callers := range []int{1, 64} {
		list = append(list, Case{
			Group: "tls", Variant: strconv.Itoa(callers), Needs: CanCall | CanTLS, Metrics: callMetrics,
			Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
				certificate, err := NewCertificate()
				if err != nil {
					return nil, err
				}
				settings := Settings{TLS: certificate}
				return onPair(ctx, s, settings, func(p Pair) (Values, error) { return echo(ctx, p, w, callers) })
			},
		})
	}
	return list
}

// echo measures small calls.
func echo(ctx context.Context, p Pair, w stopwatch, callers int) (Values, error) {
	r, err := w.measured(ctx, crowd{callers: callers, size: smallSize}.of(p, Echo))
	if err != nil {
		return nil, err
	}
	latency := r.tallies[0].latency
	return Values{
		"ops":    r.perSecond(),
		"p50_us": micros(latency.Quantile(0.50)),
		"p99_us": micros(latency.Quantile(0.99)),
		"allocs": r.allocs(),
		"bytes":  r.bytes(),
		"cpu_us": r.cpuMicros(),
	}, nil
}
