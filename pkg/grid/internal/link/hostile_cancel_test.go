package link

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Cancels, ends and data that cross on the way, 10^5 times: the link lives, and
// nothing is left of it (fault row 34).
func TestCancelsCrossDataWithoutHarm(t *testing.T) {
	const races, callers = 100_000, 8
	flood := streaming("flood", 4, 4, func(ctx context.Context, s *Stream) error {
		reads := make(chan struct{})
		defer func() { <-reads }()
		go func() { // it reads and writes at once, until whoever comes first ends it
			defer close(reads)
			for {
				if _, err := s.Recv(ctx); err != nil {
					return
				}
			}
		}()
		for range s.Payload()[0] { // it may end by itself, too
			if err := s.Send(ctx, s.Payload()); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return ctx.Err()
	})
	l := testLimits()
	l.DeadAfter = time.Hour  // a busy machine may take longer than that to answer a ping beside them
	l.ProcessBytes = 4 << 30 // streams are opened faster than handlers end: as many as MaxCalls, and no fewer, have room
	x, y := memoryPair(t, l, []*Handler{flood}, []*Handler{flood})
	var left atomic.Int64
	left.Store(races)
	var wg sync.WaitGroup
	for g := range callers {
		from := []end{x, y}[g%2]
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 5))
			for left.Add(-1) >= 0 {
				if err := raceOnce(t, from, rnd); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, e := range []end{x, y} {
		if e.Err() != nil {
			t.Fatal(e.Err())
		}
		balanced(t, e)
	}
}

// raceOnce opens a stream, sends and receives a little, and ends it in one of
// three ways while data are on their way.
func raceOnce(t *testing.T, from end, rnd *rand.Rand) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := from.Open(ctx, &Call{Handler: "flood", Body: []byte{byte(rnd.IntN(20))}})
	if err != nil {
		return err
	}
	for range rnd.IntN(3) {
		if err := s.Send(ctx, []byte("x")); err != nil {
			return err
		}
	}
	for range rnd.IntN(3) {
		short, stop := context.WithTimeout(ctx, time.Microsecond) // there may be nothing
		_, err := s.Recv(short)
		stop()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	switch rnd.IntN(3) {
	case 0:
		s.Cancel(context.Canceled)
	case 1:
		cancel()
	default:
		if err := s.CloseSend(); err != nil {
			return err
		}
		s.Cancel(io.ErrUnexpectedEOF)
	}
	<-s.Done()
	return nil
}

// 10^5 calls that are cancelled all at once, some on their way, some running,
// some answered: each frees its place, here and there (fault row 41).
func TestCancelStormFreesEverything(t *testing.T) {
	const storms, calls = 10, 10_000
	wait := single("wait", func(ctx context.Context, req []byte) ([]byte, error) {
		if len(req) > 0 {
			return req, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	l := testLimits()
	l.DeadAfter = time.Hour // a busy machine may take longer than that to answer a ping beside them
	x, y := memoryPair(t, l, nil, []*Handler{wait})
	for range storms {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var answered atomic.Int64
		for i := range calls {
			wg.Go(func() {
				_, err := x.Call(ctx, &Call{Handler: "wait", Body: make([]byte, i%2)})
				switch {
				case err == nil:
					answered.Add(1)
				case !errors.Is(err, context.Canceled):
					t.Errorf("ended by %v", err)
				}
			})
		}
		waitFor(t, func() bool { return answered.Load() >= calls/4 })
		cancel()
		wg.Wait()
	}
	balanced(t, x)
	balanced(t, y)
	if x.Err() != nil {
		t.Fatal(x.Err())
	}
	x.out.mu.Lock()
	defer x.out.mu.Unlock()
	if n := x.out.waiters.Len(); n != 0 || len(x.out.room) != 0 {
		t.Errorf("%d ids and %d places in line are left", n, len(x.out.room))
	}
}
