package link

import (
	"context"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Stream is one end of a stream. Send may be called concurrently with Recv,
// neither with itself.
type Stream struct {
	l        *Link
	id       uint64
	role     mux.Role
	window   int64       // messages that may be in flight to us
	incoming *call       // the handler's end
	unwatch  func() bool // the caller's end: stops watching its context

	recvWake chan struct{} // a message or the end has come; room for one
	sendWake chan struct{} // credit or the end has come; room for one
	done     chan struct{} // closed when the stream has ended

	mu      sync.Mutex // protects what follows; before outbound.mu
	state   mux.State
	queue   []item // received and unread, oldest first
	recv    credit.Receipt
	send    credit.Window
	err     error           // why it ended, nil: cleanly
	dropped bool            // our user cancelled: what is queued is of no interest
	hungry  time.Time       // since when Send waits for credit; zero: it doesn't
	waiting int             // Recv calls that wait
	rank    credit.Rank     // of the message they wait for
	bodies  []*assembly     // large messages on their way in, oldest first
	hand    []*credit.Claim // of messages that Next gave and Handed was not called for; nil for small ones
	body    *transfer       // a large message on its way out
	bulkEnd uint64          // position of the last chunk sent; what follows must not overtake it

	observer Observer // written under mu, before anybody sends or receives
}

// item is one received message.
type item struct {
	msg   []byte
	claim *credit.Claim // memory of a large one, nil otherwise
	again int           // as many more like this one, which is empty, follow it
}

// Observer is told what happens on a stream.
type Observer struct {
	Sent, Received func(size int)
	Ended          func(err error)
}

// Observe adds o to who is told. It is called before anybody uses the stream,
// which may have ended already: then o is told at once.
func (s *Stream) Observe(o Observer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.observer
	s.observer = Observer{both(was.Sent, o.Sent), both(was.Received, o.Received), both(was.Ended, o.Ended)}
	if s.state == mux.Closed {
		s.tellEndLocked(o)
	}
}

// both gives one function for two, either of which may be nil.
func both[T any](a, b func(T)) func(T) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(v T) { a(v); b(v) }
}

// tellEndLocked tells o of the end, on a goroutine of its own: it is user code.
func (s *Stream) tellEndLocked(o Observer) {
	if o.Ended != nil {
		err := s.err
		s.l.shared.workers.run(job{do: func() { o.Ended(err) }})
	}
}

// newStream gives an end that sends out messages in flight with their bytes of
// window, or in, by its role.
func newStream(l *Link, id uint64, role mux.Role, in, out, ours, their int) *Stream {
	s := &Stream{
		l: l, id: id, role: role,
		recvWake: make(chan struct{}, 1), sendWake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if role == mux.Caller {
		in, out = out, in
	}
	s.window = int64(in)
	s.recv = credit.NewReceipt(int64(in), int64(ours))
	s.send = credit.NewWindow(int64(out), int64(their))
	return s
}

// Open opens a stream. It returns when the stream's frame and payload are on
// their way; a refusal comes out of the stream. ctx ends it.
func (l *Link) Open(ctx context.Context, c *Call) (*Stream, error) {
	h, ok := l.Supports(c.Handler)
	if !ok || !h.Stream {
		return nil, &Failure{Code: CodeUnknownHandler, Text: "the peer has no such handler for streams"}
	}
	if len(c.Body) > l.cfg.Theirs.MaxMessage {
		return nil, ErrTooLarge
	}
	if len(c.Header) > l.to.header {
		return nil, ErrHeader
	}
	s := newStream(l, 0, mux.Caller, int(h.In), int(h.Out), l.cfg.Ours.StreamWindow, l.cfg.Theirs.StreamWindow)
	f := wire.Frame{
		Kind: wire.Open, Mine: true, Timeout: l.millis(c.Timeout), Handler: h.Number, Header: c.Header, Body: c.Body,
	}
	o := &l.out
	o.mu.Lock()
	if err := l.admitLocked(ctx.Done()); err != nil {
		o.mu.Unlock()
		if err == errDone {
			err = &Failure{Cause: ctx.Err()}
		}
		return nil, err
	}
	o.nextID++
	s.id, f.ID = o.nextID, o.nextID
	o.streams.Put(s.id, s)
	var t *transfer
	wake := false
	if len(c.Body) > l.to.chunk {
		t = l.beginTransferLocked(&f)
		s.body = t // nobody else knows s yet, but for a refusal, which looks under s.mu below
	} else {
		l.appendLocked(&f)
		wake = l.wakeLocked()
	}
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	if t != nil {
		switch err := l.sendChunks(ctx.Done(), t, nil); {
		case err == errDone:
			s.Cancel(ctx.Err())
			return nil, &Failure{Cause: ctx.Err()}
		case err != nil && l.cause.Load() != nil:
			return nil, &Failure{Cut: l.cause.Load()} // all of it was never sent
		default: // sent, or refused: then the stream says so
		}
	}
	s.mu.Lock()
	s.body = nil
	if t != nil {
		s.bulkEnd = t.end // its owner was this goroutine
	}
	if (s.state != mux.Closed || len(s.queue) > 0) && ctx.Done() != nil {
		s.unwatch = context.AfterFunc(ctx, func() { s.Cancel(ctx.Err()) })
	}
	s.mu.Unlock()
	return s, nil
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// CloseSend ends the caller's direction. What was sent before arrives before it.
func (s *Stream) CloseSend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body != nil {
		return errConcurrent
	}
	state, v := mux.Next(s.role, s.state, mux.SendEnd)
	if v != mux.Do || s.role != mux.Caller {
		if s.state == mux.SendClosed {
			return nil
		}
		return s.sendErrLocked()
	}
	s.state = state
	s.appendLocked(&wire.Frame{Kind: wire.End, Mine: true, ID: s.id}, appendWhen{full: true})
	notify(s.sendWake)
	return nil
}

// Cancel ends the caller's end at once and cancels the handler's context. After
// the stream's end it drops what is unread.
func (s *Stream) Cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cancelLocked(cause)
}

