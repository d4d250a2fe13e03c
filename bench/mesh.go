package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	meshEnds = 32 // of the cases that compare a mesh with a single pair

	// Each directed pair of a mesh has as many callers as either of the two ends
	// of a single pair, so that a link carries as much in both.
	callersPerPair = 16
)

// meshCases are about systems that link every end with every other.
func meshCases() []Case {
	var list []Case
	for _, n := range []int{32, 64} {
		list = append(list, Case{
			Group: "mesh", Variant: "up-" + strconv.Itoa(n), Needs: CanMesh,
			Metrics: []Metric{{Name: "up_ms", Head: "all linked after ms"}, {Name: "links", Head: "links"}},
			Run: func(ctx context.Context, s System, _ stopwatch) (Values, error) {
				began := time.Now()
				var up time.Duration
				err := onMesh(ctx, s, n, func(Mesh) error {
					up = time.Since(began)
					return nil
				})
				return Values{"up_ms": micros(up) / 1e3, "links": float64(n * (n - 1) / 2)}, err
			},
		})
	}
	return append(list, Case{
		Group: "mesh", Variant: "load-32", Needs: CanMesh,
		Metrics: []Metric{
			{Name: "ops_share", Head: "op/s share of 2 ends"},
			{Name: "ops", Head: "op/s of 32 ends"},
			{Name: "ops_2", Head: "op/s of 2 ends"},
		},
		Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
			small, err := meshRun(ctx, s, w, 2, everyPair)
			if err != nil {
				return nil, err
			}
			large, err := meshRun(ctx, s, w, meshEnds, everyPair)
			if err != nil {
				return nil, err
			}
			return Values{
				"ops_share": large.perSecond() / small.perSecond(),
				"ops":       large.perSecond(), "ops_2": small.perSecond(),
			}, nil
		},
	}, Case{
		Group: "mesh", Variant: "cost-32", Needs: CanMesh,
		Metrics: []Metric{
			{Name: "cpu_ratio", Head: "cpu/op ÷ that of 2 ends"},
			{Name: "cpu_us", Head: "cpu µs/op of 32 ends"},
			{Name: "cpu_us_2", Head: "cpu µs/op of 2 ends"},
		},
		Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
			small, err := meshRun(ctx, s, w, 2, onePair)
			if err != nil {
				return nil, err
			}
			large, err := meshRun(ctx, s, w, meshEnds, onePair)
			if err != nil {
				return nil, err
			}
			return Values{
				"cpu_ratio": large.cpuMicros() / small.cpuMicros(),
				"cpu_us":    large.cpuMicros(), "cpu_us_2": small.cpuMicros(),
			}, nil
		},
	})
}

// everyPair is a crowd with callers from each end to every other.
func everyPair(m Mesh, n int) crowd {
	pairs := n * (n - 1)
	return crowd{callers: pairs * callersPerPair, size: smallSize, caller: func(i int) Caller {
		from, other := i%pairs/(n-1), i%pairs%(n-1)
		if other >= from { // an end doesn't call itself
			other++
		}
		return m.Caller(from, other)
	}}
}

// onePair is a crowd that uses one link of the mesh and leaves the rest idle.
func onePair(m Mesh, _ int) crowd {
	return crowd{callers: 64, size: smallSize, caller: func(int) Caller { return m.Caller(0, 1) }}
}

// meshRun measures the load on a fresh mesh of n ends.
func meshRun(ctx context.Context, s System, w stopwatch, n int, load func(Mesh, int) crowd) (*run, error) {
	var r *run
	err := onMesh(ctx, s, n, func(m Mesh) (err error) {
		r, err = w.measured(ctx, load(m, n))
		return err
	})
	return r, err
}

// onMesh starts a mesh for measure and closes it afterwards.
func onMesh(ctx context.Context, s System, n int, measure func(Mesh) error) error {
	mesher, ok := s.(Mesher)
	if !ok {
		return fmt.Errorf("%s says it can mesh, but is no Mesher", s.Name())
	}
	m, err := mesher.Mesh(ctx, n)
	if err != nil {
		return fmt.Errorf("start a mesh of %d: %w", n, err)
	}
	return errors.Join(measure(m), m.Close())
}
