package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBucketsCoverEverythingInOrder(t *testing.T) {
	for i := range bucket(math.MaxInt64) {
		if first, last := upper(i)+1, upper(i+1); bucket(uint64(first)) != i+1 || bucket(uint64(last)) != i+1 {
			t.Fatalf("bucket %d goes from %d to %d, but these are in %d and %d", i+1, first, last, bucket(uint64(first)), bucket(uint64(last)))
		}
	}
	if b := bucket(math.MaxInt64); b >= buckets {
		t.Errorf("the longest duration is in bucket %d of %d", b, buckets)
	}
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Error("an empty histogram has a quantile")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 100_000 {
		d := time.Duration(math.Exp(random.Float64() * 25))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(q*float64(len(all))+0.5)-1)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/16) {
			t.Errorf("quantile %v is %v, want %v and at most 1/16 more", q, got, want)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v of %d, want %v of %d", h.Max(), h.Count(), all[len(all)-1], len(all))
	}
	h.Reset()
	if h.Count() != 0 || h.Max() != 0 {
		t.Error("something is left after Reset")
	}
}

func TestRecordConcurrently(t *testing.T) {
	var h Histogram
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 10_000 {
				h.Record(time.Duration(i*10_000 + j))
			}
		})
	}
	group.Wait()
	if h.Count() != 80_000 || h.Max() != 79_999 {
		t.Errorf("%d, the longest %d", h.Count(), h.Max())
	}
	h.Record(-1)
	if h.Quantile(0) != 0 {
		t.Error("a negative duration is not 0")
	}
}
