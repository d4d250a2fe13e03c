package target

import (
	"testing"
	"time"
)

// TestAllocationsOfGather: to wait for more entries costs no allocation but the
// first timer, and who waits for nothing, as a console does, needs none at all.
func TestAllocationsOfGather(t *testing.T) {
	for _, age := range []time.Duration{-1, time.Nanosecond} {
		target := New(newWorld(t).options(nil))
		n := testing.AllocsPerRun(1000, func() {
			target.stage.wake <- struct{}{}
			target.gather(age, nil, nil)
		})
		if n > 0 || (target.clock != nil) != (age > 0) {
			t.Errorf("age %v: %v allocations, timer %v", age, n, target.clock)
		}
	}
}
