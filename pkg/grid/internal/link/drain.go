package link

import (
	"sync"
	"sync/atomic"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// drain is the first phase of a goodbye. After our DRAIN the other side sends
// no more calls; those that crossed it are refused, known not to have run. A
// ping behind the DRAIN tells when all that crossed has arrived.
type drain struct {
	ours atomic.Bool

	crossed chan struct{} // closed when nothing can cross our DRAIN any more
	quiet   chan struct{} // closed when, after that, nothing runs in either direction
	once    sync.Once
	their   sync.Once
}

func (d *drain) init() {
	d.crossed, d.quiet = make(chan struct{}), make(chan struct{})
}

// Drain tells the other side to send no more calls and refuses those that
// come. Our own calls stay allowed until all is quiet.
func (l *Link) Drain() {
	if l.drain.ours.Swap(true) {
		return
	}
	l.append(&wire.Frame{Kind: wire.Drain})
	l.ping(l.drain.crossed)
	l.shared.workers.run(job{do: func() {
		select {
		case <-l.drain.crossed:
			l.checkQuiet()
		case <-l.dead:
		}
	}})
}

// Quiet is closed when, after Drain, nothing runs on the link in either direction, or when the link has ended.
func (l *Link) Quiet() <-chan struct{} { return l.drain.quiet }

// checkQuiet looks whether a draining link has become quiet.
func (l *Link) checkQuiet() {
	if l.Err() == nil {
		if !l.drain.ours.Load() {
			return
		}
		select {
		case <-l.drain.crossed:
		default:
			return
		}
		// No call can come in any more, so this only falls.
		if l.serving.begun.Load() > 0 || l.serving.running.Load() > 0 { // in the order in which a call is counted
			return
		}
		o := &l.out
		o.mu.Lock()
		quiet := o.waiters.Len() == 0 && o.streams.Len() == 0 && len(o.transfers) == 0 && o.queued == 0 && len(o.bulk) == 0 && !o.writing && len(o.room) == 0
		o.finishing = o.finishing || quiet
		o.mu.Unlock()
		if !quiet {
			return
		}
	}
	l.drain.once.Do(func() { close(l.drain.quiet) })
}

// onDrain takes the other side's DRAIN.
func (l *Link) onDrain() {
	l.drain.their.Do(func() {
		l.out.mu.Lock()
		l.out.draining = true
		l.out.mu.Unlock()
		if l.cfg.OnDrain != nil {
			l.shared.workers.run(job{do: l.cfg.OnDrain})
		}
	})
}
