package grid

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// HandlerID names a handler, like "lock.acquire", in 1 to 128 bytes that do not
// begin with "gridmesh.". It is never versioned: an incompatible change is a
// new ID. Singles and streams share one name space.
type HandlerID string

// SingleHandler answers a single request. req is its own to keep. ctx ends
// with the caller's deadline, cancellation, or link; its cause says which.
// A panic fails that call only. Calls run concurrently.
type SingleHandler func(ctx context.Context, req []byte) ([]byte, error)

// StreamHandler serves a stream. Exactly one of Handle and Serve is set.
//
// Its return ends the stream: nil cleanly, an error as that error. ctx ends
// with the caller's deadline, cancellation, or link; its cause says which.
type StreamHandler struct {
	// Handle is the form with channels. in is closed when the caller ended its
	// side; when it was closed by a cut or a cancellation, ctx is done before.
	// A slice sent on out belongs to the library from then on. After the
	// caller has gone, sends on out are swallowed. Handle must not close out.
	Handle func(ctx context.Context, payload []byte, in <-chan []byte, out chan<- []byte) error
	// Serve is the core form: no channel, no goroutine but its own.
	Serve func(ctx context.Context, s *HandlerStream) error
	// InCapacity is how many requests may be in flight; 0: the caller sends none.
	InCapacity int
	// OutCapacity is how many responses may be in flight; 0: the handler sends none.
	OutCapacity int
}

// reservedHandlers begins the IDs of handlers that the grid itself serves.
const reservedHandlers = "gridmesh."

// RegisterSingle registers fn under h. It may be called at any time; linked
// peers learn of it at once. It fails for a bad ID, nil, or an ID in use.
func (m *Manager) RegisterSingle(h HandlerID, fn SingleHandler) error {
	if fn == nil {
		return fmt.Errorf("register %q: the handler is nil", h)
	}
	call := SingleFunc(func(ctx context.Context, _ *Call, req []byte) ([]byte, error) { return fn(ctx, req) })
	wrapped := false
	for _, i := range slices.Backward(m.interceptors) {
		if wrap := i.HandleSingle; wrap != nil {
			call, wrapped = wrap(call), true
		}
	}
	single := func(ctx context.Context, _ *link.Incoming, req []byte) ([]byte, error) { return fn(ctx, req) }
	if wrapped {
		single = func(ctx context.Context, in *link.Incoming, req []byte) ([]byte, error) {
			return call(ctx, handledCall(in), req)
		}
	}
	return m.register(h, &link.Handler{Name: string(h), Single: single})
}

// RegisterStream registers s under h. It may be called at any time; linked
// peers learn of it at once. It fails for a bad ID, an ID in use, capacities
// out of range, or when not exactly one of Handle and Serve is set.
func (m *Manager) RegisterStream(h HandlerID, s StreamHandler) error {
	switch {
	case (s.Handle == nil) == (s.Serve == nil):
		return fmt.Errorf("register %q: set exactly one of Handle and Serve", h)
	case s.InCapacity < 0 || s.InCapacity > math.MaxInt32:
		return fmt.Errorf("register %q: InCapacity is %d, allowed are 0 to %d", h, s.InCapacity, math.MaxInt32)
	case s.OutCapacity < 0 || s.OutCapacity > math.MaxInt32:
		return fmt.Errorf("register %q: OutCapacity is %d, allowed are 0 to %d", h, s.OutCapacity, math.MaxInt32)
	}
	fn := s.Serve
	if fn == nil {
		fn = s.serveChannels
	}
	serve := ServeFunc(func(ctx context.Context, _ *Call, hs *HandlerStream) error { return fn(ctx, hs) })
	for _, i := range slices.Backward(m.interceptors) {
		if wrap := i.HandleStream; wrap != nil {
			serve = wrap(serve)
		}
	}
	return m.register(h, &link.Handler{
		Name: string(h), In: s.InCapacity, Out: s.OutCapacity,
		Stream: func(ctx context.Context, in *link.Incoming, ls *link.Stream) error {
			hs := &HandlerStream{core{s: ls, h: h, p: peerOf(in)}}
			err := serve(ctx, handledCall(in), hs)
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx) // a cut is never a clean end, whatever the handler says
			}
			return err
		},
	})
}

func (m *Manager) register(h HandlerID, lh *link.Handler) error {
	if len(h) == 0 || len(h) > wire.MaxHandlerName {
		return fmt.Errorf("register %q: the ID has %d bytes, allowed are 1 to %d", h, len(h), wire.MaxHandlerName)
	}
	if strings.HasPrefix(string(h), reservedHandlers) {
		return fmt.Errorf("register %q: IDs that begin with %q are the grid's own", h, reservedHandlers)
	}
	if err := m.shared.Registry.Add(lh); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	m.announce()
	return nil
}
