package target

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Second
	mostPause  = time.Minute
	leastPause = 50 * time.Millisecond // keeps an unlucky draw from spinning
)

// backoff makes pauses between tries: full jitter below a limit that doubles.
type backoff struct {
	most  time.Duration // of a pause; 0: mostPause
	tries int
}

func (b *backoff) reset() { b.tries = 0 }

// next gives the next pause, at least so long.
func (b *backoff) next(least time.Duration) time.Duration {
	most := b.most
	if most == 0 {
		most = mostPause
	}
	limit := min(firstPause<<min(b.tries, 10), most)
	b.tries++
	return max(least, leastPause, rand.N(limit))
}

// wait pauses, and returns false when stop was closed before or meanwhile.
func (b *backoff) wait(stop <-chan struct{}, least time.Duration) bool {
	timer := time.NewTimer(b.next(least))
	defer timer.Stop()
	select {
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}
