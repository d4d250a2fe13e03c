package link

import (
	"errors"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// errDone says that the caller's context was done before all was appended.
var errDone = errors.New("done")

// errStopped says that a transfer's call ended before its body was sent.
var errStopped = errors.New("stopped")

// transfer is a large body on its way out. Its owner, the caller or handler
// whose body it is, copies it chunk by chunk, in turn with the other transfers.
type transfer struct {
	xfer uint64
	body []byte
	turn chan struct{} // something changed for this one; room for one

	// Protected by outbound.mu.
	granted bool // the other side has the memory
	eager   bool // this counts in outbound.eager, and is taken out of it with the body's end
	stopped bool
	queued  bool // in outbound.turns
	sent    int
	end     uint64 // position of the last chunk, once it is appended
}

// signal tells the owner to look again.
func (t *transfer) signal() {
	select {
	case t.turn <- struct{}{}:
	default:
	}
}

// beginTransferLocked appends the BEGIN of f, whose body will follow.
func (l *Link) beginTransferLocked(f *wire.Frame) *transfer {
	o := &l.out
	o.nextXfer++
	t := &transfer{xfer: o.nextXfer, body: f.Body, turn: make(chan struct{}, 1)}
	total := len(f.Body)
	if f.Kind != wire.Data && total <= l.to.eager && o.eager+total <= l.cfg.Theirs.EagerWindow {
		t.eager, t.granted = true, true
		o.eager += total
	}
	begin := *f
	begin.Kind, begin.Inner, begin.Body = wire.Begin, f.Kind, nil
	begin.Xfer, begin.Total, begin.Ask = t.xfer, uint64(total), !t.granted
	l.appendLocked(&begin)
	if o.transfers == nil {
		o.transfers = map[uint64]*transfer{}
	}
	o.transfers[t.xfer] = t
	return t
}

// sendChunks copies the body out. It returns nil when all of it is appended,
// or when the call ended meanwhile and its waiter says how; errDone when done
// fired first. w may be nil, for bodies that no answer is awaited to.
func (l *Link) sendChunks(done <-chan struct{}, t *transfer, w *waiter) error {
	o := &l.out
	o.mu.Lock()
	wake := l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	err := l.copyChunks(done, t, w)
	o.mu.Lock()
	delete(o.transfers, t.xfer)
	if t.eager {
		o.eager -= len(t.body)
	}
	if err != nil && o.closed == nil {
		l.appendLocked(&wire.Frame{Kind: wire.Abort, Xfer: t.xfer})
	}
	wake = l.wakeLocked()
	waiting := false
	if w != nil && err != nil {
		if _, waiting = o.waiters.Get(w.id); waiting && err == errDone {
			o.waiters.Take(w.id)
			if o.closed == nil {
				l.appendLocked(&wire.Frame{Kind: wire.Cancel, Mine: true, ID: w.id, Code: []byte(CodeCanceled)})
			}
		}
	}
	o.mu.Unlock()
	if wake {
		l.wake()
	}
	switch {
	case err == nil:
		return nil
	case w == nil || waiting && err == errDone:
		return err
	default:
		return nil // somebody took the waiter and finishes it
	}
}

// copyChunks is sendChunks's loop.
func (l *Link) copyChunks(done <-chan struct{}, t *transfer, w *waiter) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	defer l.yieldTurnLocked(t)
	for t.sent < len(t.body) {
		switch {
		case o.closed != nil || t.stopped:
			return errStopped
		case t.granted && l.myTurnLocked(t):
			l.appendChunkLocked(t, w)
			if l.wakeLocked() {
				l.wake() // has room: asleep was set
			}
			continue
		case t.granted && !t.queued:
			t.queued = true
			o.turns = append(o.turns, t)
			l.giveTurnsLocked()
		}
		o.mu.Unlock()
		var gone bool
		select {
		case <-t.turn:
		case <-done:
			gone = true
		case <-l.dead:
		}
		o.mu.Lock()
		if gone {
			return errDone
		}
	}
	return nil
}

