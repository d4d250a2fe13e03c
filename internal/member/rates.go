package member

import (
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// rateOver is the least time that a rate is taken over.
const rateOver = time.Second

// sample is the counters of all links at one time.
type sample struct {
	at    time.Time
	links map[string]grid.LinkStats
}

// rates turns counters into traffic per second. It has no goroutine: whoever
// asks brings the counters of now, and the rate is that since a time at least
// rateOver ago, or since the last question if that was longer ago.
type rates struct {
	mu           sync.Mutex // protects what follows
	older, newer sample
}

// since gives the rate of each link up to now.
func (r *rates) since(now time.Time, links []grid.LinkStats) func(*grid.LinkStats) adminapi.Rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.newer.at) >= rateOver {
		r.older, r.newer = r.newer, sample{at: now, links: make(map[string]grid.LinkStats, len(links))}
		for i := range links {
			r.newer.links[links[i].Peer] = links[i]
		}
	}
	base := r.older
	return func(l *grid.LinkStats) adminapi.Rate {
		was, ok := base.links[l.Peer]
		seconds := now.Sub(base.at).Seconds()
		if !ok || seconds <= 0 || l.BytesIn < was.BytesIn || l.BytesOut < was.BytesOut {
			return adminapi.Rate{} // the first question, or a peer that left and came back
		}
		return adminapi.Rate{
			BytesIn: float64(l.BytesIn-was.BytesIn) / seconds, BytesOut: float64(l.BytesOut-was.BytesOut) / seconds,
			MessagesIn: float64(l.MessagesIn-was.MessagesIn) / seconds, MessagesOut: float64(l.MessagesOut-was.MessagesOut) / seconds,
		}
	}
}
