package grid

import "context"

// Header keys of the W3C trace context.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

type traceKey struct{}

type trace struct{ parent, state string }

// WithTrace gives a context whose calls carry the W3C trace context, where
// PropagateTrace is among the interceptors.
func WithTrace(ctx context.Context, traceparent, tracestate string) context.Context {
	return context.WithValue(ctx, traceKey{}, trace{traceparent, tracestate})
}

// TraceFrom gives the W3C trace context of ctx: what WithTrace set, or in a
// handler behind PropagateTrace what the caller sent. Empty: there is none.
func TraceFrom(ctx context.Context) (traceparent, tracestate string) {
	t, _ := ctx.Value(traceKey{}).(trace)
	return t.parent, t.state
}

// PropagateTrace carries the W3C trace context of a caller's context into the
// handler's. It makes no spans: an interceptor of a tracing library, placed
// after it on the handler's side and before it on the caller's, does.
func PropagateTrace() Interceptor {
	send := func(ctx context.Context, c *Call) {
		if parent, state := TraceFrom(ctx); parent != "" {
			c.Header[traceParent] = parent
			if state != "" {
				c.Header[traceState] = state
			}
		}
	}
	receive := func(ctx context.Context, c *Call) context.Context {
		if parent := c.Header[traceParent]; parent != "" {
			return WithTrace(ctx, parent, c.Header[traceState])
		}
		return ctx
	}
	return Interceptor{
		CallSingle: func(next SingleFunc) SingleFunc {
			return func(ctx context.Context, c *Call, req []byte) ([]byte, error) {
				send(ctx, c)
				return next(ctx, c, req)
			}
		},
		CallStream: func(next OpenFunc) OpenFunc {
			return func(ctx context.Context, c *Call, payload []byte) (*CallerStream, error) {
				send(ctx, c)
				return next(ctx, c, payload)
			}
		},
		HandleSingle: func(next SingleFunc) SingleFunc {
			return func(ctx context.Context, c *Call, req []byte) ([]byte, error) {
				return next(receive(ctx, c), c, req)
			}
		},
		HandleStream: func(next ServeFunc) ServeFunc {
			return func(ctx context.Context, c *Call, s *HandlerStream) error {
				return next(receive(ctx, c), c, s)
			}
		},
	}
}
