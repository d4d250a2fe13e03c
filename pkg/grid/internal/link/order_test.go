package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Eager bodies of many callers never exceed the window as the receiver counts
// it: room comes back when the last chunk is written, not when it is pending.
func TestEagerBodiesStayWithinTheWindow(t *testing.T) {
	x, _ := wsPair(t, testLimits(), nil, []*Handler{single("take", func(context.Context, []byte) ([]byte, error) { return nil, nil })})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 60 {
				if _, err := x.Call(t.Context(), &Call{Handler: "take", Body: make([]byte, 256<<10)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What follows a large payload on a stream never overtakes it.
func TestMessagesStayBehindALargePayload(t *testing.T) {
	const payload = 100 << 10
	h := streaming("count", 4, 1, func(ctx context.Context, s *Stream) error {
		n := 0
		for {
			_, err := s.Recv(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			n++
		}
		return s.Send(ctx, fmt.Appendf(nil, "%d after %d", n, len(s.Payload())))
	})
	x, _ := wsPair(t, testLimits(), nil, []*Handler{h})
	for range 50 {
		s, err := x.Open(t.Context(), &Call{Handler: "count", Body: make([]byte, payload)})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Send(t.Context(), []byte("1")), s.Send(t.Context(), []byte("2")), s.CloseSend()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		got, err := s.Recv(ctx)
		cancel()
		if want := fmt.Sprintf("2 after %d", payload); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
}

// A cancellation never overtakes the body of the call that it cancels: the
// handler would run on for a caller who has gone.
func TestCancelStaysBehindALargeBody(t *testing.T) {
	var running atomic.Int64
	wait := func(ctx context.Context) {
		running.Add(1)
		<-ctx.Done()
		running.Add(-1)
	}
	x, y := wsPair(t, testLimits(), nil, []*Handler{
		single("wait", func(ctx context.Context, _ []byte) ([]byte, error) { wait(ctx); return nil, ctx.Err() }),
		streaming("wait stream", 1, 1, func(ctx context.Context, _ *Stream) error { wait(ctx); return ctx.Err() }),
	})
	for range 50 {
		w := x.shared.newWaiter()
		if err := x.begin(nil, &Call{Handler: "wait", Body: make([]byte, 100<<10)}, w); err != nil {
			t.Fatal(err)
		}
		if sent, ok := x.abandon(w, context.Canceled); !ok || !sent {
			t.Fatalf("abandon: sent %v, ok %v", sent, ok)
		}
		s, err := x.Open(context.Background(), &Call{Handler: "wait stream", Body: make([]byte, 100<<10)})
		if err != nil {
			t.Fatal(err)
		}
		s.Cancel(context.Canceled)
	}
	if err := x.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { s := y.Stats(); return s.CallsIn == 0 && running.Load() == 0 })
}

// Small messages that follow a large one travel behind its last chunk, but in
// batches no larger than the limit.
func TestMessagesBehindALargeOneKeepToTheBatch(t *testing.T) {
	l := testLimits()
	l.StreamWindow = 4 << 20
	h := streaming("drain", 1000, 0, func(ctx context.Context, s *Stream) error {
		for i := range 400 {
			msg, err := s.Recv(ctx)
			if err != nil {
				return err
			}
			if i > 0 && msg[0] != byte(i) {
				return fmt.Errorf("message %d is %d", i, msg[0])
			}
		}
		return nil
	})
	x, _ := wsPair(t, l, nil, []*Handler{h})
	s, err := x.Open(t.Context(), &Call{Handler: "drain"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		size := 8 << 10
		if i == 0 {
			size = 300 << 10
		}
		msg := make([]byte, size)
		msg[0] = byte(i)
		if err := s.Send(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Recv(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
}

// A stream's message keeps its place among the calls that wait for room.
func TestSendKeepsItsPlaceInLine(t *testing.T) {
	x, p := attack(t, testLimits(), true)
	s, err := x.Open(context.Background(), &Call{Handler: "stream"})
	if err != nil {
		t.Fatal(err)
	}
	p.next(wire.Open)
	o := &x.out
	o.mu.Lock()
	o.queued += x.limits.SendQueue
	o.mu.Unlock()
	var wg sync.WaitGroup
	inLine := func(n int) {
		waitFor(t, func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return len(o.room) == n
		})
	}
	wg.Go(func() {
		if err := s.Send(t.Context(), []byte("first")); err != nil {
			t.Error(err)
		}
	})
	inLine(1)
	for n := range 2 {
		wg.Go(func() {
			if _, err := x.Call(t.Context(), &Call{Handler: "echo"}); err != nil {
				t.Error(err)
			}
		})
		inLine(n + 2)
	}
	o.mu.Lock()
	o.queued-- // room for one
	x.giveRoomLocked()
	o.mu.Unlock()
	for i, want := range []wire.Kind{wire.Data, wire.Request, wire.Request} {
		f, ok := p.wait(func(f *wire.Frame) bool { return f.Kind == wire.Data || f.Kind == wire.Request })
		if !ok || f.Kind != want {
			t.Fatalf("frame %d is a %s, want a %s", i, f.Kind, want)
		}
		if f.Kind == wire.Request {
			p.send(wire.Frame{Kind: wire.Reply, ID: f.ID})
		}
	}
	wg.Wait()
}
