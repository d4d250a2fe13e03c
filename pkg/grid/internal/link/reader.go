package link

import (
	"time"
	"unicode/utf8"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// inbound is the reader's state. It belongs to whoever holds the read token.
type inbound struct {
	batch *batch // nil: none
	rest  []byte // of batch, frames not yet taken

	lastID     uint64 // newest call of the other side
	lastXfer   uint64
	assemblies map[uint64]*assembly
	opening    map[uint64]*assembly // of these, OPENs, by their call
	eager      int                  // bytes of eager assemblies begun and not finished
	chunked    uint64               // bytes of chunks read
	acked      uint64               // of these, acknowledged
	turns      uint64               // of these, read when checkTurns last looked
	pinged     bool                 // a PONG is due for ping
	ping       uint64
}

// read is the reader: it takes frames from batches for as long as it holds
// the read token, and ends when the link does or when the token is taken.
func (l *Link) read() {
	var f wire.Frame
	for {
		if len(l.in.rest) == 0 {
			l.endBatch()
			if err := l.nextBatch(); err != nil {
				if broken, ok := err.(*wire.ViolationError); ok {
					l.violated(broken)
				} else {
					l.end(&CutError{Code: CodeLost, Message: "read: " + err.Error()})
				}
				l.endReading()
				return
			}
			if l.cause.Load() != nil { // nothing that comes after the end matters
				l.in.rest = nil
				continue
			}
			if err := l.unseal(); err != nil {
				l.violated(err)
				continue
			}
		}
		l.corked.Store(true)
		n, err := wire.Parse(l.in.rest, &f)
		kept := true
		if err == nil {
			l.in.rest = l.in.rest[n:]
			kept, err = l.take(&f)
		}
		if !kept {
			return
		}
		if err != nil {
			l.violated(err)
		}
	}
}

// violated ends the link because the other side broke the protocol. The reader
// goes on until the goodbye that says so is out.
func (l *Link) violated(err error) {
	l.breach(err)
	l.in.rest = nil
}

// breach is violated for who is not the reader.
func (l *Link) breach(err error) {
	if l.cause.Load() == nil {
		l.shared.Logger.Warn("link ends: the peer broke the protocol", "peer", l.cfg.Remote, "error", err)
	}
	l.end(&CutError{Code: CodeViolation, Message: err.Error()})
}

// nextBatch waits for the next batch.
func (l *Link) nextBatch() error {
	b, err := l.cfg.Transport.ReadBatch()
	if err != nil {
		return err
	}
	l.in.batch, l.in.rest = b, b.b
	in, _ := l.cfg.Transport.Wire()
	l.keepalive.wire.Store(in)
	l.keepalive.heard.Store(int64(time.Since(l.count.since)))
	l.count.batchesIn.Add(1)
	return nil
}

// unseal checks and cuts off the checksum of a batch that was just read, and
// refuses a batch without a frame: it would cost its sender nothing.
func (l *Link) unseal() (err error) {
	if l.cfg.Checksum {
		l.in.rest, err = wire.Unseal(l.in.rest)
	}
	if err == nil && len(l.in.rest) == 0 {
		err = &wire.ViolationError{Reason: "empty batch"}
	}
	return err
}

// endBatch sends what the batch provoked and gives its array back.
func (l *Link) endBatch() {
	if l.in.batch == nil {
		return
	}
	putBatch(l.in.batch)
	l.in.batch, l.in.rest = nil, nil
	if l.in.chunked != l.in.acked {
		l.in.acked = l.in.chunked
		l.count.chunked.Store(l.in.chunked)
		l.provoke(&wire.Frame{Kind: wire.Ack, Total: l.in.acked})
	}
	if l.in.pinged {
		l.in.pinged = false
		l.provoke(&wire.Frame{Kind: wire.Pong, Total: l.in.ping})
	}
	l.uncork()
}

// endReading is the end of the reader's role.
func (l *Link) endReading() {
	if l.in.batch != nil {
		putBatch(l.in.batch)
		l.in.batch = nil
	}
	for _, a := range l.in.assemblies {
		l.offers.end(a)
		l.release(a)
	}
	l.in.assemblies = nil
	l.serving.begun.Store(0)
	l.wg.Done()
}

// take acts on one frame. It reports whether the caller still holds the read
// token. An error is a violation and ends the link.
func (l *Link) take(f *wire.Frame) (kept bool, err error) {
	switch f.Kind {
	case wire.Request, wire.Open:
		l.count.messagesIn.Add(1)
		if err := l.checkCall(f); err != nil {
			return true, err
		}
		return l.onRequest(f, f.Body, nil)
	case wire.Reply:
		l.count.messagesIn.Add(1)
		return true, l.onReply(f, f.Body, false)
	case wire.Error, wire.Refused:
		l.count.messagesIn.Add(1)
		return true, l.onFailure(f)
	case wire.Data:
		l.count.messagesIn.Add(1)
		return true, l.onData(f)
	case wire.End:
		return true, l.onEnd(f)
	case wire.Credit:
		return true, l.onCredit(f)
	case wire.Begin:
		return true, l.onBegin(f)
	case wire.Chunk:
		return l.onChunk(f)
	case wire.List:
		l.onList(append([]byte(nil), f.Body...))
	case wire.Cancel:
		return true, l.onCancel(f)
	case wire.Grant:
		return true, l.onGrant(f)
	case wire.Abort:
		return true, l.onAbort(f)
	case wire.Ack:
		return true, l.onAck(f)
	case wire.Ping:
		l.in.pinged, l.in.ping = true, f.Total
	case wire.Pong:
		return true, l.onPong(f)
	case wire.Drain:
		l.onDrain()
	case wire.Announce:
		return true, l.onAnnounce(f.Body)
	case wire.Goodbye:
		code, message := l.said(f)
		l.end(&CutError{Code: code, Message: message, Remote: true})
	default: // an unknown hint of a later version
		l.count.unknown.Add(1)
	}
	return true, nil
}

// checkCall holds the rules of a new call: made by the other side, its ids
// rising, its header within the limit.
func (l *Link) checkCall(f *wire.Frame) error {
	switch {
	case !f.Mine:
		return &wire.ViolationError{Kind: f.Kind, Reason: "made in the name of this side"}
	case f.ID <= l.in.lastID:
		return &wire.ViolationError{Kind: f.Kind, Reason: "id is not above all earlier ones"}
	case len(f.Header) > l.limits.MaxHeader:
		return &wire.ViolationError{Kind: f.Kind, Reason: "header is larger than the limit"}
	}
	l.in.lastID = f.ID
	return nil
}

// onReply hands an answer to its waiter.
func (l *Link) onReply(f *wire.Frame, body []byte, owned bool) error {
	if f.Mine {
		return errOwnCall(f.Kind)
	}
	w, ok, err := l.answered(f)
	if !ok {
		l.out.mu.Lock()
		_, stream := l.out.streams.Get(f.ID)
		l.out.mu.Unlock()
		if stream {
			return &wire.ViolationError{Kind: f.Kind, Reason: "answers a stream"}
		}
		return err
	}
	switch {
	case w.dst != nil:
		body = append(w.dst, body...)
	case !owned:
		body = keep(body)
	}
	w.finish(body, nil)
	if l.drain.ours.Load() {
		l.checkQuiet()
	}
	return nil
}

// errOwnCall is the violation of a peer that answers its own call.
func errOwnCall(k wire.Kind) error {
	return &wire.ViolationError{Kind: k, Reason: "answers its own call"}
}

// said gives the code and the text of a frame, as much as a correct peer sends:
// they go into errors, logs and pages.
func (l *Link) said(f *wire.Frame) (code, message string) {
	return clip(f.Code, wire.MaxHandlerName), clip(f.Message, l.limits.MaxErrorText)
}

// clip gives the first bytes of a text, without half a character at the end.
func clip(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return string(text[:most])
}

// onFailure ends a call or a stream of ours badly.
func (l *Link) onFailure(f *wire.Frame) error {
	if f.Mine {
		return errOwnCall(f.Kind)
	}
	var err error
	code, message := l.said(f)
	if f.Kind == wire.Refused {
		err = &Failure{Code: code, Text: message}
	} else {
		err = &Remote{Code: code, Message: message}
	}
	if s := l.takeStream(f.ID); s != nil {
		s.fail(err)
		return nil
	}
	w, ok, violation := l.answered(f)
	if !ok {
		return violation
	}
	w.finish(nil, err)
	if l.drain.ours.Load() {
		l.checkQuiet()
	}
	return nil
}
