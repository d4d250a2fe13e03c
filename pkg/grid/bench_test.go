package grid_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// BenchmarkRequest is an echo of 512 bytes over loopback, both ends in one
// process; bench/ compares it with others.
func BenchmarkRequest(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			client, server := pair(b, nil)
			must(b, server.RegisterSingle("echo", echo))
			c := client.Connection(server.Local())
			waitSupports(b, c, "echo")
			benchmarkCallers(b, callers, c)
		})
	}
}

// BenchmarkRequestBesideStrangers is the same beside connections that came and
// never said who they are: the p99 with 10,000 of them is to be less than twice
// that with none (fault row 15). How many of them there are depends on how
// many files the process may open.
func BenchmarkRequestBesideStrangers(b *testing.B) {
	for _, strangers := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("strangers=%d", strangers), func(b *testing.B) {
			var resolve func(context.Context, string) (string, error)
			client, server := pair(b, func(o *grid.Options) { resolve = o.Resolve })
			must(b, server.RegisterSingle("echo", echo))
			c := client.Connection(server.Local())
			waitSupports(b, c, "echo")
			addr, err := resolve(b.Context(), server.Local())
			must(b, err)
			came := 0
			for ; came < strangers; came++ {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					break
				}
				b.Cleanup(func() { _ = conn.Close() })
			}
			benchmarkCallers(b, 64, c)
			b.ReportMetric(float64(came), "strangers")
		})
	}
}

// benchmarkCallers makes b.N calls by so many callers.
func benchmarkCallers(b *testing.B, callers int, c *grid.Connection) {
	b.Helper()
	req := make([]byte, 512)
	took := make([][]time.Duration, callers)
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range callers {
		n := b.N / callers
		if i < b.N%callers {
			n++
		}
		all.Go(func() {
			own := make([]time.Duration, 0, n)
			for range n {
				began := time.Now()
				if _, err := c.Request(b.Context(), "echo", req); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(began))
			}
			took[i] = own
		})
	}
	all.Wait()
	b.StopTimer()
	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	if len(sorted) == 0 {
		b.Fatal("no call was answered")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds()), "p99-µs")
}
