package link

import (
	"errors"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// errConcurrent is the answer to a misuse that would tear messages.
var errConcurrent = errors.New("a large message is being sent on this stream; Send and CloseSend must not be called concurrently")

// takeStream takes a stream of ours out of the table.
func (l *Link) takeStream(id uint64) *Stream {
	l.out.mu.Lock()
	s, _ := l.out.streams.Take(id)
	l.out.mu.Unlock()
	if s != nil && l.drain.ours.Load() {
		l.checkQuiet()
	}
	return s
}

// streamOf finds the end that a frame is for. Neither stream nor error means
// that it has ended and the frame was on its way.
func (l *Link) streamOf(f *wire.Frame) (*Stream, error) {
	if f.Mine { // the other side made the call: we handle it
		l.serving.mu.Lock()
		c, ok := l.serving.calls.Get(f.ID)
		l.serving.mu.Unlock()
		switch {
		case ok && c.stream != nil:
			return c.stream, nil
		case ok:
			return nil, &wire.ViolationError{Kind: f.Kind, Reason: "for a call that is no stream"}
		case f.ID == 0 || f.ID > l.in.lastID:
			return nil, &wire.ViolationError{Kind: f.Kind, Reason: "for a stream that was never opened"}
		}
		return nil, nil
	}
	l.out.mu.Lock()
	s, ok := l.out.streams.Get(f.ID)
	single, next := false, l.out.nextID
	if !ok {
		_, single = l.out.waiters.Get(f.ID)
	}
	l.out.mu.Unlock()
	switch {
	case ok:
		return s, nil
	case single:
		return nil, &wire.ViolationError{Kind: f.Kind, Reason: "for a call that is no stream"}
	case f.ID == 0 || f.ID > next:
		return nil, &wire.ViolationError{Kind: f.Kind, Reason: "for a stream that was never opened"}
	}
	return nil, nil
}

// onData queues a message for Recv.
func (l *Link) onData(f *wire.Frame) error {
	s, err := l.streamOf(f)
	if s == nil {
		return err
	}
	s.mu.Lock()
	_, v := mux.Next(s.role, s.state, mux.RecvData)
	if v == mux.Do {
		if err := s.recv.Arrived(len(f.Body)); err != nil {
			s.mu.Unlock()
			return &wire.ViolationError{Kind: f.Kind, Reason: err.Error()}
		}
		s.queueLocked(f.Body)
	}
	s.mu.Unlock()
	switch v {
	case mux.Do:
		notify(s.recvWake)
	case mux.Violate:
		return errAfterEnd(f.Kind)
	default: // it has ended, and this was on its way
	}
	return nil
}

// queueLocked keeps a message for Recv. How many may be unread is for handlers to
// say, and those of the other side may say 2^31-1: so empty ones in a row, which
// take none of the window's bytes, are counted only.
func (s *Stream) queueLocked(body []byte) {
	if last := len(s.queue) - 1; len(body) == 0 && last >= 0 && len(s.queue[last].msg) == 0 {
		s.queue[last].again++
		return
	}
	s.queue = append(s.queue, item{msg: keep(body)})
}

// errAfterEnd is the violation of who sends more after its END.
func errAfterEnd(k wire.Kind) error {
	return &wire.ViolationError{Kind: k, Reason: "after the end"}
}

// onEnd takes a clean end.
func (l *Link) onEnd(f *wire.Frame) error {
	s, err := l.streamOf(f)
	if s == nil {
		return err
	}
	s.mu.Lock()
	state, v := mux.Next(s.role, s.state, mux.RecvEnd)
	if v == mux.Do {
		if state == mux.Closed {
			s.endLocked(state, nil)
		} else {
			s.state = state
			notify(s.recvWake)
		}
	}
	s.mu.Unlock()
	if v == mux.Violate {
		return &wire.ViolationError{Kind: f.Kind, Reason: "twice"}
	}
	if v == mux.Do && s.role == mux.Caller {
		l.takeStream(s.id)
	}
	return nil
}

// onCredit takes a grant.
func (l *Link) onCredit(f *wire.Frame) error {
	s, err := l.streamOf(f)
	if s == nil {
		return err
	}
	s.mu.Lock()
	_, v := mux.Next(s.role, s.state, mux.RecvCredit)
	if v == mux.Do {
		err = s.send.Give(f.Msgs, f.Bytes)
	}
	s.mu.Unlock()
	if err != nil {
		return &wire.ViolationError{Kind: f.Kind, Reason: err.Error()}
	}
	notify(s.sendWake)
	return nil
}
