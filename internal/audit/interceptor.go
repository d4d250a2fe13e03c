package audit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// errNotRecorded is what a caller gets whose call cannot be recorded.
var errNotRecorded = grid.NewError(grid.CodeUnavailable, "the call cannot be recorded: no audit target that must have it takes records")

// notSent is that of a call which this node would have made.
func notSent(call *grid.Call) error {
	return &grid.RefusedError{Peer: call.Peer, Handler: call.Handler, Reason: errNotRecorded}
}

// errNotSafe is what a caller gets whose call has run, and whose record is not
// on disk.
var errNotSafe = grid.NewError(grid.CodeUnavailable, "the call has run, but its record could not be made safe in time")

// Interceptor records calls and streams. Placed first it sees what their users
// see.
func (a *Audit) Interceptor() grid.Interceptor {
	return grid.Interceptor{
		HandleSingle: a.handleSingle, CallSingle: a.callSingle,
		HandleStream: a.handleStream, CallStream: a.callStream,
	}
}

// wanted gives the config if calls of this kind are recorded.
func (a *Audit) wanted(call *grid.Call, direction string) *Config {
	c := a.config.Load()
	if !a.on(c) || direction == Out && !c.Caller || c.Filter.skips(string(call.Handler), call.Peer, direction) {
		return nil
	}
	return c
}

// stuck reports whether a call must not run: its record would be lost.
func (a *Audit) stuck(c *Config) bool {
	if !a.blocks.Load() {
		return false
	}
	for _, t := range c.Targets {
		if t.Block() && t.Stuck() {
			a.refused.Add(1)
			return true
		}
	}
	return false
}

// finish records the end of a call, and says whether it may be answered.
func (a *Audit) finish(c *Config, r *Record) bool {
	if !c.Filter.keeps(r) {
		return true
	}
	if w := a.push(r); !a.safe(w, c.Timeout) {
		a.refused.Add(1)
		return false
	}
	return true
}

func (a *Audit) handleSingle(next grid.SingleFunc) grid.SingleFunc {
	return func(ctx context.Context, call *grid.Call, req []byte) (reply []byte, err error) {
		c := a.wanted(call, In)
		if c == nil {
			return next(ctx, call, req)
		}
		if a.stuck(c) {
			return nil, errNotRecorded
		}
		r := Record{
			Time: time.Now(), Event: EventCall, Peer: call.Peer, Identity: call.Identity, Handler: string(call.Handler), Direction: In,
			RequestBytes: int64(len(req)), Trace: traceOf(call), Result: resultPanic,
		}
		defer func() { // when the handler panics, too
			r.Duration = time.Since(r.Time)
			if !a.finish(c, &r) {
				reply, err = nil, errNotSafe
			}
		}()
		reply, err = next(ctx, call, req)
		r.Result, r.ReplyBytes = handlerResult(err), int64(len(reply))
		return reply, err
	}
}

func (a *Audit) callSingle(next grid.SingleFunc) grid.SingleFunc {
	return func(ctx context.Context, call *grid.Call, req []byte) ([]byte, error) {
		c := a.wanted(call, Out)
		if c == nil {
			return next(ctx, call, req)
		}
		if a.stuck(c) {
			return nil, notSent(call)
		}
		r := Record{
			Time: time.Now(), Event: EventCall, Peer: call.Peer, Handler: string(call.Handler), Direction: Out,
			RequestBytes: int64(len(req)), Trace: traceOfMade(ctx, call),
		}
		reply, err := next(ctx, call, req)
		r.Duration, r.Result, r.ReplyBytes = time.Since(r.Time), callerResult(err), int64(len(reply))
		if !a.finish(c, &r) && err == nil {
			return nil, errNotSafe
		}
		return reply, err
	}
}

// traffic counts the messages of a stream.
type traffic struct{ sent, sentBytes, received, receivedBytes atomic.Int64 }

func (t *traffic) observer() grid.StreamObserver {
	return grid.StreamObserver{
		Sent: func(size int) {
			t.sent.Add(1)
			t.sentBytes.Add(int64(size))
		},
		Received: func(size int) {
			t.received.Add(1)
			t.receivedBytes.Add(int64(size))
		},
	}
}

func (t *traffic) into(r *Record) {
	r.Sent, r.SentBytes, r.Received, r.ReceivedBytes = t.sent.Load(), t.sentBytes.Load(), t.received.Load(), t.receivedBytes.Load()
}

func (a *Audit) handleStream(next grid.ServeFunc) grid.ServeFunc {
	return func(ctx context.Context, call *grid.Call, s *grid.HandlerStream) (err error) {
		c := a.wanted(call, In)
		if c == nil {
			return next(ctx, call, s)
		}
		if a.stuck(c) {
			return errNotRecorded
		}
		r := Record{
			Time: time.Now(), Event: EventStream, Peer: call.Peer, Identity: call.Identity, Handler: string(call.Handler), Direction: In,
			RequestBytes: int64(len(s.Payload())), Trace: traceOf(call), Result: resultPanic,
		}
		var t traffic
		s.Observe(t.observer())
		defer func() {
			t.into(&r)
			r.Duration = time.Since(r.Time)
			if !a.finish(c, &r) {
				err = errNotSafe
			}
		}()
		err = next(ctx, call, s)
		ended := err
		if ended == nil {
			ended = ctx.Err() // cut or cancelled: no clean end, whatever the handler says
		}
		r.Result = handlerResult(ended)
		return err
	}
}

func (a *Audit) callStream(next grid.OpenFunc) grid.OpenFunc {
	return func(ctx context.Context, call *grid.Call, payload []byte) (*grid.CallerStream, error) {
		c := a.wanted(call, Out)
		if c == nil {
			return next(ctx, call, payload)
		}
		if a.stuck(c) {
			return nil, notSent(call)
		}
		r := &Record{
			Time: time.Now(), Event: EventStream, Peer: call.Peer, Handler: string(call.Handler), Direction: Out,
			RequestBytes: int64(len(payload)), Trace: traceOfMade(ctx, call),
		}
		s, err := next(ctx, call, payload)
		if err != nil {
			r.Duration, r.Result = time.Since(r.Time), callerResult(err)
			a.finish(c, r)
			return nil, err
		}
		t := &traffic{}
		o := t.observer()
		o.Ended = func(err error) {
			t.into(r)
			r.Duration, r.Result = time.Since(r.Time), callerResult(err)
			a.finish(c, r) // it was answered long ago: there is nobody to tell
		}
		s.Observe(o)
		return s, nil
	}
}

const traceHeader = "traceparent"

// traceOf gives the trace id of a call that is served. The context is not asked:
// that of a handler is made when it is used first, and costs ten allocations.
func traceOf(call *grid.Call) string { return traceIn(call.Header[traceHeader]) }

// traceOfMade gives the trace id of a call that this node makes: a later
// interceptor may put it into the header.
func traceOfMade(ctx context.Context, call *grid.Call) string {
	if parent := call.Header[traceHeader]; parent != "" {
		return traceIn(parent)
	}
	parent, _ := grid.TraceFrom(ctx)
	return traceIn(parent)
}

func traceIn(parent string) string {
	const start, end = len("00-"), len("00-") + 32
	if len(parent) <= end || parent[start-1] != '-' || parent[end] != '-' {
		return ""
	}
	for _, c := range []byte(parent[start:end]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "" // a stranger has written it
		}
	}
	return parent[start:end]
}
