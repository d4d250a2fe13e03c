package link

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// serving is the calls that the other side made and whose handlers run.
type serving struct {
	running atomic.Int64 // with the one that the reader runs
	begun   atomic.Int64 // calls whose body is on its way

	mu    sync.Mutex       // protects calls
	calls mux.Table[*call] // all but the one that the reader runs
}

// onRequest serves a request or opens a stream; from is where a large body was
// put together, nil for one that came in its frame. It reports whether the
// caller still holds the read token. An error is a violation.
func (l *Link) onRequest(f *wire.Frame, body []byte, from *assembly) (kept bool, err error) {
	c := &call{link: l, id: f.ID}
	if from != nil {
		c.large, c.small = from.claim, from.header
	}
	h, code := l.accept(f, from != nil)
	if h == nil {
		l.giveBack(c)
		l.refuse(f.ID, code)
		return true, nil
	}
	c.h = h
	if f.Timeout > 0 {
		c.deadline = time.Now().Add(min(time.Duration(min(f.Timeout, 1<<40))*time.Millisecond, l.limits.MaxTimeout))
	}
	if len(f.Header) > 0 {
		c.Header = append([]byte(nil), f.Header...)
	}
	inline := h.Single != nil && h.slow.Load() == 0 && len(body) <= l.limits.Chunk
	if !inline && !l.hold(c, f, body) {
		l.giveBack(c)
		l.count.overloads.Add(1)
		l.refuse(f.ID, CodeOverloaded)
		return true, nil
	}
	if c.body = body; from == nil {
		c.body = keep(body)
	}
	l.serving.running.Add(1)
	l.calls.Add(1)
	if inline {
		return l.serveInline(c), nil
	}
	if h.Stream != nil {
		their := l.cfg.Theirs.StreamWindow
		c.stream = newStream(l, c.id, mux.Handler, h.In, h.Out, l.cfg.Ours.StreamWindow, their)
		c.stream.incoming = c
		if from != nil && from.first != nil {
			if _, err := c.stream.begin(from.first); err != nil {
				l.running(c)
				return true, err
			}
			from.first.stream = c.stream
		}
	}
	l.serving.mu.Lock()
	l.serving.calls.Put(c.id, c)
	l.serving.mu.Unlock()
	if why := l.cause.Load(); why != nil { // the link ended meanwhile, and may have looked too early
		c.cut(why)
	}
	l.shared.workers.run(job{link: l, call: c})
	return true, nil
}

// accept finds the handler of a call, or the code to refuse it with. A call
// counts from when its body is begun: then it is served, also after a DRAIN of ours.
func (l *Link) accept(f *wire.Frame, begun bool) (*Handler, string) {
	kind := f.Kind
	if kind == wire.Begin {
		kind = f.Inner
	}
	all := l.shared.Registry.All()
	switch {
	case l.drain.ours.Load() && !begun:
		return nil, CodeDraining
	case f.Handler >= uint64(len(all)):
		return nil, CodeUnknownHandler
	case (all[f.Handler].Stream != nil) != (kind == wire.Open):
		return nil, CodeUnknownHandler
	case !begun && l.calls.Load()+l.serving.begun.Load() >= int64(l.limits.MaxCalls):
		l.count.overloads.Add(1)
		return nil, CodeOverloaded
	case !begun && kind == wire.Request && l.owesTooMuch():
		l.count.overloads.Add(1)
		return nil, CodeOverloaded
	}
	return all[f.Handler], ""
}

// refuse tells the caller that its call has not run and will not.
func (l *Link) refuse(id uint64, code string) {
	l.provoke(&wire.Frame{Kind: wire.Refused, ID: id, Code: []byte(code)})
}

// hold takes from the budgets what c will hold while a worker runs it. What it
// took is c's, also if it reports false.
func (l *Link) hold(c *call, f *wire.Frame, body []byte) bool {
	n := int64(len(f.Header)) - c.small // a body that was begun has brought its header
	if c.large == nil {
		n += int64(len(body))
	}
	if n > 0 {
		if !l.small.Try(n) {
			return false
		}
		c.small += n
	}
	if c.h.Stream != nil && c.h.In > 0 {
		window := int64(l.cfg.Ours.StreamWindow)
		if !l.windows.Try(window) {
			return false
		}
		c.window = window
	}
	return true
}

// giveBack gives back what a call holds.
func (l *Link) giveBack(c *call) {
	if c.large != nil {
		c.large.Release()
	}
	if c.small > 0 {
		l.small.Give(c.small)
	}
	if c.window > 0 {
		l.windows.Give(c.window)
	}
}

