package gridtest

import (
	"context"
	"slices"
	"sync"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// running counts the handlers that run on one node.
type running struct {
	mu   sync.Mutex // protects what follows
	by   map[grid.HandlerID]int
	sum  int
	none chan struct{} // closed when sum falls to 0; nil: nobody waits
}

func newRunning() *running { return &running{by: map[grid.HandlerID]int{}} }

func (r *running) count(h grid.HandlerID, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[h] += n
	if r.sum += n; r.sum == 0 && r.none != nil {
		close(r.none)
		r.none = nil
	}
}

// interceptor counts each handler while it runs.
func (r *running) interceptor() grid.Interceptor {
	return grid.Interceptor{
		HandleSingle: func(next grid.SingleFunc) grid.SingleFunc {
			return func(ctx context.Context, c *grid.Call, req []byte) ([]byte, error) {
				r.count(c.Handler, 1)
				defer r.count(c.Handler, -1)
				return next(ctx, c, req)
			}
		},
		HandleStream: func(next grid.ServeFunc) grid.ServeFunc {
			return func(ctx context.Context, c *grid.Call, s *grid.HandlerStream) error {
				r.count(c.Handler, 1)
				defer r.count(c.Handler, -1)
				return next(ctx, c, s)
			}
		},
	}
}

// wait waits until no handler runs, and gives those that run on nevertheless.
func (r *running) wait() (left []grid.HandlerID) {
	r.mu.Lock()
	if r.sum == 0 {
		r.mu.Unlock()
		return nil
	}
	none := make(chan struct{})
	r.none = none
	r.mu.Unlock()
	if within(none) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for h, n := range r.by {
		if n > 0 {
			left = append(left, h)
		}
	}
	slices.Sort(left)
	return left
}
