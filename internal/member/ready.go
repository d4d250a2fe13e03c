package member

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// firstLinks is how long a node that has just started waits for its links
// before it calls itself ready. After that, links that are down are the
// business of metrics: a node that took itself out of service because others
// are down would take the service down with them.
const firstLinks = 10 * time.Second

// readiness is whether this node should get traffic.
type readiness struct {
	listening atomic.Bool
	settled   atomic.Bool // the first links are there, or their time is over
	draining  atomic.Bool
	drained   atomic.Bool // after that
}

// settle waits for the first links, once.
func (r *readiness) settle(ctx context.Context, m *grid.Manager) {
	ctx, cancel := context.WithTimeout(ctx, firstLinks)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for len(m.PeerList().Names) == 0 { // without a list, no links are no good sign
		select {
		case <-ctx.Done():
			r.settled.Store(true)
			return
		case <-ticker.C:
		}
	}
	_ = m.WaitAll(ctx)
	r.settled.Store(true)
}

// waiting says why the node is not ready; nothing if it is.
func (r *readiness) waiting(list adminapi.PeerList) []string {
	var why []string
	if !r.listening.Load() {
		why = append(why, "the grid port is not open yet")
	}
	switch {
	case list.Names == 0 && list.Epoch == 0:
		why = append(why, "there is no peer list yet")
	case list.Removed:
		why = append(why, "this node is not in the peer list")
	}
	if r.draining.Load() {
		why = append(why, "draining")
	}
	if !r.settled.Load() {
		why = append(why, "waiting for the first links, up to 10 s")
	}
	return why
}
