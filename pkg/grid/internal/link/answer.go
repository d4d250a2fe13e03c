package link

import (
	"fmt"
	"runtime/debug"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// answer sends a single request's answer and gives back what the call holds.
// With the read token it never waits: when it would have to, it passes the
// token on first. It reports whether the caller still holds it.
func (l *Link) answer(c *call, reply []byte, err error, token bool) bool {
	f := wire.Frame{Kind: wire.Reply, ID: c.id, Body: reply}
	if err == nil && len(reply) > l.cfg.Theirs.MaxMessage {
		err = fmt.Errorf("reply of %d bytes is larger than the %d the caller takes", len(reply), l.cfg.Theirs.MaxMessage)
	}
	if err != nil {
		l.encodeError(&f, err)
	}
	c.end(errReturned)
	o := &l.out
	large := len(f.Body) > l.to.chunk
	if large && token { // its caller may give up while it goes out
		l.serving.mu.Lock()
		l.serving.calls.Put(c.id, c)
		l.serving.mu.Unlock()
		defer l.forget(c)
	}
	o.mu.Lock()
	if token && (large || o.queued >= l.limits.SendQueue || len(o.room) > 0) {
		o.mu.Unlock()
		l.uncork()
		l.shared.workers.run(job{link: l})
		token = false
		o.mu.Lock()
	}
	if large || o.queued >= l.limits.SendQueue || len(o.room) > 0 {
		if !l.owe(len(f.Body)) {
			l.encodeError(&f, errUntaken)
			large = false
		}
		defer l.owes(-len(f.Body))
	}
	if !l.waitRoomLocked(nil) {
		o.mu.Unlock()
		l.running(c)
		return token
	}
	if large {
		t := l.beginTransferLocked(&f)
		o.mu.Unlock()
		if !c.answering(t) {
			l.stopTransfer(t)
		}
		_ = l.sendChunks(nil, t, nil) // fails only with the link, or for want of who wants it
	} else {
		l.appendLocked(&f)
		wake := !(token && l.corked.Load()) && l.wakeLocked()
		o.mu.Unlock()
		if wake {
			l.wake()
		}
	}
	l.running(c)
	if l.drain.ours.Load() {
		l.checkQuiet()
	}
	return token
}

// encodeError makes f the ERROR for err.
func (l *Link) encodeError(f *wire.Frame, err error) {
	code, message := l.describe(err)
	code = code[:min(len(code), wire.MaxHandlerName)]
	message = message[:min(len(message), l.to.text)]
	*f = wire.Frame{Kind: wire.Error, ID: f.ID, Code: []byte(code), Message: []byte(message)}
}

// describe gives what travels of an error. Its methods are the user's: what
// panics in them, like a nil pointer that is an error, fails the call only.
func (l *Link) describe(err error) (code, message string) {
	if err == errPanic || err == errGoexit || err == errUntaken {
		return CodeInternal, err.Error()
	}
	defer func() {
		if p := recover(); p != nil {
			code, message = CodeInternal, "the handler's error panicked; its peer's log has the stack"
			l.shared.Logger.Error("handler's error panicked", "peer", l.cfg.Remote,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	return l.shared.EncodeError(err)
}
