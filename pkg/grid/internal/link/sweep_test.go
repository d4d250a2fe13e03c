package link

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Calls that run out of time take nobody else with them: their waiters are
// recycled at once, and may be another call's when the sweep is still at it.
func TestSweepEndsOnlyWhatIsLate(t *testing.T) {
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{single("nap", func(ctx context.Context, req []byte) ([]byte, error) {
		if len(req) > 0 {
			<-ctx.Done() // so that its answer and the sweep come at the same time
		}
		return nil, nil
	})})
	var wg sync.WaitGroup
	until := time.Now().Add(time.Second)
	for i := range 64 {
		wg.Go(func() {
			for time.Now().Before(until) {
				if i%2 == 0 {
					_, _ = x.Call(context.Background(), &Call{Handler: "nap", Body: []byte{1}, Timeout: time.Millisecond, Expire: true})
				} else if _, err := x.Call(context.Background(), &Call{Handler: "nap", Timeout: time.Minute, Expire: true}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
