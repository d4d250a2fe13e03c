package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
)

// Incoming is a call being served, and its handler's context. Most handlers
// never look at their context, so the parts that cost something, a channel and
// a timer, are made when they are first asked for.
type Incoming struct {
	Header []byte // encoded, nil: none was sent
	link   *Link
	h      *Handler
	id     uint64
	body   []byte
	stream *Stream       // of a stream
	large  *credit.Claim // memory of a body that asked for it, nil: none did
	small  int64         // bytes taken from the small requests' budget
	window int64         // and from the process's budget of stream windows

	deadline time.Time // zero: none

	// Protected by serving.mu.
	forgotten bool      // the handler has returned
	stolen    time.Time // when the read token was taken from the goroutine that runs it

	mu       sync.Mutex // protects what follows
	answer   *transfer  // a large answer on its way
	unwanted bool       // its caller gave up
	cause    error      // why it was cancelled, nil: it was not
	inner    context.Context
	cancel   context.CancelCauseFunc
}

// errCanceled and errDeadline are the causes of a context whose caller gave up.
var (
	errCanceled = fmt.Errorf("the caller gave up: %w", context.Canceled)
	errDeadline = fmt.Errorf("the caller gave up: %w", context.DeadlineExceeded)
)

// call is the short name used in this package.
type call = Incoming

// Link gives the link that the call came over.
func (c *Incoming) Link() *Link { return c.link }

// Handler gives the name of the handler that serves the call.
func (c *Incoming) Handler() *Handler { return c.h }

// incomingKey finds the Incoming in a context derived from it.
type incomingKey struct{}

// FromContext gives the call that a handler's context belongs to, or nil.
func FromContext(ctx context.Context) *Incoming {
	c, _ := ctx.Value(incomingKey{}).(*Incoming)
	return c
}

// Deadline gives the caller's deadline.
func (c *Incoming) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done is closed when the caller cancelled, the deadline passed, the link
// ended, or the handler returned.
func (c *Incoming) Done() <-chan struct{} { return c.context().Done() }

// Err says whether that has happened.
func (c *Incoming) Err() error {
	c.mu.Lock()
	inner, cause := c.inner, c.cause
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case cause != nil:
		return context.Canceled
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value gives the call itself to FromContext, and to package context what it
// needs to find the cause.
func (c *Incoming) Value(key any) any {
	if _, ok := key.(incomingKey); ok {
		return c
	}
	return c.context().Value(key)
}

// context makes the real context on first use.
func (c *Incoming) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		ctx, stop := context.Background(), context.CancelFunc(nil)
		if !c.deadline.IsZero() {
			ctx, stop = context.WithDeadline(ctx, c.deadline)
		}
		var cancel context.CancelCauseFunc
		c.inner, cancel = context.WithCancelCause(ctx)
		c.cancel = func(cause error) {
			cancel(cause)
			if stop != nil {
				stop()
			}
		}
		if c.cause != nil {
			c.cancel(c.cause)
		}
	}
	return c.inner
}

// end cancels the context: the first cause stays.
func (c *Incoming) end(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// overdue reports whether the handler runs on after its deadline or cancellation.
func (c *Incoming) overdue(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == errReturned {
		return false // its answer is on its way
	}
	return c.cause != nil || !c.deadline.IsZero() && now.After(c.deadline)
}

// answering says that a large answer is on its way. It reports false if the
// caller has given up: then nobody would ever grant it.
func (c *Incoming) answering(t *transfer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = t
	return !c.unwanted
}

// unwant says that the caller has given up, and gives the answer that is on its
// way, nil if none is.
func (c *Incoming) unwant() *transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwanted = true
	return c.answer
}
