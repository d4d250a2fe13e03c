package link

import (
	"fmt"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// assembly is a large body on its way in.
type assembly struct {
	frame  wire.Frame // without body; header copied
	total  int
	buf    []byte // of total bytes; made when the body is granted, or an eager one's first chunk comes
	eager  bool
	stream *Stream       // whose message it is; nil: not one's, or it is not open
	open   *assembly     // of a stream's first message: the OPEN that it has overtaken, while that is coming
	first  *assembly     // of an OPEN: such a message
	header int64         // bytes of the header, taken from the small requests'
	claim  *credit.Claim // memory of one that asked, nil for eager ones
	turn   uint64        // chunk bytes that had come when its last one did; the reader's

	// Protected by offers.mu.
	granted bool // its chunks may come
	over    bool // whole, or aborted
}

// release gives back what it holds.
func (l *Link) release(a *assembly) {
	if a.claim != nil {
		a.claim.Release()
	}
	if a.header > 0 {
		l.small.Give(a.header)
	}
}

// maxAssemblies bounds bodies begun and not finished on a link, however small,
// but for those of calls, which MaxCalls bounds.
const maxAssemblies = 1 << 14

// clearedByReader is up to which size the memory of a body is made by whoever
// grants it, which may be the reader: it takes some ten microseconds.
const clearedByReader = 256 << 10

// onBegin takes the announcement of a large body. What is refused is refused
// here, before any of it is sent.
func (l *Link) onBegin(f *wire.Frame) error {
	limit := uint64(l.cfg.Ours.MaxMessage)
	switch {
	case f.Xfer <= l.in.lastXfer:
		return &wire.ViolationError{Kind: f.Kind, Reason: "transfer is not above all earlier ones"}
	case f.Total > limit:
		return &wire.ViolationError{Kind: f.Kind, Reason: fmt.Sprintf("total of %d bytes, the limit is %d", f.Total, limit)}
	case f.Total == 0:
		return &wire.ViolationError{Kind: f.Kind, Reason: "total is 0"}
	case len(l.in.assemblies)-int(l.serving.begun.Load()) >= maxAssemblies:
		return &wire.ViolationError{Kind: f.Kind, Reason: "too many bodies begun and not finished"}
	}
	l.in.lastXfer = f.Xfer
	a := &assembly{frame: *f, total: int(f.Total), eager: !f.Ask, turn: l.in.chunked}
	a.frame.Header = append([]byte(nil), f.Header...)
	a.frame.Kind = f.Inner
	if a.eager {
		// A stream's messages may stay unread: a large one always asks.
		if f.Inner == wire.Data || a.total > l.limits.Eager || l.in.eager+a.total > l.cfg.Ours.EagerWindow {
			return &wire.ViolationError{Kind: f.Kind, Reason: "body was not asked for and is beyond the eager window"}
		}
	}
	var taken bool
	var err error
	switch f.Inner {
	case wire.Request, wire.Open:
		taken, err = l.beginCall(f, a)
	case wire.Reply:
		taken, err = l.beginReply(f)
	case wire.Data:
		taken, err = l.beginMessage(f, a)
	default: // a list
		taken = true
	}
	if !taken || err != nil {
		return err
	}
	if l.in.assemblies == nil {
		l.in.assemblies = map[uint64]*assembly{}
	}
	l.in.assemblies[f.Xfer] = a
	switch {
	case a.eager:
		l.in.eager += a.total
		l.offers.grant(a)
	case f.Inner == wire.Request, f.Inner == wire.Open:
		a.claim = l.requests.Claim(int64(a.total), func() { l.grant(a) })
	case f.Inner == wire.Reply:
		a.claim = l.replies.Claim(int64(a.total), func() { l.grant(a) })
	case a.stream != nil:
		a.stream.claim(a)
	case a.open != nil:
		a.claim = l.data.ClaimFor(credit.Ahead, int64(a.total), func() { l.grant(a) })
	default: // gone as soon as it is whole
		a.claim = l.data.Claim(int64(a.total), func() { l.grant(a) })
	}
	return nil
}

// beginCall decides on a call whose body will come. What it is refused for then
// costs nothing: its sender aborts the body.
func (l *Link) beginCall(f *wire.Frame, a *assembly) (taken bool, err error) {
	if err := l.checkCall(f); err != nil {
		return false, err
	}
	h, code := l.accept(f, false)
	if n := int64(len(f.Header)); h != nil && n > 0 {
		if a.header = n; !l.small.Try(n) { // however long the body takes, its header is here
			l.count.overloads.Add(1)
			h, code = nil, CodeOverloaded
		}
	}
	if h == nil {
		l.refuse(f.ID, code)
		return false, nil
	}
	l.serving.begun.Add(1)
	if f.Inner == wire.Open {
		if l.in.opening == nil {
			l.in.opening = map[uint64]*assembly{}
		}
		l.in.opening[f.ID] = a
	}
	return true, nil
}

// beginReply looks whether somebody waits for an answer whose body will come.
func (l *Link) beginReply(f *wire.Frame) (taken bool, err error) {
	if f.Mine {
		return false, errOwnCall(f.Kind)
	}
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.waiters.Get(f.ID)
	_, stream := o.streams.Get(f.ID)
	switch {
	case ok && w.answering:
		return false, &wire.ViolationError{Kind: f.Kind, Reason: "answers a call twice"}
	case ok:
		w.answering = true
		return true, nil
	case stream:
		return false, &wire.ViolationError{Kind: f.Kind, Reason: "answers a stream"}
	case f.ID == 0 || f.ID > o.nextID:
		return false, &wire.ViolationError{Kind: f.Kind, Reason: "answers a call that was never made"}
	}
	return false, nil // the caller gave up
}

// beginMessage counts a stream's message whose body will come.
func (l *Link) beginMessage(f *wire.Frame, a *assembly) (taken bool, err error) {
	s, err := l.streamOf(f)
	if err != nil {
		return false, err
	}
	if s != nil {
		a.stream = s
		return s.begin(a)
	}
	open := l.in.opening[f.ID]
	switch {
	case !f.Mine || open == nil:
		return false, nil // the stream has ended
	case open.first != nil:
		return false, errManyBodies
	}
	// It has overtaken the last chunk of the OPEN, which is bulk.
	a.open, open.first = open, a
	return true, nil
}

// grant makes the memory of a large body and tells its sender. On a worker,
// unless it is quick: clearing many megabytes takes milliseconds, and the
// reader has small calls to read.
func (l *Link) grant(a *assembly) {
	now := func() {
		if !l.offers.wanted(a) {
			return
		}
		buf := make([]byte, 0, a.total)
		l.offers.mu.Lock()
		a.buf = buf
		l.offers.mu.Unlock()
		if l.offers.grant(a) {
			l.provoke(&wire.Frame{Kind: wire.Grant, Xfer: a.frame.Xfer})
		}
	}
	if a.total <= clearedByReader {
		now()
		return
	}
	l.shared.workers.run(job{do: now})
}

// onChunk takes the next bytes of a body, and acts on it when it is whole.
func (l *Link) onChunk(f *wire.Frame) (kept bool, err error) {
	l.in.chunked += uint64(len(f.Body))
	if err := l.checkTurns(); err != nil {
		return true, err
	}
	a, ok := l.in.assemblies[f.Xfer]
	if !ok {
		if f.Xfer == 0 || f.Xfer > l.in.lastXfer {
			return true, &wire.ViolationError{Kind: f.Kind, Reason: "of a body that was never begun"}
		}
		return true, nil // it was refused or aborted, and this was on its way
	}
	if !l.offers.granted(a) {
		return true, &wire.ViolationError{Kind: f.Kind, Reason: "of a body that was not granted"}
	}
	if len(f.Body) == 0 || len(f.Body) > a.total-len(a.buf) {
		return true, &wire.ViolationError{Kind: f.Kind, Reason: fmt.Sprintf("%d bytes, %d are missing", len(f.Body), a.total-len(a.buf))}
	}
	if a.buf == nil {
		a.buf = make([]byte, 0, a.total)
	}
	a.buf = append(a.buf, f.Body...)
	a.turn = l.in.chunked
	if len(a.buf) < a.total {
		return true, nil
	}
	l.forgetBody(a)
	return l.assembled(a)
}

// assembled acts on a whole body as on the frame that it belongs to.
func (l *Link) assembled(a *assembly) (kept bool, err error) {
	l.count.messagesIn.Add(1)
	f := &a.frame
	switch f.Kind {
	case wire.Request, wire.Open:
		kept, err = l.onRequest(f, a.buf, a)
		l.notBegun() // after it counts as running
		return kept, err
	case wire.Reply:
		l.release(a)
		return true, l.onReply(f, a.buf, true)
	case wire.Data:
		if a.stream == nil {
			l.release(a)
			return true, nil
		}
		return true, a.stream.whole(a)
	default: // List; the parser lets no other in
		l.release(a)
		l.onList(a.buf)
		return true, nil
	}
}

// forgetBody takes a body out that is whole or will not be.
func (l *Link) forgetBody(a *assembly) {
	delete(l.in.assemblies, a.frame.Xfer)
	if a.eager {
		l.in.eager -= a.total
	}
	l.offers.end(a)
	if a.frame.Kind == wire.Open {
		delete(l.in.opening, a.frame.ID)
	}
	if a.first != nil {
		a.first.open = nil
	}
	if a.open != nil { // it came before its OPEN: it is lost
		a.open.first = nil
	}
}

// onAbort forgets a body that will not be finished.
func (l *Link) onAbort(f *wire.Frame) error {
	a, ok := l.in.assemblies[f.Xfer]
	if !ok {
		if f.Xfer == 0 || f.Xfer > l.in.lastXfer {
			return &wire.ViolationError{Kind: f.Kind, Reason: "of a body that was never begun"}
		}
		return nil
	}
	l.forgetBody(a)
	l.release(a)
	switch a.frame.Kind {
	case wire.Request, wire.Open:
		l.notBegun()
	case wire.Data:
		if a.stream != nil {
			a.stream.unsent(a)
		}
	default: // a reply, or a list
	}
	return nil
}

// notBegun says that a call's body is no more on its way.
func (l *Link) notBegun() {
	l.serving.begun.Add(-1)
	if l.drain.ours.Load() {
		l.checkQuiet()
	}
}
