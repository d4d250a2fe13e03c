package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	idleLinks = 200
	idlePeers = 300

	// idleFor lets what is only kept for the next call go, before an idle link
	// is weighed.
	idleFor = 2 * time.Second

	kib = 1 << 10
)

var weightMetrics = []Metric{
	{Name: "kib", Head: "KiB each", Beside: true},
	{Name: "heap_kib", Head: "of it heap KiB"},
	{Name: "goroutines", Head: "goroutines each"},
}

// memoryCases weigh links that do nothing, and peers that can't be reached.
func memoryCases() []Case {
	return []Case{{
		Group: "memory", Variant: "link", Needs: CanLink,
		Metrics: weightMetrics,
		Run: func(ctx context.Context, s System, _ stopwatch) (Values, error) {
			linker, ok := s.(Linker)
			if !ok {
				return nil, fmt.Errorf("%s says it can link, but is no Linker", s.Name())
			}
			return weighLinks(ctx, linker)
		},
	}, {
		Group: "memory", Variant: "peer", Needs: CanLink,
		Metrics: weightMetrics,
		Run: func(ctx context.Context, s System, _ stopwatch) (Values, error) {
			linker, ok := s.(Linker)
			if !ok {
				return nil, fmt.Errorf("%s says it can link, but is no Linker", s.Name())
			}
			return weighPeers(ctx, linker)
		},
	}}
}

// weighLinks tells what linking costs ends that exist already.
func weighLinks(ctx context.Context, s Linker) (values Values, err error) {
	links, err := s.Links(ctx, idleLinks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, links.Close()) }()
	before, goroutines := footprintNow(), runtime.NumGoroutine()
	n, err := links.Link(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, idleFor); err != nil {
		return nil, err
	}
	return weight(before, goroutines, n), nil
}

// weighPeers tells what an end costs that knows peers and reaches none.
func weighPeers(ctx context.Context, s Linker) (values Values, err error) {
	before, goroutines := footprintNow(), runtime.NumGoroutine()
	end, err := s.Unlinked(ctx, idlePeers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end.Close()) }()
	if err := pause(ctx, idleFor); err != nil {
		return nil, err
	}
	return weight(before, goroutines, idlePeers), nil
}

// weight is what each of n came to hold since before.
func weight(before footprint, goroutines, n int) Values {
	after := footprintNow()
	heap := (after.heap - before.heap) / float64(n) / kib
	stacks := (after.stacks - before.stacks) / float64(n) / kib
	return Values{
		"kib":        heap + stacks,
		"heap_kib":   heap,
		"goroutines": float64(runtime.NumGoroutine()-goroutines) / float64(n),
	}
}
