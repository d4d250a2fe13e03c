package link

import (
	"context"
	"math"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Call is a call to be made.
type Call struct {
	Handler string
	Header  []byte        // encoded, nil: none
	Body    []byte        // copied before the call returns
	Dst     []byte        // the reply is appended to it
	Timeout time.Duration // the time it has; 0: no limit
	// Expire says that the link ends the call after Timeout; else the context does.
	Expire bool
}

// waiter is a call of ours that waits for its answer.
type waiter struct {
	done  chan struct{} // room for one; recycled with the waiter
	id    uint64
	xfer  *transfer // its body on the way, while it is
	dst   []byte
	reply []byte
	err   error

	// Protected by outbound.mu.
	answering bool   // the body of its answer has begun
	end       uint64 // position of the call's last byte; never: not appended yet
	bulk      bool   // end counts chunks
	expires   time.Time
}

const never = math.MaxUint64

// newWaiter gives a waiter with a channel that is used again and again. The
// pool belongs to one manager: a channel must not wander between the bubbles of
// testing/synctest.
func (s *Shared) newWaiter() *waiter {
	if w, ok := s.waiters.Get().(*waiter); ok {
		return w
	}
	return &waiter{done: make(chan struct{}, 1)}
}

func (s *Shared) recycle(w *waiter) {
	*w = waiter{done: w.done}
	s.waiters.Put(w)
}

// sent reports whether the call's last byte was given to a socket write.
func (w *waiter) sent(small, bulk uint64) bool {
	if w.bulk {
		return w.end <= bulk
	}
	return w.end <= small
}

// finish hands the result to whoever waits. Who took the waiter out of the
// table calls it, once.
func (w *waiter) finish(reply []byte, err error) {
	w.reply, w.err = reply, err
	w.done <- struct{}{} // has room
}

// Call makes a single request and waits for its answer, ctx or the link's end.
// Errors are *Remote (the handler's own), *Failure, ErrTooLarge or ErrHeader.
func (l *Link) Call(ctx context.Context, c *Call) ([]byte, error) {
	w := l.shared.newWaiter()
	if err := l.begin(ctx.Done(), c, w); err != nil {
		if err == errDone {
			err = &Failure{Cause: ctx.Err()}
		}
		l.shared.recycle(w)
		return c.Dst, err
	}
	if done := ctx.Done(); done == nil {
		<-w.done
	} else {
		select {
		case <-w.done:
		case <-done:
			if sent, ok := l.abandon(w, ctx.Err()); ok {
				l.shared.recycle(w)
				return c.Dst, &Failure{Cause: ctx.Err(), Sent: sent}
			}
			<-w.done // its answer is being handed over
		}
	}
	reply, err := w.reply, w.err
	l.shared.recycle(w)
	if err != nil {
		return c.Dst, err
	}
	return reply, nil
}

// begin enters the call and appends its frame, or the whole of a large body
// chunk by chunk. After an error the waiter is free.
func (l *Link) begin(done <-chan struct{}, c *Call, w *waiter) error {
	h, ok := l.Supports(c.Handler)
	if !ok || h.Stream {
		return &Failure{Code: CodeUnknownHandler, Text: "the peer has no such handler for single requests"}
	}
	if len(c.Body) > l.cfg.Theirs.MaxMessage {
		return ErrTooLarge
	}
	if len(c.Header) > l.to.header {
		return ErrHeader
	}
	f := wire.Frame{
		Kind: wire.Request, Mine: true, Timeout: l.millis(c.Timeout), Handler: h.Number, Header: c.Header, Body: c.Body,
	}
	w.dst, w.end = c.Dst, never
	o := &l.out
	o.mu.Lock()
	if err := l.admitLocked(done); err != nil {
		o.mu.Unlock()
		return err
	}
	o.nextID++
	f.ID, w.id = o.nextID, o.nextID
	o.waiters.Put(w.id, w)
	if c.Expire && c.Timeout > 0 {
		l.expireLocked(w, c.Timeout)
	}
	if len(c.Body) > l.to.chunk {
		t := l.beginTransferLocked(&f)
		w.xfer = t
		o.mu.Unlock()
		return l.sendChunks(done, t, w)
	}
	w.end = l.appendLocked(&f)
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	return nil
}

// admitLocked waits until a new call may be appended. It is entered and left
// with the lock held.
func (l *Link) admitLocked(done <-chan struct{}) error {
	o := &l.out
	if !l.waitRoomLocked(done) && o.closed == nil {
		return errDone
	}
	switch {
	case o.closed != nil:
		return &Failure{Cut: o.closed, Ended: true}
	case o.draining, o.finishing:
		return &Failure{Code: CodeDraining, Text: "the link takes no more calls"}
	}
	return nil
}

// millis is a time that is left as it travels: rounded up, so that no call
// dies of rounding, and bounded.
func (l *Link) millis(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64((min(d, l.limits.MaxTimeout) + time.Millisecond - 1) / time.Millisecond)
}

// abandon takes the call out of the table and tells the other side. It
// reports false when the answer came first: then the waiter will be finished.
func (l *Link) abandon(w *waiter, cause error) (sent, ok bool) {
	o := &l.out
	o.mu.Lock()
	if _, ok = o.waiters.Get(w.id); !ok {
		o.mu.Unlock()
		return false, false
	}
	sent = l.abandonLocked(w, cause)
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	l.checkQuiet()
	return sent, true
}

// abandonLocked does that for a waiter that is in the table. A body that is
// still on its way stops under the same lock: else its last chunk could go out
// for a call that was said not to have been sent.
func (l *Link) abandonLocked(w *waiter, cause error) (sent bool) {
	l.out.waiters.Take(w.id)
	behind := uint64(0)
	if w.bulk {
		behind = w.end // a CANCEL that comes before its call is lost
	}
	if w.xfer != nil {
		w.xfer.stopLocked()
	}
	l.appendBehindLocked(&wire.Frame{Kind: wire.Cancel, Mine: true, ID: w.id, Code: cancelCode(cause)}, behind)
	return w.end != never
}

func cancelCode(cause error) []byte {
	if cause == context.DeadlineExceeded {
		return []byte(CodeDeadline)
	}
	return []byte(CodeCanceled)
}

// expireLocked sees to it that w ends after d.
func (l *Link) expireLocked(w *waiter, d time.Duration) {
	w.expires = time.Now().Add(d)
	if o := &l.out; o.expiry.IsZero() || w.expires.Before(o.expiry) {
		o.expiry = w.expires
		if o.sweeper == nil {
			o.sweeper = time.AfterFunc(d, l.sweep)
		} else {
			o.sweeper.Reset(d)
		}
	}
}

// sweep ends the calls whose time is up and sees to the next ones. One timer
// serves all calls of the link: they share their time-out, so it seldom fires.
func (l *Link) sweep() {
	o := &l.out
	now := time.Now()
	var late []*waiter
	o.mu.Lock()
	o.expiry = time.Time{}
	for _, w := range o.waiters.All() {
		switch {
		case w.expires.IsZero():
		case !w.expires.After(now):
			late = append(late, w)
		case o.expiry.IsZero() || w.expires.Before(o.expiry):
			o.expiry = w.expires
		}
	}
	if !o.expiry.IsZero() {
		o.sweeper.Reset(o.expiry.Sub(now))
	}
	// All under one lock: once it is free, a waiter may be finished by its
	// answer and recycled, and be another call's.
	for _, w := range late {
		sent := l.abandonLocked(w, context.DeadlineExceeded)
		w.finish(nil, &Failure{Cause: context.DeadlineExceeded, Sent: sent})
	}
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	l.checkQuiet()
}

// answered finds the waiter of an answer. ok is false for one that is gone;
// an id that was never given is a violation.
func (l *Link) answered(f *wire.Frame) (w *waiter, ok bool, err error) {
	o := &l.out
	o.mu.Lock()
	w, ok = o.waiters.Take(f.ID)
	next := o.nextID
	o.mu.Unlock()
	if !ok && (f.ID == 0 || f.ID > next) {
		return nil, false, &wire.ViolationError{Kind: f.Kind, Reason: "answers a call that was never made"}
	}
	if ok {
		l.stopTransfer(w.xfer)
	}
	return w, ok, nil
}

// append appends a frame of ours that waits for nobody.
func (l *Link) append(f *wire.Frame) {
	o := &l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		return
	}
	l.appendLocked(f)
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
}
