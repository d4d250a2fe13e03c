package link

import (
	"sync"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// listQueue is the newest signed peer list that the other side handed over and
// that was not looked at yet. Older ones don't matter, so there is no queue.
type listQueue struct {
	mu      sync.Mutex // protects what follows
	next    []byte
	running bool
}

// SendList hands a signed peer list over. A large one is copied before it returns.
func (l *Link) SendList(raw []byte) {
	if len(raw) > l.cfg.Theirs.MaxMessage {
		l.shared.Logger.Warn("peer list is larger than the peer takes", "peer", l.cfg.Remote, "bytes", len(raw), "limit", l.cfg.Theirs.MaxMessage)
		return
	}
	f := wire.Frame{Kind: wire.List, Body: raw}
	if len(raw) <= l.to.chunk {
		l.append(&f)
		return
	}
	o := &l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		return
	}
	t := l.beginTransferLocked(&f)
	o.mu.Unlock()
	_ = l.sendChunks(nil, t, nil) // fails only with the link
}

// onList keeps a list for OnList, which runs on a worker: it verifies
// signatures, and the reader has better things to do.
func (l *Link) onList(raw []byte) {
	if l.cfg.OnList == nil {
		return
	}
	q := &l.lists
	q.mu.Lock()
	q.next = raw
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		l.shared.workers.run(job{do: l.takeLists})
	}
}

func (l *Link) takeLists() {
	q := &l.lists
	for {
		q.mu.Lock()
		raw := q.next
		q.next = nil
		q.running = raw != nil
		q.mu.Unlock()
		if raw == nil {
			return
		}
		l.cfg.OnList(raw)
	}
}
