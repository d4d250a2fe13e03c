// Package latency counts durations in buckets and gives their quantiles, for
// measuring from within a program: constant memory, no lock, an error of at
// most 1/16 of the value.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits = 4 // buckets per power of two: 16, so each is at most 1/16 of its value wide
	buckets = 64 << subBits
)

// Histogram counts durations. The zero value is ready; all methods may be
// called concurrently.
type Histogram struct {
	counts [buckets]atomic.Uint64
	max    atomic.Int64
}

// Record counts one duration. Negative ones count as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))].Add(1)
	for {
		most := h.max.Load()
		if int64(d) <= most || h.max.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// bucket numbers values so that small ones have a bucket each and larger ones
// share it with those that differ in the bits after the first five.
func bucket(v uint64) int {
	if v < 1<<(subBits+1) {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) time.Duration {
	if i < 1<<(subBits+1) {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration((uint64(i)-uint64(shift)<<subBits+1)<<shift - 1)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() (n uint64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Max is the longest.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// Quantile is the duration that a share q of all do not exceed; 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := max(1, uint64(q*float64(total)+0.5))
	for i := range h.counts {
		n := h.counts[i].Load()
		if n >= rank {
			return min(upper(i), h.Max())
		}
		rank -= n
	}
	return h.Max()
}

// Reset forgets everything. What is recorded meanwhile may be lost.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.max.Store(0)
}
