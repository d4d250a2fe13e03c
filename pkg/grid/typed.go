package grid

import (
	"context"
	"fmt"
)

// Single is a handler of single requests whose requests are Q and whose
// replies are R, as both sides see it. Make one per handler with NewSingle, as
// a package variable that callers and handlers share. Its methods may be
// called concurrently.
//
// A message that does not decode is an error of its call alone. Nothing of it
// is allocated before its whole structure was checked: it may be nested 64
// levels deep, and must hold as many elements as it claims. What an element
// takes in memory is up to its type; msgp's limit directive bounds that.
type Single[Q, R any] struct {
	id    HandlerID
	req   codec[Q]
	reply codec[R]
}

// NewSingle makes the typed form of the handler h. Q and R are types for which
// msgp has generated code; the two other parameters are inferred:
//
//	var Acquire = grid.NewSingle[LockArgs, LockReply]("lock.acquire")
//
// UnmarshalMsg written by hand must not keep any part of its argument.
func NewSingle[Q, R any, PQ msgPtr[Q], PR msgPtr[R]](h HandlerID) *Single[Q, R] {
	return &Single[Q, R]{id: h, req: newCodec[Q, PQ](), reply: newCodec[R, PR]()}
}

// ID is the handler's name.
func (s *Single[Q, R]) ID() HandlerID { return s.id }

// Register makes fn the handler of m, like Manager.RegisterSingle. The request
// is fn's to keep; the reply is encoded when fn returns, and not kept. A nil
// reply without an error fails the call with CodeInternal.
func (s *Single[Q, R]) Register(m *Manager, fn func(context.Context, *Q) (*R, error)) error {
	if fn == nil {
		return fmt.Errorf("register %q: the handler is nil", s.id)
	}
	return m.RegisterSingle(s.id, func(ctx context.Context, body []byte) ([]byte, error) {
		req, err := s.req.decode(body)
		if err != nil {
			return nil, NewError(CodeInvalidArgument, fmt.Sprintf("the request of %q %v", s.id, err))
		}
		s.req.release(body)
		reply, err := fn(ctx, req)
		if err != nil {
			return nil, err
		}
		if reply == nil {
			return nil, NewError(CodeInternal, fmt.Sprintf("the handler of %q returned no reply and no error", s.id))
		}
		out, err := s.reply.encode(reply, nil)
		if err != nil {
			return nil, NewError(CodeInternal, fmt.Sprintf("the reply of %q %v", s.id, err))
		}
		return out, nil
	})
}

// Call calls the handler at c's peer, with all that holds for
// Connection.Request. req isn't kept, the reply is the caller's. A req that
// can't be encoded is a *RefusedError: nothing was sent. A reply that does not
// decode is a *RemoteError with CodeInternal: the handler has run.
func (s *Single[Q, R]) Call(ctx context.Context, c *Connection, req *Q) (*R, error) {
	buf := scratches.Get().(*scratch)
	defer buf.free()
	if err := s.req.encodeTo(buf, req); err != nil {
		return nil, &RefusedError{Peer: c.peer.name, Handler: s.id, Reason: fmt.Errorf("the request %w", err)}
	}
	body, err := c.Request(ctx, s.id, buf.b)
	if err != nil {
		return nil, err
	}
	return s.decodeReply(c.peer.name, body)
}

// decodeReply makes a reply of what peer answered, and gives its memory back.
func (s *Single[Q, R]) decodeReply(peer string, body []byte) (*R, error) {
	reply, err := s.reply.decode(body)
	if err != nil {
		return nil, &RemoteError{Code: CodeInternal, Message: fmt.Sprintf("the reply %v", err), Peer: peer, Handler: s.id}
	}
	s.reply.release(body)
	return reply, nil
}
