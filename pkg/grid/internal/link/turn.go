package link

import "sync/atomic"

// turn says who reads. Exactly one goroutine holds the read token, and with it
// everything in Link.in. It runs handlers itself, because handing each call to
// another goroutine would cost more than all else that the serving side does.
// While it is in a handler the token can be taken from it, which is how a
// handler that blocks holds up nobody: the word is odd in a handler and even
// outside; leaving and taking are the same compare-and-swap, so one of them wins.
type turn struct {
	word atomic.Uint64
	call *call // what the holder runs; written by it while the word is even, read by who took the token
}

// enter is called by the holder before it runs c's handler.
func (t *turn) enter(c *call) uint64 {
	t.call = c
	return t.word.Add(1)
}

// leave is called after it, with what enter gave. It reports whether the
// caller still holds the token; if not it must not touch Link.in again.
func (t *turn) leave(word uint64) bool {
	return t.word.CompareAndSwap(word, word+1)
}

// take takes the token from a holder that is in a handler and gives that
// handler's call. The taker must see to it that somebody reads.
func (t *turn) take() (*call, bool) {
	word := t.word.Load()
	if word&1 == 0 || !t.word.CompareAndSwap(word, word+1) {
		return nil, false
	}
	return t.call, true
}

// steal takes the token from a reader that runs a handler, enters that call
// among the running ones, where its cancellation can find it, and lets another
// goroutine read on. It does nothing when the reader is not in a handler.
func (l *Link) steal() {
	c, ok := l.turn.take()
	if !ok {
		return
	}
	c.h.blocked(l.limits.InlineAfter)
	l.adopt(c)
	l.uncork()
	l.shared.workers.run(job{link: l})
}
