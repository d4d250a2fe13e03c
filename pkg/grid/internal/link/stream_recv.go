package link

import (
	"context"
	"io"
	"slices"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Recv gives the next message, in order; io.EOF after a clean end; or why the
// stream ended. ctx ends the wait, not the stream. The message is the caller's.
func (s *Stream) Recv(ctx context.Context) ([]byte, error) { return s.receive(ctx, true) }

// Next is Recv without giving its credit back to the sender, which Took does,
// and without giving back its memory, which Handed does.
func (s *Stream) Next(ctx context.Context) ([]byte, error) { return s.receive(ctx, false) }

func (s *Stream) receive(ctx context.Context, took bool) ([]byte, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 && !s.dropped {
			return s.popLocked(took), nil
		}
		if s.state == mux.Closed || s.state == mux.RecvClosed {
			err := s.err
			s.mu.Unlock()
			if err == nil {
				err = io.EOF
			}
			return nil, err
		}
		s.waiting++
		s.rank = credit.Handed
		if took {
			s.rank = credit.Wanted
		}
		s.wantLocked()
		s.mu.Unlock()
		var err error
		select {
		case <-s.recvWake:
		case <-ctx.Done():
			err = s.waitErr(ctx)
		}
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// waitErr says why a wait under ctx ended. A handler's context is done just
// before its stream is: then the stream's end is the better answer.
func (s *Stream) waitErr(ctx context.Context) error {
	if s.incoming != nil && s.incoming.Err() != nil {
		cause := context.Cause(s.incoming)
		if cut, ok := cause.(*CutError); ok {
			return &Failure{Cut: cut, Sent: true}
		}
		return cause
	}
	return ctx.Err()
}

// popLocked takes the oldest message, gives its credit back if the user has it
// now, and unlocks.
func (s *Stream) popLocked(took bool) []byte {
	it := s.nextLocked()
	more := s.waiting > 0 && len(s.queue) > 0
	if s.state == mux.Closed && len(s.queue) == 0 && s.unwatch != nil {
		s.unwatch()
	}
	var msgs, bytes uint64
	if took {
		msgs, bytes = s.creditLocked(len(it.msg))
	}
	if !took {
		s.hand = append(s.hand, it.claim)
	}
	s.mu.Unlock()
	if more {
		notify(s.recvWake)
	}
	if took && it.claim != nil {
		it.claim.Release()
	}
	s.grant(msgs, bytes)
	if s.observer.Received != nil {
		s.observer.Received(len(it.msg))
	}
	return it.msg
}

// nextLocked takes the oldest message out of the queue.
func (s *Stream) nextLocked() item {
	it := s.queue[0]
	if it.again > 0 {
		s.queue[0].again--
		return item{msg: keep(nil)} // each user has its own
	}
	s.queue[0] = item{}
	s.queue = s.queue[1:]
	if len(s.queue) == 0 && cap(s.queue) > 64 {
		s.queue = nil
	}
	return it
}

// Took says that the user has a message of n bytes: its credit goes back.
func (s *Stream) Took(n int) {
	s.mu.Lock()
	msgs, bytes := s.creditLocked(n)
	s.mu.Unlock()
	s.grant(msgs, bytes)
}

// Handed says that the user has the oldest of the messages that Next gave, so
// its memory is the user's.
func (s *Stream) Handed() {
	s.mu.Lock()
	claim := s.hand[0]
	s.hand = slices.Delete(s.hand, 0, 1)
	s.mu.Unlock()
	if claim != nil {
		claim.Release()
	}
}

// HandedAll says so of all that Next gave: there will be no more.
func (s *Stream) HandedAll() {
	s.mu.Lock()
	all := s.hand
	s.hand = nil
	s.mu.Unlock()
	for _, claim := range all {
		if claim != nil {
			claim.Release()
		}
	}
}

// creditLocked counts a message of n bytes as read and gives the grant that is due.
func (s *Stream) creditLocked(n int) (msgs, bytes uint64) {
	msgs, bytes = s.recv.Read(n)
	if s.state == mux.Closed {
		return 0, 0
	}
	return msgs, bytes
}

func (s *Stream) grant(msgs, bytes uint64) {
	if msgs > 0 {
		s.l.provoke(&wire.Frame{Kind: wire.Credit, Mine: s.role == mux.Caller, ID: s.id, Msgs: msgs, Bytes: bytes})
	}
}

// Sends tells whether this end may send messages at all.
func (s *Stream) Sends() bool { return s.send.Usable() }

// Window is how many messages may be received and unread.
func (s *Stream) Window() int64 { return s.window }
