package logger

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
)

// discarding is a log with one more target, which throws away what it gets.
func discarding(tb testing.TB) *Log {
	tb.Helper()
	l := New(Options{Console: target.NewConsole(io.Discard), Level: slog.LevelError})
	info := slog.LevelInfo
	sink := discardSink{}
	l.Swap([]*Output{{Level: &info, Target: target.New(target.Options{
		Name: "discard", Sink: func() (target.Sink, error) { return sink, nil }, Sequence: target.NewSequence(), WithIDs: true,
		Buffer: 64 << 20, BatchAge: 5 * time.Millisecond, BatchCount: 1 << 30, BatchBytes: 1 << 30, Gap: Gap(false, false), Report: l.Console(),
	})}})
	tb.Cleanup(func() { l.Close(context.Background()) })
	return l
}

type discardSink struct{}

func (discardSink) Send(context.Context, target.Batch) error { return nil }
func (discardSink) Close() error                             { return nil }

func BenchmarkDisabled(b *testing.B) {
	log := discarding(b).Logger()
	ctx := b.Context()
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelDebug, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3))
	}
	reportCPU(b, start)
}

// BenchmarkDisabledPlain is a call without attributes, which cost what they cost
// before the level is known.
func BenchmarkDisabledPlain(b *testing.B) {
	log := discarding(b).Logger()
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		log.Debug("peer linked")
	}
	reportCPU(b, start)
}

func BenchmarkJSON(b *testing.B) {
	log := discarding(b).Logger().With("node", "node-0:7700")
	ctx := b.Context()
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelInfo, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
	}
	reportCPU(b, start)
}

func BenchmarkJSONParallel(b *testing.B) {
	log := discarding(b).Logger().With("node", "node-0:7700")
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			log.LogAttrs(ctx, slog.LevelInfo, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
		}
	})
}

// BenchmarkStandard is what log/slog itself takes for the same entry.
func BenchmarkStandard(b *testing.B) {
	var nowhere writerFunc = func(p []byte) (int, error) { return len(p), nil }
	log := slog.New(slog.NewJSONHandler(nowhere, &slog.HandlerOptions{AddSource: true})).With("node", "node-0:7700")
	ctx := b.Context()
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelInfo, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
	}
	reportCPU(b, start)
}

// BenchmarkSet is reading the set of targets as every call does: a read lock
// around a slice beside an atomic pointer to an immutable one
// (docs/adr/0002-target-set.md). Run it with -cpu 1,2.
func BenchmarkSet(b *testing.B) {
	set := []*Output{{}, {}, {}}
	b.Run("RWMutex", func(b *testing.B) {
		var mu sync.RWMutex
		guarded := set
		b.RunParallel(func(pb *testing.PB) {
			n := 0
			for pb.Next() {
				mu.RLock()
				n += len(guarded)
				mu.RUnlock()
			}
			sink.Add(int64(n))
		})
	})
	b.Run("Atomic", func(b *testing.B) {
		var pointer atomic.Pointer[[]*Output]
		pointer.Store(&set)
		b.RunParallel(func(pb *testing.PB) {
			n := 0
			for pb.Next() {
				n += len(*pointer.Load())
			}
			sink.Add(int64(n))
		})
	})
}

// reportCPU reports the cpu time of the process by operation, which other
// programs on the machine do not change as much as they do the time on the wall.
// It includes what happens behind the call.
func reportCPU(b *testing.B, start time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
}

var sink atomic.Int64

// TestAllocations: a disabled level allocates nothing, an entry at most once.
func TestAllocations(t *testing.T) {
	log := discarding(t).Logger().With("node", "node-0:7700")
	ctx := t.Context()
	most := 1.0
	if raceDetector {
		most = 10 // it allocates, too
	}
	entry := func(level slog.Level) float64 {
		return testing.AllocsPerRun(20_000, func() {
			log.LogAttrs(ctx, level, "peer linked", slog.String("peer", "node-1:7700"), slog.Int("links", 3), slog.Duration("took", time.Second))
		})
	}
	if n := entry(slog.LevelDebug); n > 0 {
		t.Errorf("a disabled level allocates %v times", n)
	}
	if n := entry(slog.LevelInfo); n > most {
		t.Errorf("an entry allocates %v times", n)
	}
}
