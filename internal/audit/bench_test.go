package audit

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/file"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// toFile is an audit that writes to a file and drops.
func toFile(tb testing.TB) *Audit {
	tb.Helper()
	a, err := Open(Options{Node: "node-0.demo.default.svc:7700", Dir: tb.TempDir(), Report: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "audit.log")
	a.Swap(Config{Targets: []*target.Target{target.New(a.TargetOptions(target.Options{
		Name: "file", Kind: "file", BatchAge: 5 * time.Millisecond, BatchCount: 1 << 30, BatchBytes: 256 << 10, Buffer: 8 << 20,
		Sink: func() (target.Sink, error) { return file.Open(file.Options{Path: path}) },
	}))}})
	tb.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// BenchmarkHandler is what the audit adds to a call on its handler's side, at
// 64 callers: cpu-ns/op includes what is done behind the call, until the record
// is in the file.
func BenchmarkHandler(b *testing.B) {
	for _, on := range []bool{false, true} {
		name := "off"
		if on {
			name = "on"
		}
		b.Run(name, func(b *testing.B) {
			handler := grid.SingleFunc(answers)
			var a *Audit
			if on {
				a = toFile(b)
				handler = a.Interceptor().HandleSingle(handler)
			}
			call := &grid.Call{Peer: "node-1.demo.default.svc:7700", Identity: "gridmesh://demo/node-1.demo.default.svc:7700", Handler: "lock.take"}
			ctx, req := context.Background(), make([]byte, 512)
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime()
			var group sync.WaitGroup
			var made atomic.Int64
			for range 64 {
				group.Go(func() {
					for made.Add(1) <= int64(b.N) {
						if _, err := handler(ctx, call, req); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
			if on {
				b.ReportMetric(float64(a.Stats().Targets[0].Dropped)/float64(b.N), "dropped/op")
			}
		})
	}
}

// TestAllocations: an audited call allocates twice at most.
func TestAllocations(t *testing.T) {
	a := toFile(t)
	handler := a.Interceptor().HandleSingle(answers)
	call := &grid.Call{Peer: "node-1:7700", Handler: "lock.take"}
	ctx := t.Context()
	most := 2.0 + 1 // what the handler itself allocates
	if raceDetector {
		most += 10 // it allocates, too
	}
	if n := testing.AllocsPerRun(20_000, func() {
		if _, err := handler(ctx, call, nil); err != nil {
			t.Error(err)
		}
	}); n > most {
		t.Errorf("a call allocates %v times", n)
	}
}

// TestAllocationsOfACall: the same over a link, where the audit must not have the
// grid make what it makes only for who asks.
func TestAllocationsOfACall(t *testing.T) {
	allocs := func(a *Audit) float64 {
		mesh := gridtest.New(t, 2, func(o *grid.Options) {
			if a != nil && o.Local == gridtest.Name(1) {
				o.Interceptors = []grid.Interceptor{a.Interceptor(), grid.PropagateTrace()}
			}
		})
		empty := func(context.Context, []byte) ([]byte, error) { return nil, nil }
		mesh.Register(func(m *grid.Manager) error { return m.RegisterSingle("echo", empty) })
		mesh.WaitLinked()
		conn, ctx, req := mesh.Conn(0, 1), t.Context(), make([]byte, 100)
		return testing.AllocsPerRun(5000, func() {
			if _, err := conn.Request(ctx, "echo", req); err != nil {
				t.Error(err)
			}
		})
	}
	off, on := allocs(nil), allocs(toFile(t))
	most := 2.0 + 1 // what passing a call to interceptors costs the grid
	if raceDetector {
		most += 10 // it allocates, too
	}
	t.Logf("%v allocations a call, %v without an audit", on, off)
	if on-off > most {
		t.Errorf("a call allocates %v times, %v without an audit", on, off)
	}
}
