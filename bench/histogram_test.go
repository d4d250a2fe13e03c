package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestBucketsTileTheRange(t *testing.T) {
	var next time.Duration
	for i := range buckets {
		low, width := bucketRange(i)
		if low != next {
			t.Fatalf("bucket %d starts at %d, want %d: where the one before ends", i, low, next)
		}
		if low >= 2*subBuckets && float64(width) > float64(low)/subBuckets {
			t.Fatalf("bucket %d is %d wide at %d: more than a 64th", i, width, low)
		}
		for _, d := range []time.Duration{low, low + width - 1} {
			if got := bucketOf(d); got != i {
				t.Fatalf("bucketOf(%d) = %d, want %d", d, got, i)
			}
		}
		next = low + width
	}
}

func TestBucketOfTheUnlikely(t *testing.T) {
	if got := bucketOf(-time.Second); got != 0 {
		t.Errorf("a negative duration is in bucket %d, want 0", got)
	}
	if got := bucketOf(math.MaxInt64); got != buckets-1 {
		t.Errorf("the longest duration is in bucket %d, want the last, %d", got, buckets-1)
	}
}

func TestQuantileIsNearTheExactOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 100_000 {
		d := time.Duration(math.Exp(random.Float64()*16) * 100) // 100 ns to nearly a second
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := float64(all[min(int(q*float64(len(all))), len(all)-1)])
		if got := float64(h.Quantile(q)); math.Abs(got-exact) > exact/50 {
			t.Errorf("quantile %g = %g, want %g within 2 %%", q, got, exact)
		}
	}
}

func TestQuantileOfFew(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("of none = %d, want 0", got)
	}
	h.Record(100)
	if got := h.Quantile(0); got != 100 {
		t.Errorf("least of one = %d, want 100", got)
	}
	if got := h.Quantile(1); got != 101 { // the end of its bucket
		t.Errorf("most of one = %d, want 101", got)
	}
}

func TestHistogramCountsAllConcurrently(t *testing.T) {
	const writers, each = 8, 1000
	var one, other Histogram
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				one.Record(time.Duration(i * j))
			}
		})
	}
	wg.Wait()
	other.Record(time.Second)
	other.Add(&one)
	if got := other.Count(); got != writers*each+1 {
		t.Errorf("count = %d, want %d", got, writers*each+1)
	}
}
