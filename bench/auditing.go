package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/file"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

const auditCallers = 64

// auditCases are what the audit adds to calls that a node serves: to a handler
// that does nothing, and to calls over a link. Both write each record to a file,
// policy drop, and have all that is done behind the call in their figures.
func auditCases() []Case {
	var list []Case
	for variant, measure := range map[string]func(context.Context, stopwatch, *audit.Audit) ([]*run, error){"handler": handled, "link": linked} {
		list = append(list, Case{
			Group: "audit", Variant: variant, Needs: CanLog,
			Metrics: []Metric{
				{Name: "cpu_rise_us", Head: "cpu µs/op above off"},
				{Name: "allocs_rise", Head: "allocs/op above off"},
				{Name: "ops_share", Head: "op/s share of off"},
				{Name: "cpu_us", Head: "cpu µs/op"},
				{Name: "dropped_share", Head: "records dropped"},
			},
			Run: func(ctx context.Context, _ System, w stopwatch) (values Values, err error) {
				dir, err := os.MkdirTemp("", "bench-audit-")
				if err != nil {
					return nil, err
				}
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
				return audited(ctx, w, dir, measure)
			},
		})
	}
	slices.SortFunc(list, func(a, b Case) int { return strings.Compare(a.Variant, b.Variant) })
	return list
}

// audited measures with an audit and without, in turns.
func audited(ctx context.Context, w stopwatch, dir string, measure func(context.Context, stopwatch, *audit.Audit) ([]*run, error)) (values Values, err error) {
	a, err := audit.Open(audit.Options{Node: gridName(1), Dir: filepath.Join(dir, "ids"), Report: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close(context.WithoutCancel(ctx))) }()
	a.Swap(audit.Config{Targets: []*target.Target{target.New(a.TargetOptions(target.Options{
		Name: "file", Kind: "file", BatchAge: 5 * time.Millisecond, Buffer: 8 << 20,
		Sink: func() (target.Sink, error) {
			return file.Open(file.Options{Path: filepath.Join(dir, "audit.ndjson"), MaxBytes: 64 << 20, Keep: 1})
		},
	}))}})
	r, err := measure(ctx, w, a)
	if err != nil {
		return nil, err
	}
	s := a.Stats()
	if float64(s.Records) < r[0].calls() {
		return nil, fmt.Errorf("%d records of %g calls", s.Records, r[0].calls())
	}
	return Values{
		"cpu_rise_us": r[0].cpuMicros() - r[1].cpuMicros(), "allocs_rise": r[0].allocs() - r[1].allocs(),
		"ops_share": r[0].perSecond() / r[1].perSecond(), "cpu_us": r[0].cpuMicros(),
		"dropped_share": float64(s.Targets[0].Dropped) / float64(s.Records),
	}, nil
}

// handled calls a handler that echoes, without a link.
func handled(ctx context.Context, w stopwatch, a *audit.Audit) ([]*run, error) {
	var echo grid.SingleFunc = func(_ context.Context, _ *grid.Call, req []byte) ([]byte, error) { return req, nil }
	call := &grid.Call{Peer: gridName(0), Identity: "gridmesh://demo/" + gridName(0), Handler: gridEcho}
	by := func(handler grid.SingleFunc) crowd {
		return crowd{callers: auditCallers, size: smallSize, caller: func(int) Caller { return handlerCaller{handler, call} }}
	}
	return w.inTurns(ctx, turns, by(a.Interceptor().HandleSingle(echo)), by(echo))
}

// handlerCaller calls a handler itself.
type handlerCaller struct {
	handler grid.SingleFunc
	call    *grid.Call
}

func (c handlerCaller) Call(ctx context.Context, req, _ []byte) ([]byte, error) {
	return c.handler(ctx, c.call, req)
}

// linked makes calls over a link each: to a node with the audit, and to one
// without.
func linked(ctx context.Context, w stopwatch, a *audit.Audit) (runs []*run, err error) {
	on := Settings{Grid: func(o *grid.Options) {
		if o.Local == gridName(1) { // the one that serves
			o.Interceptors, o.OnEvent = []grid.Interceptor{a.Interceptor()}, a.OnEvent
		}
	}}
	_, err = onPair(ctx, gridmeshSystem{}, on, func(with Pair) (Values, error) {
		return onPair(ctx, gridmeshSystem{}, Settings{}, func(without Pair) (Values, error) {
			calls := crowd{callers: auditCallers, size: smallSize}
			runs, err = w.inTurns(ctx, turns, calls.of(with, Echo), calls.of(without, Echo))
			return nil, err
		})
	})
	return runs, err
}