// serveInline runs c's handler on the reader's goroutine.
func (l *Link) serveInline(c *call) (kept bool) {
	word := l.turn.enter(c)
	if why := l.cause.Load(); why != nil {
		c.end(why)
	}
	if !l.watched.Load() {
		l.shared.watch.add(l)
	}
	var began time.Time
	if c.id%sampleEvery == 0 {
		began = time.Now()
	}
	settled := false
	defer func() {
		if !settled { // the handler called runtime.Goexit: this goroutine is ending
			if l.turn.leave(word) {
				l.shared.workers.run(job{link: l}) // first: the answer may have to wait
			} else {
				l.forget(c)
			}
			l.answer(c, nil, errGoexit, false)
		}
	}()
	reply, err := c.run()
	settled = true
	if kept = l.turn.leave(word); !kept {
		c.h.ran(time.Since(c.stolenAt()), l.limits.InlineAfter)
		defer l.forget(c) // after its answer, which its caller may still give up
	} else if !began.IsZero() {
		c.h.sampled(time.Since(began), l.limits.InlineAfter)
	}
	return l.answer(c, reply, err, kept)
}

// serve runs c's handler on a worker.
func (l *Link) serve(c *call) {
	if c.stream == nil && l.owesTooMuch() { // since it was accepted
		l.count.overloads.Add(1)
		c.end(errReturned)
		l.refuse(c.id, CodeOverloaded)
		l.running(c)
		l.forget(c)
		l.checkQuiet()
		return
	}
	settled := false
	defer func() {
		if !settled {
			l.conclude(c, nil, errGoexit)
			l.forget(c)
			l.checkQuiet()
		}
	}()
	began := time.Now()
	var reply []byte
	var err error
	if c.stream != nil {
		err = c.runStream()
	} else {
		reply, err = c.run()
		c.h.ran(time.Since(began), l.limits.InlineAfter)
	}
	settled = true
	l.conclude(c, reply, err)
	l.forget(c)
	l.checkQuiet()
}

// conclude sends the end of a call that a worker ran.
func (l *Link) conclude(c *call, reply []byte, err error) {
	if c.stream != nil {
		c.stream.conclude(err)
		c.end(errReturned)
		l.running(c)
		return
	}
	l.answer(c, reply, err, false)
}

// adopt enters a call among the running ones that the reader started to run.
func (l *Link) adopt(c *call) {
	l.serving.mu.Lock()
	if !c.forgotten {
		c.stolen = time.Now()
		l.serving.calls.Put(c.id, c)
	}
	l.serving.mu.Unlock()
	if why := l.cause.Load(); why != nil {
		c.end(why)
	}
}

// stolenAt is when adopt entered the call; waits for adopt if it is still at it.
func (c *call) stolenAt() time.Time {
	c.link.serving.mu.Lock()
	defer c.link.serving.mu.Unlock()
	if c.stolen.IsZero() {
		return time.Now()
	}
	return c.stolen
}

// forget takes a call out of the running ones.
func (l *Link) forget(c *call) {
	l.serving.mu.Lock()
	c.forgotten = true
	l.serving.calls.Take(c.id)
	l.serving.mu.Unlock()
}

// running gives back what a running call holds.
func (l *Link) running(c *call) {
	l.giveBack(c)
	l.calls.Add(-1)
	l.serving.running.Add(-1)
}

var (
	errGoexit   = errors.New("the handler ended its goroutine with runtime.Goexit")
	errPanic    = errors.New("the handler panicked; its peer's log has the stack")
	errReturned = errors.New("the handler has returned")
	errUntaken  = errors.New("the reply is dropped: too many bytes of replies wait for the caller's side to take them")
)

// run runs a single request's handler. A panic becomes an error.
func (c *call) run() (reply []byte, err error) {
	defer c.recovered(&err)
	return c.h.Single(c, c, c.body)
}

// runStream runs a stream's handler.
func (c *call) runStream() (err error) {
	defer c.recovered(&err)
	return c.h.Stream(c, c, c.stream)
}

func (c *call) recovered(err *error) {
	if p := recover(); p != nil {
		*err = errPanic
		c.link.shared.Logger.Error("handler panicked", "handler", c.h.Name, "peer", c.link.cfg.Remote,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// onCancel cancels the context of a call that its caller gave up.
func (l *Link) onCancel(f *wire.Frame) error {
	switch {
	case !f.Mine:
		return &wire.ViolationError{Kind: f.Kind, Reason: "made in the name of this side"}
	case f.ID == 0 || f.ID > l.in.lastID:
		return &wire.ViolationError{Kind: f.Kind, Reason: "of a call that was never made"}
	}
	l.serving.mu.Lock()
	c, ok := l.serving.calls.Get(f.ID)
	l.serving.mu.Unlock()
	if !ok {
		return nil // it has ended, or it is refused
	}
	cause := errCanceled
	if string(f.Code) == CodeDeadline {
		cause = errDeadline
	}
	c.end(cause) // first, so that who sees the stream's end finds its context done
	l.stopTransfer(c.unwant())
	if c.stream != nil {
		c.stream.canceled(cause)
	}
	return nil
}

// cancelServing ends the context of all running calls.
func (l *Link) cancelServing(why *CutError) {
	l.serving.mu.Lock()
	var all []*call
	for _, c := range l.serving.calls.All() {
		all = append(all, c)
	}
	l.serving.mu.Unlock()
	for _, c := range all {
		c.cut(why)
	}
}

// cut ends a call with its link.
func (c *call) cut(why *CutError) {
	c.end(why) // first, as in onCancel
	if c.stream != nil {
		c.stream.cut(why)
	}
}