// myTurnLocked reports whether t may append its next chunk now.
func (l *Link) myTurnLocked(t *transfer) bool {
	o := &l.out
	if o.chosen == t {
		return true
	}
	return o.chosen == nil && len(o.turns) == 0 && l.bulkRoomLocked()
}

// bulkRoomLocked reports whether a chunk fits the batch of chunks being filled and the pace.
func (l *Link) bulkRoomLocked() bool {
	o := &l.out
	return o.bulkBytes <= (bulkBatch-1)*(l.to.chunk+chunkHead) && o.pace.Room(l.to.chunk)
}

// bulkBatch is how many chunks the writer takes at once: what a small frame may have to wait behind.
const bulkBatch = 2

// chunkHead is the most that a CHUNK has before its body, in bytes.
const chunkHead = 1 + 5 + 10

// appendChunkLocked appends t's next chunk and lets the next transfer have its turn.
func (l *Link) appendChunkLocked(t *transfer, w *waiter) {
	o := &l.out
	n := min(l.to.chunk, len(t.body)-t.sent)
	l.appendBulkLocked(&wire.Frame{Kind: wire.Chunk, Xfer: t.xfer, Body: t.body[t.sent : t.sent+n]})
	o.pace.Sent(n, time.Now())
	t.sent += n
	if t.sent == len(t.body) {
		o.messagesOut++
		t.end = o.bulkAppended
		if t.eager { // the other side counts it until it reads this chunk, and small frames overtake it
			t.eager = false
			o.bulkEager += len(t.body)
		}
		if w != nil {
			w.end, w.bulk = o.bulkAppended, true
		}
	}
	if o.chosen == t {
		o.chosen = nil
	}
	l.giveTurnsLocked()
}

// giveTurnsLocked chooses the next transfer if there is room for its chunk.
func (l *Link) giveTurnsLocked() {
	o := &l.out
	if o.chosen == nil && len(o.turns) > 0 && l.bulkRoomLocked() {
		t := o.turns[0]
		o.turns[0] = nil
		o.turns = o.turns[1:]
		t.queued = false
		o.chosen = t
		t.signal()
	}
}

// yieldTurnLocked takes t out of the line for good.
func (l *Link) yieldTurnLocked(t *transfer) {
	o := &l.out
	if t.queued {
		for i, q := range o.turns {
			if q == t {
				o.turns = append(o.turns[:i], o.turns[i+1:]...)
				break
			}
		}
		t.queued = false
	}
	if o.chosen == t {
		o.chosen = nil
	}
	l.giveTurnsLocked()
}

// stopTransfer ends a transfer whose call needs it no more.
func (l *Link) stopTransfer(t *transfer) {
	if t == nil {
		return
	}
	l.out.mu.Lock()
	t.stopLocked()
	l.out.mu.Unlock()
}

func (t *transfer) stopLocked() {
	t.stopped = true
	t.signal()
}

// onGrant lets a transfer go that had to wait for the other side's memory.
func (l *Link) onGrant(f *wire.Frame) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.transfers[f.Xfer]
	if !ok {
		if f.Xfer == 0 || f.Xfer > o.nextXfer {
			return &wire.ViolationError{Kind: f.Kind, Reason: "grants a transfer that was never begun"}
		}
		return nil // it was aborted meanwhile
	}
	if t.granted {
		return &wire.ViolationError{Kind: f.Kind, Reason: "grants a transfer twice"}
	}
	t.granted = true
	t.signal()
	return nil
}

// onAck takes the other side's count of chunk bytes read.
func (l *Link) onAck(f *wire.Frame) error {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.pace.Acked(f.Total, time.Now()) {
		return &wire.ViolationError{Kind: f.Kind, Reason: "acknowledges bytes that were never sent"}
	}
	l.giveTurnsLocked()
	return nil
}
