package main

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/target"
)

// logCases are what an entry of the log costs whoever logs it.
func logCases() []Case {
	return []Case{{
		Group: "log", Variant: "disabled", Needs: CanLog, Metrics: slices.Concat(entryMetrics, []Metric{{Name: "of_off", Head: "cpu ÷ a handler that is off"}}),
		Run: func(ctx context.Context, _ System, w stopwatch) (Values, error) {
			return logged(ctx, w, func(log *slog.Logger, n int) {
				for range n {
					log.Debug("peer linked")
				}
			})
		},
	}, {
		Group: "log", Variant: "asked", Needs: CanLog, Metrics: entryMetrics,
		Run: func(ctx context.Context, _ System, w stopwatch) (Values, error) {
			return logged(ctx, w, func(log *slog.Logger, n int) {
				for range n {
					if log.Enabled(ctx, slog.LevelDebug) {
						log.LogAttrs(ctx, slog.LevelDebug, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
					}
				}
			})
		},
	}, {
		Group: "log", Variant: "entry", Needs: CanLog, Metrics: entryMetrics,
		Run: func(ctx context.Context, _ System, w stopwatch) (Values, error) {
			return logged(ctx, w, func(log *slog.Logger, n int) {
				for range n {
					log.LogAttrs(ctx, slog.LevelInfo, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
				}
			})
		},
	}, {
		Group: "log", Variant: "set", Needs: CanLog,
		Metrics: []Metric{
			{Name: "scale", Head: "reads/s of 2 cores ÷ 1"},
			{Name: "lock_scale", Head: "with a read lock"},
			{Name: "of_lock", Head: "reads/s of 2 cores ÷ with a read lock"},
		},
		Run: func(ctx context.Context, _ System, w stopwatch) (Values, error) { return readSets(ctx, w) },
	}}
}

var entryMetrics = []Metric{
	{Name: "cpu_ns", Head: "cpu ns/entry"},
	{Name: "allocs", Head: "allocs/entry"},
	{Name: "of_slog", Head: "cpu ÷ log/slog"},
}

// logged compares our logger, with a target that throws away what it gets, with
// log/slog and a writer that does.
func logged(ctx context.Context, w stopwatch, entries func(log *slog.Logger, n int)) (Values, error) {
	l, seq := newLog(slog.LevelError), target.NewSequence()
	defer l.Close(context.WithoutCancel(ctx))
	info := slog.LevelInfo
	l.Swap([]*logger.Output{{Level: &info, Target: target.New(target.Options{
		Name: "discard", Kind: "discard", Sink: func() (target.Sink, error) { return discard{}, nil }, Sequence: seq, WithIDs: true,
		BatchAge: 5 * time.Millisecond, BatchCount: 1 << 30, BatchBytes: 1 << 30, Buffer: 64 << 20, Gap: logger.Gap(false, false), Report: l.Console(),
	})}})
	ours := l.Logger().With("node", "node-0:7700")
	theirs := slog.New(slog.NewJSONHandler(nowhere{}, &slog.HandlerOptions{AddSource: true})).With("node", "node-0:7700")
	asked := slog.New(off{})
	c, err := w.costs(ctx, func(n int) { entries(ours, n) }, func(n int) { entries(theirs, n) }, func(n int) { entries(asked, n) })
	if err != nil {
		return nil, err
	}
	return Values{"cpu_ns": c[0].cpuNanos, "allocs": c[0].allocs, "of_slog": c[0].cpuNanos / c[1].cpuNanos, "of_off": c[0].cpuNanos / c[2].cpuNanos}, nil
}

// newLog is a log whose console leads nowhere.
func newLog(level slog.Level) *logger.Log {
	return logger.New(logger.Options{Console: target.NewConsole(io.Discard), Level: level})
}

type discard struct{}

func (discard) Send(context.Context, target.Batch) error { return nil }
func (discard) Close() error                             { return nil }

// off is a handler that has nothing to look at: what log/slog itself takes to ask.
type off struct{ slog.Handler }

func (off) Enabled(context.Context, slog.Level) bool { return false }

// nowhere is a writer that log/slog does not know as io.Discard, for which it
// does less.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// readSets reads the set of targets as each call does, on one core and on two,
// and beside it a slice behind a read lock.
func readSets(ctx context.Context, w stopwatch) (Values, error) {
	if runtime.NumCPU() < 2 {
		return Values{}, nil // nothing to tell: the aims say that it was not measured
	}
	l := newLog(slog.LevelError)
	defer l.Close(context.WithoutCancel(ctx))
	var mu sync.RWMutex
	guarded := l.Outputs()
	ours := func() int { return len(l.Outputs()) }
	lock := func() int {
		mu.RLock()
		defer mu.RUnlock()
		return len(guarded)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	rates := make(map[bool][3]float64) // by whether it is ours, and number of cores
	for range turns {
		for _, cores := range []int{1, 2, 2, 1} {
			for mine, read := range map[bool]func() int{true: ours, false: lock} {
				runtime.GOMAXPROCS(cores)
				r := rates[mine]
				r[cores] += reads(ctx, w.measure/turns/4, cores, read)
				rates[mine] = r
			}
		}
	}
	mine, locked := rates[true], rates[false]
	return Values{"scale": mine[2] / mine[1], "lock_scale": locked[2] / locked[1], "of_lock": mine[2] / locked[2]}, context.Cause(ctx)
}

// reads is how often so many goroutines read in the time.
func reads(ctx context.Context, d time.Duration, readers int, read func() int) float64 {
	var group sync.WaitGroup
	var total, seen atomic.Int64
	began := time.Now()
	for range readers {
		group.Go(func() {
			n, sum := 0, 0
			for ; time.Since(began) < d && ctx.Err() == nil; n += stepOps {
				for range stepOps {
					sum += read()
				}
			}
			total.Add(int64(n))
			seen.Add(int64(sum)) // so that the reads are not left out
		})
	}
	group.Wait()
	return float64(total.Load()) / time.Since(began).Seconds()
}
