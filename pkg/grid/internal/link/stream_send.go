package link

import (
	"context"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Send sends one message, waiting for credit and for room. It returns when the
// message is on its way. msg isn't kept.
func (s *Stream) Send(ctx context.Context, msg []byte) error {
	if len(msg) > s.l.cfg.Theirs.MaxMessage {
		return ErrTooLarge
	}
	turn := false // this Send has waited in line, and is now its head
	for {
		s.mu.Lock()
		if err := s.sendableLocked(); err != nil {
			s.mu.Unlock()
			return err
		}
		if !s.send.Take(len(msg)) {
			if s.hungry.IsZero() {
				s.hungry = time.Now()
			}
			s.mu.Unlock()
			select {
			case <-s.sendWake:
				continue
			case <-ctx.Done():
				return s.waitErr(ctx)
			}
		}
		s.hungry = time.Time{}
		// The credit is ours; now for room in the queue. s.mu is held while the
		// frame is appended, so that messages and the end stay in order.
		if len(msg) > s.l.to.chunk {
			return s.sendLargeLocked(ctx, msg)
		}
		if s.appendLocked(&wire.Frame{Kind: wire.Data, Mine: s.role == mux.Caller, ID: s.id, Body: msg}, appendWhen{turn: turn}) {
			s.mu.Unlock()
			if s.observer.Sent != nil {
				s.observer.Sent(len(msg))
			}
			return nil
		}
		_ = s.send.Give(1, uint64(s.send.Cost(len(msg)))) // taken above, so it fits
		s.mu.Unlock()
		if err := s.l.waitRoom(ctx); err != nil {
			return err
		}
		turn = true
	}
}

// sendableLocked says why nothing may be sent, if so.
func (s *Stream) sendableLocked() error {
	if _, v := mux.Next(s.role, s.state, mux.SendData); v != mux.Do {
		return s.sendErrLocked()
	}
	if !s.send.Usable() {
		return ErrNoCredit
	}
	if s.body != nil {
		return errConcurrent
	}
	return nil
}

// sendErrLocked is what Send says after the end.
func (s *Stream) sendErrLocked() error {
	if s.err != nil {
		return s.err
	}
	return ErrStreamClosed
}

// sendLargeLocked sends a message in chunks. It unlocks s.mu.
func (s *Stream) sendLargeLocked(ctx context.Context, msg []byte) error {
	l, o := s.l, &s.l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		s.mu.Unlock()
		return &Failure{Cut: o.closed}
	}
	t := l.beginTransferLocked(&wire.Frame{Kind: wire.Data, Mine: s.role == mux.Caller, ID: s.id, Body: msg})
	s.body = t
	o.mu.Unlock()
	s.mu.Unlock()
	err := l.sendChunks(ctx.Done(), t, nil)
	o.mu.Lock()
	end := t.end
	o.mu.Unlock()
	s.mu.Lock()
	s.body = nil
	s.bulkEnd = max(s.bulkEnd, end)
	defer s.mu.Unlock()
	switch err {
	case nil:
		if s.observer.Sent != nil {
			s.observer.Sent(len(msg))
		}
		return nil
	case errDone:
		// The other side forgets what it has of the message, and never counted it.
		if s.state == mux.Closed {
			return s.sendErrLocked()
		}
		_ = s.send.Give(1, uint64(s.send.Cost(len(msg)))) // taken by Send, so it fits
		return s.waitErr(ctx)
	default:
		return s.sendErrLocked()
	}
}

// appendWhen says what a stream's frame may pass over.
type appendWhen struct {
	full bool // that the queue is full: ends don't wait
	turn bool // the others in line: it was this one's turn
}

// appendLocked appends a frame of this stream behind all earlier ones and
// reports false if the queue has no room.
func (s *Stream) appendLocked(f *wire.Frame, when appendWhen) bool {
	l, o := s.l, &s.l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		return true // nothing matters any more; the cut is on its way to this stream
	}
	if !when.full && (o.queued >= l.limits.SendQueue || len(o.room) > 0 && !when.turn) {
		o.mu.Unlock()
		return false
	}
	if s.bulkEnd > o.bulkHanded {
		l.appendBehindLocked(f, s.bulkEnd)
		s.bulkEnd = o.bulkAppended
	} else {
		l.appendLocked(f)
	}
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	return true
}

// waitRoom waits until the small queue has room.
func (l *Link) waitRoom(ctx context.Context) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.waitRoomLocked(ctx.Done()) {
		return nil
	}
	if o.closed != nil {
		return &Failure{Cut: o.closed}
	}
	return ctx.Err()
}
