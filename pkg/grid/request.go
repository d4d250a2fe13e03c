package grid

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Request calls a single handler at the peer and waits for its reply, which is
// the caller's to keep. req isn't kept.
//
// ctx's deadline travels as remaining time and is the handler's too; without
// one Options.DefaultTimeout holds. Cancelling ctx returns at once and cancels
// the handler's context. Without a link the call fails at once with
// ErrNotLinked, unless CallOptions say otherwise. A handler's own error arrives
// as *RemoteError; OutcomeOf tells of any error whether the call may have run.
func (c *Connection) Request(ctx context.Context, h HandlerID, req []byte) ([]byte, error) {
	return c.AppendRequest(ctx, h, req, nil)
}

// AppendRequest is Request with the reply appended to dst, so that a caller
// who reuses its buffer allocates nothing. After an error it returns dst
// itself. The library writes to dst's array only before it returns.
func (c *Connection) AppendRequest(ctx context.Context, h HandlerID, req, dst []byte) ([]byte, error) {
	if single := c.peer.m.callSingle; single != nil {
		return single(ctx, c.calling(h, dst), req)
	}
	return c.request(ctx, h, c.o.Header, req, dst)
}

// request makes the call behind all interceptors.
func (c *Connection) request(ctx context.Context, h HandlerID, header Header, req, dst []byte) ([]byte, error) {
	call := link.Call{Handler: string(h), Body: req, Dst: dst}
	if err := c.prepare(ctx, h, header, &call); err != nil {
		return dst, err
	}
	if c.o.WaitForLink || c.o.RetryNotSent {
		return c.persist(ctx, h, &call)
	}
	l, err := c.peer.link()
	if err != nil {
		return dst, &RefusedError{Peer: c.peer.name, Handler: h, Reason: err}
	}
	reply, err := l.Call(ctx, &call)
	if err != nil {
		return dst, c.peer.publicError(h, err)
	}
	return reply, nil
}

// prepare fills in a call's header and time.
func (c *Connection) prepare(ctx context.Context, h HandlerID, header Header, call *link.Call) (err error) {
	if len(header) > 0 {
		if call.Header, err = header.encode(); err != nil {
			return &RefusedError{Peer: c.peer.name, Handler: h, Reason: err}
		}
	}
	if err := ctx.Err(); err != nil {
		return &contextError{cause: err}
	}
	if until, ok := ctx.Deadline(); ok {
		if call.Timeout = time.Until(until); call.Timeout <= 0 {
			return &contextError{cause: context.DeadlineExceeded}
		}
	} else if d := c.peer.m.defaultTimeout; d > 0 {
		call.Timeout, call.Expire = d, true
	}
	return nil
}

// Waits between two tries of a call that is retried, full jitter.
const (
	retryBase = 10 * time.Millisecond
	retryMax  = time.Second
)

// persist makes the call for who asked to wait for a link or to retry what is
// known not to have run. All of it stays within the call's time.
func (c *Connection) persist(ctx context.Context, h HandlerID, call *link.Call) ([]byte, error) {
	if call.Expire {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Timeout)
		defer cancel()
		call.Expire = false
	}
	for wait := retryBase; ; wait = min(2*wait, retryMax) {
		reply, err := c.try(ctx, h, call)
		if err == nil || !c.o.RetryNotSent || !retryable(err) || ctx.Err() != nil {
			return reply, err
		}
		pause := time.NewTimer(rand.N(wait))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return call.Dst, &contextError{cause: ctx.Err()}
		}
	}
}

// try is one try of persist.
func (c *Connection) try(ctx context.Context, h HandlerID, call *link.Call) (reply []byte, err error) {
	reply = call.Dst
	err = c.onLink(ctx, h, call, true, func(l *link.Link) (err error) {
		reply, err = l.Call(ctx, call)
		return err
	})
	return reply, err
}

// onLink does what takes a link; with wait it waits for one. A link that has
// ended and that nobody has taken away yet is none either: else it would fail
// those who wait for a link again and again.
func (c *Connection) onLink(ctx context.Context, h HandlerID, call *link.Call, wait bool, do func(*link.Link) error) error {
	for {
		l, err := c.peer.link()
		if wait && errors.Is(err, ErrNotLinked) {
			l, err = c.peer.waitLink(ctx)
		}
		if err != nil {
			if ctx.Err() != nil {
				return &contextError{cause: ctx.Err()}
			}
			return &RefusedError{Peer: c.peer.name, Handler: h, Reason: err}
		}
		if until, ok := ctx.Deadline(); ok {
			if call.Timeout = time.Until(until); call.Timeout <= 0 {
				return &contextError{cause: context.DeadlineExceeded}
			}
		}
		err = do(l)
		if failure, ok := err.(*link.Failure); ok && failure.Ended && wait {
			c.peer.forsake(l)
			continue
		}
		return c.peer.publicError(h, err)
	}
}

// retryable reports whether a call has not run and might another time.
func retryable(err error) bool {
	if OutcomeOf(err) != NotSent {
		return false
	}
	for _, never := range []error{
		ErrPeerRemoved, ErrMessageTooLarge, ErrHeaderTooLarge, ErrUnknownHandler, ErrClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, never) {
			return false
		}
	}
	return true
}
