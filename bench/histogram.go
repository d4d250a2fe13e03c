package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a histogram are exact below 2*subBuckets nanoseconds; above,
// each power of two has subBuckets of equal width, so no bucket is wider than
// 1/64 of what it holds. The last one ends beyond nine hours.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	buckets    = 40 * subBuckets
)

// A Histogram counts durations. Record may be called concurrently, the rest
// not while it is.
type Histogram struct {
	counts [buckets]atomic.Uint64
}

// Record counts d; what is negative counts as zero, what is beyond the last
// bucket counts there.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
}

// Add counts all that o has counted.
func (h *Histogram) Add(o *Histogram) {
	for i := range o.counts {
		if n := o.counts[i].Load(); n > 0 {
			h.counts[i].Add(n)
		}
	}
}

// Count is the number of durations recorded.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile returns the duration below which a share q (0 to 1) of those
// recorded lie, spread evenly within its bucket; 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	var below float64
	last := 0
	for i := range h.counts {
		n := float64(h.counts[i].Load())
		if n == 0 {
			continue
		}
		if below+n >= rank {
			low, width := bucketRange(i)
			return low + time.Duration(float64(width)*(rank-below)/n)
		}
		below += n
		last = i
	}
	// Only rounding of a rank near the total leads here.
	low, width := bucketRange(last)
	return low + width
}

// bucketOf returns the index of d's bucket.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 2*subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return min(shift*subBuckets+int(v>>shift), buckets-1)
}

// bucketRange returns the least duration of bucket i and the bucket's width.
func bucketRange(i int) (low, width time.Duration) {
	if i < 2*subBuckets {
		return time.Duration(i), 1
	}
	shift := i/subBuckets - 1
	return time.Duration(i%subBuckets+subBuckets) << shift, 1 << shift
}
