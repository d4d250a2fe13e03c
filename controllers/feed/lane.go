package feed

import (
	"context"
	"sync"
	"time"
)

// lanes say whose turn it is. What costs is a handshake or a list on its way, and
// only so many of these run at once; an attempt that has taken quickTime waits
// for its pod, and its place goes to the next. Pods that gave no answer the last
// time have places of their own.
type lanes struct {
	quick, slow chan struct{}
}

func newLanes() *lanes {
	return &lanes{quick: make(chan struct{}, quickSlots), slow: make(chan struct{}, slowSlots)}
}

// enter waits for a place. leave gives it back; it may be called twice.
func (l *lanes) enter(ctx context.Context, answered bool) (leave func(), err error) {
	lane := l.slow
	if answered {
		lane = l.quick
	}
	if err := ctx.Err(); err != nil {
		return nil, err // though there may be a place
	}
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	give := sync.OnceFunc(func() { <-lane })
	if !answered {
		return give, nil
	}
	timer := time.AfterFunc(quickTime, give)
	return func() {
		timer.Stop()
		give()
	}, nil
}
