package link

import (
	"fmt"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// offers is which large bodies may come. Those that ask are granted by whoever
// has memory to give, and end with the reader.
type offers struct {
	mu     sync.Mutex // protects what follows, and what assemblies say is protected by it
	closed bool
	due    int // bodies whose chunks may come and that are not whole
}

func (o *offers) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
}

// wanted reports whether a body that waits for memory still does.
func (o *offers) wanted(a *assembly) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && !a.over
}

// grant lets a body come. It reports false for one that nobody wants any more.
func (o *offers) grant(a *assembly) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || a.over {
		return false
	}
	a.granted = true
	o.due++
	return true
}

func (o *offers) granted(a *assembly) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return a.granted
}

// end is the end of a body, which is whole or aborted.
func (o *offers) end(a *assembly) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a.over = true
	if a.granted {
		o.due--
	}
}

// stall is a time in which bodies that may come don't. It belongs to lookAlive.
type stall struct {
	chunked uint64        // bytes of chunks when it began
	since   time.Duration // when that was; meaningless while pinged is 0
	pinged  uint64        // the last ping sent in it; 0: there is no stall
	answers int           // pings sent in it and answered, each sent after the answer before
}

// lookForBodies ends a link whose other side keeps memory that it was given for
// large bodies and does not send them. A slow path is no such thing: there,
// chunks come. Nor is one on which they wait behind small frames: the answer to
// a ping waits there as long, so that after two of them the writer has had a
// turn for chunks in between.
func (l *Link) lookForBodies(now time.Duration) {
	l.offers.mu.Lock()
	due := l.offers.due
	l.offers.mu.Unlock()
	s, chunked := &l.keepalive.stall, l.count.chunked.Load()
	switch {
	case due == 0 || s.pinged != 0 && chunked != s.chunked:
		*s = stall{}
	case s.pinged == 0:
		*s = stall{chunked: chunked, since: now, pinged: l.ping(nil)}
	case !l.keepalive.ponged(s.pinged):
	case s.answers > 0 && now-s.since >= l.limits.DeadAfter:
		silent := (now - s.since).Round(time.Millisecond)
		l.breach(&wire.ViolationError{Kind: wire.Begin, Reason: fmt.Sprintf("%d bodies don't come: not a chunk for %v", due, silent)})
	default:
		s.answers++
		s.pinged = l.ping(nil)
	}
}

// checkTurns finds a body that gets no turn while others do. Senders let bodies
// take turns, or send them in the order of their grants: either way less comes
// in between than may have been granted at once.
func (l *Link) checkTurns() error {
	most := uint64(l.limits.RequestBytes + l.limits.ReplyBytes + l.limits.DataBytes + int64(l.cfg.Ours.EagerWindow))
	if l.in.chunked-l.in.turns < most/4 {
		return nil
	}
	l.in.turns = l.in.chunked
	for _, a := range l.in.assemblies {
		switch {
		case !l.offers.granted(a):
			a.turn = l.in.chunked
		case l.in.chunked-a.turn > 2*most:
			return &wire.ViolationError{Kind: wire.Begin, Reason: fmt.Sprintf("body %d doesn't come: %d bytes of others have", a.frame.Xfer, l.in.chunked-a.turn)}
		}
	}
	return nil
}
