package grid

import (
	"context"
	"maps"
	"slices"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Call is what interceptors see of a call, on either side.
type Call struct {
	Peer     string // the other side
	Identity string // what its certificate says, on the handler's side
	Handler  HandlerID
	Header   Header // on the caller's side: add to it before calling next

	conn *Connection // the caller's side
	dst  []byte      // the reply is appended to it
}

// SingleFunc makes or serves a single request.
type SingleFunc func(ctx context.Context, c *Call, req []byte) ([]byte, error)

// OpenFunc opens a stream.
type OpenFunc func(ctx context.Context, c *Call, payload []byte) (*CallerStream, error)

// ServeFunc serves a stream.
type ServeFunc func(ctx context.Context, c *Call, s *HandlerStream) error

// Interceptor wraps calls, on the caller's side and on the handler's: tracing,
// audit and metrics are built on it. Each function gets the next one and
// returns its own; nil fields cost nothing. They run concurrently. What they
// see of requests and replies is lent until they return: copy what you keep.
type Interceptor struct {
	CallSingle   func(next SingleFunc) SingleFunc
	HandleSingle func(next SingleFunc) SingleFunc
	CallStream   func(next OpenFunc) OpenFunc
	HandleStream func(next ServeFunc) ServeFunc
}

// StreamObserver is told what happens on one stream. Nil functions cost
// nothing. Sent and Received are called by whoever sends and receives, Ended
// once, on a goroutine of its own, with nil for a clean end.
type StreamObserver struct {
	Sent, Received func(size int)
	Ended          func(err error)
}

// callers composes the interceptors' callers' side. A nil result means that
// there is none, and calls go straight to the link.
func composeCallers(all []Interceptor) (SingleFunc, OpenFunc) {
	var single SingleFunc
	var open OpenFunc
	for _, i := range slices.Backward(all) {
		if wrap := i.CallSingle; wrap != nil {
			if single == nil {
				single = callSingle
			}
			single = wrap(single)
		}
		if wrap := i.CallStream; wrap != nil {
			if open == nil {
				open = callStream
			}
			open = wrap(open)
		}
	}
	return single, open
}

// callSingle is the innermost caller: it leaves for the link.
func callSingle(ctx context.Context, c *Call, req []byte) ([]byte, error) {
	return c.conn.request(ctx, c.Handler, c.Header, req, c.dst)
}

// callStream is the innermost opener.
func callStream(ctx context.Context, c *Call, payload []byte) (*CallerStream, error) {
	return c.conn.open(ctx, c.Handler, c.Header, payload)
}

// calling makes the Call of the caller's side.
func (c *Connection) calling(h HandlerID, dst []byte) *Call {
	header := make(Header, len(c.o.Header)+1)
	maps.Copy(header, c.o.Header)
	return &Call{Peer: c.peer.name, Handler: h, Header: header, conn: c, dst: dst}
}

// handledCall makes the Call of the handler's side.
func handledCall(in *link.Incoming) *Call {
	l := in.Link()
	return &Call{Peer: l.Remote(), Identity: l.Identity(), Handler: HandlerID(in.Handler().Name), Header: decodeHeader(in.Header)}
}
