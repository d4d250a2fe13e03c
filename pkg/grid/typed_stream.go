package grid

import (
	"context"
	"fmt"
	"iter"
)

// Streaming is a handler of streams as both sides see it: a stream is opened
// with a P, the caller sends Qs and the handler Rs. Make one per handler with
// NewStreaming. Its methods may be called concurrently. What holds for the
// messages of a Single holds here.
type Streaming[P, Q, R any] struct {
	id      HandlerID
	payload codec[P]
	req     codec[Q]
	resp    codec[R]
}

// NewStreaming makes the typed form of the stream handler h. The first three
// types are given, msgp has generated code for each; the others are inferred.
// None stands where there is nothing to say:
//
//	var Tail = grid.NewStreaming[TailArgs, grid.None, Line]("log.tail")
func NewStreaming[Payload, Req, Resp any, PP msgPtr[Payload], PQ msgPtr[Req], PR msgPtr[Resp]](h HandlerID) *Streaming[Payload, Req, Resp] {
	return &Streaming[Payload, Req, Resp]{
		id: h, payload: newCodec[Payload, PP](), req: newCodec[Req, PQ](), resp: newCodec[Resp, PR](),
	}
}

// ID is the handler's name.
func (s *Streaming[P, Q, R]) ID() HandlerID { return s.id }

// Register makes serve the handler of m, like Manager.RegisterStream. The
// capacities are messages in flight, of requests and of responses; 0 where
// there are none. After a request that does not decode, which Recv reports,
// the stream cannot end cleanly any more.
func (s *Streaming[P, Q, R]) Register(
	m *Manager, serve func(ctx context.Context, payload *P, st *TypedHandlerStream[Q, R]) error, inCapacity, outCapacity int,
) error {
	if serve == nil {
		return fmt.Errorf("register %q: the handler is nil", s.id)
	}
	handle := func(ctx context.Context, hs *HandlerStream) error {
		payload, err := s.payload.decode(hs.Payload())
		if err != nil {
			return NewError(CodeInvalidArgument, fmt.Sprintf("the payload of %q %v", s.id, err))
		}
		st := &TypedHandlerStream[Q, R]{typedCore[R, Q]{core: &hs.core, out: &s.resp, in: &s.req}}
		st.malformed = func(err error) error {
			return NewError(CodeInvalidArgument, fmt.Sprintf("a request of %q %v", s.id, err))
		}
		if err := serve(ctx, payload, st); err != nil {
			return err
		}
		return st.broken
	}
	return m.RegisterStream(s.id, StreamHandler{Serve: handle, InCapacity: inCapacity, OutCapacity: outCapacity})
}

// Open opens a stream to the handler at c's peer, with all that holds for
// Connection.OpenStream.
func (s *Streaming[P, Q, R]) Open(ctx context.Context, c *Connection, payload *P) (*TypedCallerStream[Q, R], error) {
	buf := scratches.Get().(*scratch)
	defer buf.free()
	if err := s.payload.encodeTo(buf, payload); err != nil {
		return nil, &RefusedError{Peer: c.peer.name, Handler: s.id, Reason: fmt.Errorf("the payload %w", err)}
	}
	cs, err := c.OpenStream(ctx, s.id, buf.b)
	if err != nil {
		return nil, err
	}
	st := &TypedCallerStream[Q, R]{typedCore[Q, R]{core: &cs.core, out: &s.req, in: &s.resp}, cs}
	st.malformed = func(err error) error {
		err = &RemoteError{Code: CodeInternal, Message: fmt.Sprintf("a response %v", err), Peer: c.peer.name, Handler: s.id}
		cs.Cancel(err)
		return err
	}
	return st, nil
}

// TypedCallerStream is the caller's end of a stream that sends Qs and receives
// Rs. Read to the end, Cancel, or let the context given to Open end: any of
// them frees everything.
type TypedCallerStream[Q, R any] struct {
	typedCore[Q, R]

	cs *CallerStream
}

// CloseSend ends the requests: the handler receives what was sent, then io.EOF.
// It must not be called concurrently with Send.
func (s *TypedCallerStream[Q, R]) CloseSend() error { return s.cs.CloseSend() }

// Cancel ends the stream at once and cancels the handler's context. What is
// unread is dropped. err is what Recv says from then on; nil means context.Canceled.
func (s *TypedCallerStream[Q, R]) Cancel(err error) { s.cs.Cancel(err) }

// TypedHandlerStream is the handler's end of a stream that receives Qs and
// sends Rs. Its handler's return ends it.
type TypedHandlerStream[Q, R any] struct{ typedCore[R, Q] }

// typedCore is what both ends of a typed stream share: S is what they send, T
// what they receive.
type typedCore[S, T any] struct {
	core      *core
	out       *codec[S]
	in        *codec[T]
	malformed func(error) error // what to make of a message that does not decode
	broken    error             // what it made of one; Recv has it
}

// Send sends one message, waiting for the other side's credit. msg isn't kept.
// Messages arrive in order, exactly once, or the stream ends with an error. One
// that can't be encoded is not sent, and the stream goes on. It may be called
// concurrently with Recv, not with itself.
func (c *typedCore[S, T]) Send(ctx context.Context, msg *S) error {
	buf := scratches.Get().(*scratch)
	defer buf.free()
	if err := c.out.encodeTo(buf, msg); err != nil {
		return &RefusedError{Peer: c.core.p.name, Handler: c.core.h, Reason: fmt.Errorf("the message %w", err)}
	}
	return c.core.Send(ctx, buf.b)
}

// Recv gives the next message, which is the receiver's to keep: io.EOF after a
// clean end, and after that only; else the reason of the end. After a message
// that does not decode it gives nothing but that error: *RemoteError with
// CodeInternal at the caller, whose stream is cancelled, CodeInvalidArgument at
// the handler, for it to return. ctx ends the wait, not the stream. Recv may be
// called concurrently with Send, not with itself.
func (c *typedCore[S, T]) Recv(ctx context.Context) (*T, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	body, err := c.core.Recv(ctx)
	if err != nil {
		return nil, err
	}
	msg, err := c.in.decode(body)
	if err != nil {
		c.broken = c.malformed(err)
		return nil, c.broken
	}
	c.in.release(body)
	return msg, nil
}

// All gives the messages until the stream's end; a bad end is the last pair's
// error, a clean one is just the end. It waits as long as the stream lives.
func (c *typedCore[S, T]) All() iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			msg, err := c.Recv(context.Background())
			if isEOF(err) || !yield(msg, err) || err != nil {
				return
			}
		}
	}
}

// Done is closed when the stream has ended. Messages that came before may still be unread.
func (c *typedCore[S, T]) Done() <-chan struct{} { return c.core.Done() }

// Err says why the stream ended: nil while it lives and after a clean end.
func (c *typedCore[S, T]) Err() error { return c.core.Err() }