func (s *Stream) cancelLocked(cause error) error {
	state, v := mux.Next(s.role, s.state, mux.SendCancel)
	err := &Failure{Cause: cause, Sent: true}
	if v != mux.Do {
		if len(s.queue) > 0 { // ended, and now it will not be read to its end
			s.dropLocked()
			s.err = err
		}
		return s.sendErrLocked()
	}
	s.dropLocked()
	s.endLocked(state, err)
	s.appendLocked(&wire.Frame{Kind: wire.Cancel, Mine: true, ID: s.id, Code: cancelCode(cause)}, appendWhen{full: true})
	s.l.takeStream(s.id)
	return err
}

// dropLocked frees what is queued: nobody will read it.
func (s *Stream) dropLocked() {
	s.dropped = true
	for _, it := range s.queue {
		if it.claim != nil {
			it.claim.Release()
		}
	}
	s.queue = nil
}

// endLocked makes the stream's end known to all who wait. It is called once.
func (s *Stream) endLocked(state mux.State, err error) {
	s.state, s.err = state, err
	close(s.done)
	notify(s.recvWake)
	notify(s.sendWake)
	if s.unwatch != nil && len(s.queue) == 0 { // else its end still frees what is unread
		s.unwatch()
	}
	if s.body != nil {
		s.l.stopTransfer(s.body)
	}
	s.tellEndLocked(s.observer)
}

// conclude is the handler's return: the END or ERROR that ends the stream.
func (s *Stream) conclude(err error) {
	ev, f := mux.SendEnd, wire.Frame{Kind: wire.End, ID: s.id}
	if err != nil {
		ev = mux.SendError
		s.l.encodeError(&f, err) // runs the user's Error: not under the lock
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state, v := mux.Next(s.role, s.state, ev)
	s.dropLocked()
	if v != mux.Do {
		return // cancelled or cut before
	}
	s.appendLocked(&f, appendWhen{full: true})
	if err == nil {
		err = ErrStreamClosed
	}
	s.endLocked(state, err)
}

// fail ends the caller's end with the other side's error or refusal.
func (s *Stream) fail(err error) { s.finish(mux.RecvError, err) }

// cut ends either end with its link.
func (s *Stream) cut(why *CutError) { s.finish(mux.Cut, &Failure{Cut: why, Sent: true}) }

// canceled ends the handler's end by the caller's wish.
func (s *Stream) canceled(cause error) { s.finish(mux.RecvCancel, cause) }

// finish ends the stream from the other side. What is queued can still be read.
func (s *Stream) finish(ev mux.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state, v := mux.Next(s.role, s.state, ev); v == mux.Do {
		s.endLocked(state, err)
	}
}

// Done is closed when the stream has ended; messages may still be unread.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err says why the stream ended: nil while it lives and after a clean end.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == ErrStreamClosed {
		return nil
	}
	return s.err
}

// Payload gives what the caller opened the stream with. The handler's end only.
func (s *Stream) Payload() []byte { return s.incoming.body }

// Hungry is how long Send has waited for credit, 0 if it doesn't.
func (s *Stream) Hungry(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hungry.IsZero() || s.state == mux.Closed {
		return 0
	}
	return now.Sub(s.hungry)
}
