package grid

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// core is what both ends of a stream share.
type core struct {
	s *link.Stream
	h HandlerID
	p *peer
}

// Send sends one message, waiting for the other side's credit. It returns when
// the message is on its way; msg isn't kept. Messages arrive in order, exactly
// once, or the stream ends with an error. ctx ends the wait: then nothing of the
// message arrives, and the stream goes on. After the stream's end Send fails
// with its reason or ErrStreamClosed. It may be called concurrently with Recv,
// not with itself.
func (c *core) Send(ctx context.Context, msg []byte) error {
	return c.p.publicError(c.h, c.s.Send(ctx, msg))
}

// Recv gives the next message, which is the caller's to keep: io.EOF after a
// clean end, and after that only; else the reason of the end. ctx ends the
// wait, not the stream. It may be called concurrently with Send, not with itself.
func (c *core) Recv(ctx context.Context) ([]byte, error) {
	msg, err := c.s.Recv(ctx)
	if err != nil {
		return nil, c.p.publicError(c.h, err)
	}
	return msg, nil
}

// All gives the messages until the stream's end; a bad end is the last pair's
// error, a clean one is just the end. It waits as long as the stream lives.
func (c *core) All() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			msg, err := c.Recv(context.Background())
			if isEOF(err) || !yield(msg, err) || err != nil {
				return
			}
		}
	}
}

// Done is closed when the stream has ended. Messages that came before may still be unread.
func (c *core) Done() <-chan struct{} { return c.s.Done() }

// Err says why the stream ended: nil while it lives and after a clean end.
func (c *core) Err() error { return c.p.publicError(c.h, c.s.Err()) }

// Observe has o told of the stream. An interceptor calls it before anybody uses the stream.
func (c *core) Observe(o StreamObserver) {
	c.s.Observe(link.Observer{Sent: o.Sent, Received: o.Received, Ended: c.publicly(o.Ended)})
}

func (c *core) publicly(ended func(error)) func(error) {
	if ended == nil {
		return nil
	}
	return func(err error) {
		if errors.Is(err, link.ErrStreamClosed) {
			err = nil
		}
		ended(c.p.publicError(c.h, err))
	}
}

func isEOF(err error) bool { return err == io.EOF }

// CallerStream is the caller's end of a stream. It makes no goroutine and no
// channel for its user to leak. Read to the end, Cancel, or let the context
// given to OpenStream end: any of them frees everything.
type CallerStream struct{ core }

// CloseSend ends the requests: the handler reads what was sent, then io.EOF.
// It must not be called concurrently with Send.
func (s *CallerStream) CloseSend() error { return s.p.publicError(s.h, s.s.CloseSend()) }

// Cancel ends the stream at once and cancels the handler's context. What is
// unread is dropped. err is what Recv says from then on; nil means context.Canceled.
func (s *CallerStream) Cancel(err error) {
	if err == nil {
		err = context.Canceled
	}
	s.s.Cancel(err)
}

// HandlerStream is the handler's end of a stream. Its handler's return ends it.
type HandlerStream struct{ core }

// Payload gives what the caller opened the stream with. It is the handler's to keep.
func (s *HandlerStream) Payload() []byte { return s.s.Payload() }

// OpenStream opens a stream to a handler at the peer. payload isn't kept. ctx
// lives as long as the stream: its end cancels the stream and the handler's
// context; its deadline is the handler's too; without one there is none. A
// refusal that comes from the peer comes out of Send and Recv.
func (c *Connection) OpenStream(ctx context.Context, h HandlerID, payload []byte) (*CallerStream, error) {
	if open := c.peer.m.callStream; open != nil {
		return open(ctx, c.calling(h, nil), payload)
	}
	return c.open(ctx, h, c.o.Header, payload)
}

// open opens the stream behind all interceptors.
func (c *Connection) open(ctx context.Context, h HandlerID, header Header, payload []byte) (*CallerStream, error) {
	call := link.Call{Handler: string(h), Body: payload}
	if err := c.prepare(ctx, h, header, &call); err != nil {
		return nil, err
	}
	if call.Expire { // streams have no default time-out
		call.Timeout, call.Expire = 0, false
	}
	var s *link.Stream
	err := c.onLink(ctx, h, &call, c.o.WaitForLink, func(l *link.Link) (err error) {
		s, err = l.Open(ctx, &call)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &CallerStream{core{s: s, h: h, p: c.peer}}, nil
}
