package link

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// recorder keeps what a link writes.
type recorder struct {
	Transport

	mu   sync.Mutex // protects sent
	sent []byte
}

func (r *recorder) WriteBatch(b []byte) error {
	r.mu.Lock()
	r.sent = append(r.sent, b...)
	r.mu.Unlock()
	return r.Transport.WriteBatch(b)
}

// wroteAt is what a link writes in a conversation of all kinds of frames with a
// peer, when the clock of its node is off by so much, and how much time a call
// of that peer had that said a second.
func wroteAt(t *testing.T, off time.Duration) (sent []byte, had time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(off)
		ours, theirs := MemoryPair()
		rec := &recorder{Transport: ours}
		x, p := attackOver(t, testLimits(), false, rec, theirs,
			echo(),
			streaming("stream", 2, 2, func(ctx context.Context, _ *Stream) error { <-ctx.Done(); return context.Cause(ctx) }),
			single("deadline", func(ctx context.Context, _ []byte) ([]byte, error) {
				until, _ := ctx.Deadline()
				had = time.Until(until)
				return nil, context.DeadlineExceeded
			}),
			attacked()[numBlock])
		obliging(p, func() bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = x.Call(ctx, &Call{Handler: "echo", Timeout: 1500 * time.Millisecond, Body: []byte("in vain")})
		}()
		<-done // CANCEL
		s, err := x.Open(t.Context(), &Call{Handler: "stream", Body: make([]byte, 100<<10)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), []byte("a message")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = s.CloseSend()
		p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: 2, Timeout: 1000})
		p.next(wire.Error)
		p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: 2, Handler: 3}, wire.Frame{Kind: wire.Cancel, Mine: true, ID: 2})
		p.next(wire.Error)
		time.Sleep(12 * time.Second) // pings
		x.Drain()
		synctest.Wait()
		x.Terminate(CodeDrained, "over")
		x.Wait()
		rec.mu.Lock()
		sent = rec.sent
		rec.mu.Unlock()
	})
	return sent, had
}

// No frame has a time of day in it: what a link writes is the same whatever its
// clock says, and a peer's calls have the time that they say. So clocks that are
// off, or that jump between two calls, do no harm (fault row 43; the hello has
// none either, see TestHelloIsFixed of package grid).
func TestNoTimeOfDayIsOnTheWire(t *testing.T) {
	want, had := wroteAt(t, 0)
	if had != time.Second || len(want) < 100<<10 {
		t.Fatalf("%d bytes; a call of a second had %v", len(want), had)
	}
	for _, off := range []time.Duration{time.Nanosecond, time.Hour, 30 * 365 * 24 * time.Hour} {
		got, had := wroteAt(t, off)
		if had != time.Second {
			t.Errorf("off by %v: a call of a second had %v", off, had)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("off by %v: %d bytes were written that are not the %d of before", off, len(got), len(want))
		}
	}
}
