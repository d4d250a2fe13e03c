package node

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/latency"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Limits of a bench: it uses both nodes and their link as much as it can.
const (
	benchCallers = 1024
	benchBytes   = 1 << 20
	benchFor     = time.Minute
	benchErrors  = 8 // kinds of errors told apart
)

// bencher measures calls from this node to others, one measurement at a time.
type bencher struct {
	m       *grid.Manager
	running atomic.Bool
}

func (b *bencher) run(ctx context.Context, to string, ask adminapi.BenchRequest) (*adminapi.BenchResult, error) {
	invalid := func(format string, args ...any) (*adminapi.BenchResult, error) {
		return nil, grid.NewError(grid.CodeInvalidArgument, "bench: "+fmt.Sprintf(format, args...))
	}
	length := time.Duration(ask.ForMillis) * time.Millisecond
	switch {
	case ask.Callers < 1 || ask.Callers > benchCallers:
		return invalid("callers is %d, allowed are 1 to %d", ask.Callers, benchCallers)
	case ask.Bytes < 0 || ask.Bytes > benchBytes:
		return invalid("bytes is %d, allowed are 0 to %d", ask.Bytes, benchBytes)
	case ask.ForMillis < 1 || length > benchFor:
		return invalid("for_ms is %d, allowed are 1 to %d", ask.ForMillis, benchFor.Milliseconds())
	}
	conn := b.m.Connection(to)
	if conn == nil {
		return invalid("there is no peer %q", to)
	}
	if !b.running.CompareAndSwap(false, true) {
		return nil, grid.NewError(grid.CodeUnavailable, "bench: this node measures already; try again when it is done")
	}
	defer b.running.Store(false)
	result := measure(ctx, conn, ask, length)
	result.From, result.To = b.m.Local(), to
	return result, ctx.Err()
}

// measure has callers call echo one call after the other.
func measure(ctx context.Context, conn *grid.Connection, ask adminapi.BenchRequest, length time.Duration) *adminapi.BenchResult {
	var times latency.Histogram
	var mu sync.Mutex // protects failed
	failed := make(map[string]uint64)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		text := err.Error()
		if _, known := failed[text]; !known && len(failed) >= benchErrors {
			text = "others"
		}
		failed[text]++
	}
	var callers sync.WaitGroup
	begin := time.Now()
	end := begin.Add(length)
	for range ask.Callers {
		callers.Go(func() {
			req, reply := make([]byte, ask.Bytes), make([]byte, 0, ask.Bytes)
			for at := time.Now(); ; { // once, even if all took long to begin
				got, err := conn.AppendRequest(ctx, handlerEcho, req, reply)
				now := time.Now()
				switch {
				case err != nil:
					fail(err)
					if !pause(ctx, time.Millisecond) { // a link that is down fails at once, millions of times a second
						return
					}
				case len(got) != len(req):
					fail(fmt.Errorf("a reply of %d bytes", len(got)))
				default:
					times.Record(now.Sub(at))
				}
				if at = now; !at.Before(end) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	callers.Wait()
	took := time.Since(begin)
	return &adminapi.BenchResult{
		Callers: ask.Callers, Bytes: ask.Bytes, Millis: millis(took),
		Calls: times.Count(), PerSecond: float64(times.Count()) / took.Seconds(),
		P50Millis: millis(times.Quantile(0.5)), P99Millis: millis(times.Quantile(0.99)), MaxMillis: millis(times.Max()),
		Errors: maps.Clone(failed),
	}
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
