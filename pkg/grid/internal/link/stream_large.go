package link

import (
	"slices"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Large messages on their way in. Each waits for memory, and memory that lies
// in one stream unread is lacking in all others of the link, and of the
// process. So who gets it depends on who waits for the message: of the budget,
// what nobody waits for yet can have what is left beside two messages of the
// largest size; what goes to a pump, that is to a user who may never look, can
// have all but one; and what a Recv waits for now can have all. Streams that
// are not read stop nobody who reads.

// kept is how many bytes of a budget of large messages each rank leaves to the
// next higher one: a message of any size, if the budget has so much beside the
// one that even a pump must be able to take.
func (l *Limits) kept(budget int64) int64 {
	return min(int64(l.MaxMessage), budget-int64(l.MaxMessage))
}

// maxBodies is how many large messages of one stream may be begun and not
// whole: a sender has one at a time, but the next one's BEGIN may overtake the
// last chunk, which is bulk.
const maxBodies = 2

var errManyBodies = &wire.ViolationError{Kind: wire.Begin, Reason: "of more large messages of one stream than may be on their way"}

// begin counts a large message in, by its BEGIN: its credit is used from there.
// It reports false if the stream has ended, and nothing of it matters.
func (s *Stream) begin(a *assembly) (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, v := mux.Next(s.role, s.state, mux.RecvData); {
	case v == mux.Violate:
		return false, errAfterEnd(wire.Begin)
	case v != mux.Do:
		return false, nil
	case len(s.bodies) == maxBodies:
		return false, errManyBodies
	}
	if err := s.recv.Arrived(a.total); err != nil {
		return false, &wire.ViolationError{Kind: wire.Begin, Reason: err.Error()}
	}
	s.bodies = append(s.bodies, a)
	return true, nil
}

// claim asks for the memory of a large message that was begun.
func (s *Stream) claim(a *assembly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.claim = s.l.data.ClaimFor(credit.Ahead, int64(a.total), func() { s.l.grant(a) })
	s.wantLocked()
}

// wantLocked says that the next message is waited for, if it is.
func (s *Stream) wantLocked() {
	if s.waiting > 0 && len(s.queue) == 0 && len(s.bodies) > 0 && s.bodies[0].claim != nil {
		s.bodies[0].claim.Raise(s.rank)
	}
}

// whole queues a large message for Recv.
func (s *Stream) whole(a *assembly) error {
	s.mu.Lock()
	s.endBodyLocked(a)
	_, v := mux.Next(s.role, s.state, mux.RecvData)
	if v == mux.Do {
		s.queue = append(s.queue, item{msg: a.buf, claim: a.claim})
	}
	s.mu.Unlock()
	if v == mux.Do {
		notify(s.recvWake)
		return nil
	}
	s.l.release(a)
	if v == mux.Violate {
		return errAfterEnd(wire.Data)
	}
	return nil
}

// unsent takes a large message back that will not be finished.
func (s *Stream) unsent(a *assembly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endBodyLocked(a)
	s.recv.Unsent(a.total)
	s.wantLocked() // there may be another one behind it
}

func (s *Stream) endBodyLocked(a *assembly) {
	if i := slices.Index(s.bodies, a); i >= 0 {
		s.bodies = slices.Delete(s.bodies, i, i+1)
	}
}
