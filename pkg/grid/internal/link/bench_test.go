//go:build unix

package link

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCall is an echo of 512 bytes over a WebSocket on loopback, both ends in one process.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			x, y := wsPair(b, testLimits(), nil, []*Handler{echo()})
			req := make([]byte, 512)
			b.ReportAllocs()
			b.ResetTimer()
			began := cpuTime()
			var wg sync.WaitGroup
			lat := make([][]time.Duration, callers)
			for i := range callers {
				n := b.N / callers
				if i < b.N%callers {
					n++
				}
				wg.Go(func() {
					own := make([]time.Duration, 0, n)
					for range n {
						began := time.Now()
						if _, err := x.Call(context.Background(), &Call{Handler: "echo", Body: req, Timeout: time.Minute, Expire: true}); err != nil {
							b.Error(err)
							return
						}
						own = append(own, time.Since(began))
					}
					lat[i] = own
				})
			}
			wg.Wait()
			b.StopTimer()
			cpu := cpuTime() - began
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(x.Stats().MessagesOut+y.Stats().MessagesOut)/float64(x.Stats().BatchesOut+y.Stats().BatchesOut), "messages/batch")
			all := slices.Concat(lat...)
			slices.Sort(all)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// cpuTime is what this process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for a bad argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
