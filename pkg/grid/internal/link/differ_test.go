package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// strict is a transport that refuses a batch that is larger than its side
// reads, as a WebSocket does.
type strict struct {
	Transport
	max  int
	mu   sync.Mutex // protects most
	most int        // the largest batch that came
}

func (s *strict) ReadBatch() (*batch, error) {
	b, err := s.Transport.ReadBatch()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(b.b))
	if len(b.b) > s.max {
		return nil, &wire.ViolationError{Reason: fmt.Sprintf("batch of %d bytes, larger than %d", len(b.b), s.max)}
	}
	return b, nil
}

// said is what a node with such limits says of itself.
func said(l Limits) Side {
	return Side{
		MaxMessage: l.MaxMessage, MaxCalls: l.MaxCalls, StreamWindow: l.StreamWindow, EagerWindow: l.EagerWindow,
		Eager: l.Eager, MaxBatch: l.MaxBatch, MaxHeader: l.MaxHeader, MaxHandlers: l.MaxHandlers,
	}
}

// tiny are limits as small as they may be, next to which the usual ones are large.
func tiny() Limits {
	l := testLimits()
	l.MaxBatch, l.Chunk, l.MaxHeader, l.Eager, l.EagerWindow, l.StreamWindow = 16<<10, 8<<10, 4<<10, 1<<10, 1<<10, 1<<10
	l.MaxErrorText, l.SendQueue, l.ControlQueue, l.MaxHandlers = 128, 4<<10, 64<<10, 300
	return l
}

// unequal gives a pair of which each side has limits of its own.
func unequal(t *testing.T, lx, ly Limits, handlers func() []*Handler) (x, y *Link, toX, toY *strict) {
	t.Helper()
	ta, tb := MemoryPair()
	toX, toY = &strict{Transport: ta, max: lx.MaxBatch}, &strict{Transport: tb, max: ly.MaxBatch}
	start := func(ours, theirs Limits, tr Transport) *Link {
		r := &Registry{}
		for _, h := range handlers() {
			if err := r.Add(h); err != nil {
				t.Fatal(err)
			}
		}
		s := NewShared(ours, r, quiet, encodeTest)
		l := Start(Config{Transport: tr, Remote: "peer:1", Checksum: true, Ours: said(ours), Theirs: said(theirs), Shared: s})
		t.Cleanup(func() {
			l.Terminate(CodeClosed, "test over")
			l.Wait()
			s.Close()
		})
		return l
	}
	return start(lx, ly, toX), start(ly, lx, toY), toX, toY
}

// Nodes with other limits understand each other: all kinds of traffic, with
// sizes around each limit, keep to what the other side takes.
func TestUnequalLimits(t *testing.T) {
	handlers := func() []*Handler {
		all := []*Handler{
			echo(),
			single("fail", func(_ context.Context, req []byte) ([]byte, error) {
				return nil, &coded{strings.Repeat("c", 1000), strings.Repeat("m", 20_000)}
			}),
			streaming("mirror", 3, 3, func(ctx context.Context, s *Stream) error {
				for {
					msg, err := s.Recv(ctx)
					if err != nil {
						return eofIsFine(err)
					}
					if err := s.Send(ctx, msg); err != nil {
						return err
					}
				}
			}),
		}
		for i := range 200 { // far more than a frame of the tiny side's has room for
			all = append(all, single(fmt.Sprintf("%0100d", i), nil))
		}
		return all
	}
	for name, c := range map[string]struct{ x, y Limits }{
		"the usual and tiny": {testLimits(), tiny()},
		"tiny and the usual": {tiny(), testLimits()},
		"tiny ones":          {tiny(), tiny()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y, toX, toY := unequal(t, c.x, c.y, handlers)
				synctest.Wait() // announcements
				for _, l := range []*Link{x, y} {
					if got := l.their.Load().len(); got != 203 {
						t.Fatalf("%d handlers are known: %v", got, l.Err())
					}
					everything(t, l)
				}
				for which, to := range map[string]*strict{"x": toX, "y": toY} {
					to.mu.Lock()
					if least := min(toX.max, toY.max); to.most > least || to.most < least/2 {
						t.Errorf("the largest batch to %s had %d bytes, allowed are %d", which, to.most, least)
					}
					to.mu.Unlock()
				}
			})
		})
	}
}

// everything makes calls of all sizes and with all trimmings.
func everything(t *testing.T, l *Link) {
	t.Helper()
	var wg sync.WaitGroup
	for _, around := range []int{1 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 300 << 10} {
		for _, size := range []int{around - 1, around, around + 1} {
			for _, header := range []int{0, l.to.header} {
				wg.Go(func() {
					req := make([]byte, size)
					got, err := l.Call(t.Context(), &Call{Handler: "echo", Header: make([]byte, header), Body: req})
					if err != nil || len(got) != size {
						t.Errorf("%d bytes with %d of header: %d came back, %v", size, header, len(got), err)
					}
				})
			}
			wg.Go(func() {
				s, err := l.Open(t.Context(), &Call{Handler: "mirror", Header: make([]byte, l.to.header), Body: make([]byte, size)})
				if err != nil {
					t.Errorf("open with %d bytes: %v", size, err)
					return
				}
				for range 4 {
					if err := s.Send(t.Context(), make([]byte, size)); err != nil {
						t.Errorf("send %d bytes: %v", size, err)
						return
					}
					if got, err := s.Recv(t.Context()); err != nil || len(got) != size {
						t.Errorf("sent %d bytes, %d came back: %v", size, len(got), err)
						return
					}
				}
				s.Cancel(context.Canceled)
			})
		}
	}
	wg.Go(func() {
		_, err := l.Call(t.Context(), &Call{Handler: "fail"})
		if remote, ok := errors.AsType[*Remote](err); !ok || remote.Message == "" {
			t.Errorf("failed with %v", err)
		}
	})
	wg.Wait()
	if l.Err() != nil {
		t.Error(l.Err())
	}
}

// talker gives a link to a peer that said their.
func talker(t *testing.T, their Side, log *slog.Logger, handlers ...*Handler) (*Link, *hostile) {
	t.Helper()
	r := &Registry{}
	for _, h := range handlers {
		if err := r.Add(h); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := MemoryPair()
	s := NewShared(testLimits(), r, log, encodeTest)
	l := Start(Config{
		Transport: ours, Remote: "peer:1", Ours: said(testLimits()), Theirs: their, Shared: s,
		TheirHandlers: []wire.Handler{{Name: "echo"}, {Name: "stream", Number: 1, Stream: true, In: 1, Out: 1}},
	})
	p := newHostile(t, theirs, false)
	t.Cleanup(func() {
		l.Terminate(CodeClosed, "test over")
		_ = theirs.Close()
		l.Wait()
		s.Close()
	})
	return l, p
}

// Each limit that the other side said: below, at and above. Where it said
// nothing, this side's own holds.
func TestTheirLimitsAreKept(t *testing.T) {
	all := said(testLimits())
	t.Run("eager", func(t *testing.T) {
		for their, asks := range map[int][3]bool{100_000: {false, false, true}, 0: {false, false, false}, 1 << 30: {false, false, false}} {
			side := all
			side.Eager = their
			l, p := talker(t, side, quiet)
			for i, size := range []int{99_999, 100_000, 100_001} {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = l.Call(ctx, &Call{Handler: "echo", Body: make([]byte, size)})
				}()
				if f := p.next(wire.Begin); f.Ask != asks[i] {
					t.Errorf("they take %d: %d bytes ask: %v", their, size, f.Ask)
				}
				cancel()
				<-done
			}
		}
	})
	t.Run("header", func(t *testing.T) {
		for their, most := range map[int]int{100: 100, 0: 4 << 10, 10_000: 10_000, 1 << 30: 64 << 10} { // at last a quarter of a batch
			side := all
			side.MaxHeader = their
			l, p := talker(t, side, quiet)
			for size := most - 1; size <= most+1; size++ {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err := l.Open(ctx, &Call{Handler: "stream", Header: make([]byte, size)})
				if tooLarge := err == ErrHeader; tooLarge != (size > most) {
					t.Errorf("they take %d: %d bytes: %v", their, size, err)
				}
				if size <= most {
					if f := p.next(wire.Open); len(f.Header) != size {
						t.Errorf("%d bytes were sent of %d", len(f.Header), size)
					}
				}
			}
			if _, err := l.Call(t.Context(), &Call{Handler: "echo", Header: make([]byte, most+1)}); err != ErrHeader {
				t.Errorf("they take %d: a call with more: %v", their, err)
			}
		}
	})
	t.Run("handlers", func(t *testing.T) {
		for _, count := range []int{2, 3, 4, 5} {
			side := all
			side.MaxHandlers = 3
			var handlers []*Handler
			for i := range count {
				handlers = append(handlers, single(strconv.Itoa(i), nil))
			}
			var log strings.Builder
			l, p := talker(t, side, slog.New(slog.NewTextHandler(&log, nil)), handlers...)
			l.Announce()
			l.Announce()
			var got []string
			if err := wire.ParseHandlers(p.next(wire.Announce).Body, func(h wire.Handler) error { got = append(got, h.Name); return nil }); err != nil {
				t.Fatal(err)
			}
			p.sync()
			if n := p.seen(wire.Announce); len(got) != min(count, 3) || n != 1 {
				t.Errorf("%d handlers: announced are %q, in %d frames", count, got, n)
			}
			if warned := strings.Count(log.String(), "no more handlers"); warned != (count-1)/3 {
				t.Errorf("%d handlers: warned %d times", count, warned)
			}
		}
	})
	t.Run("list", func(t *testing.T) {
		side := all
		side.MaxMessage = 1000
		l, p := talker(t, side, quiet)
		for _, size := range []int{999, 1000, 1001} {
			l.SendList(make([]byte, size))
		}
		p.sync()
		if n := p.seen(wire.List); n != 2 {
			t.Errorf("%d lists were sent", n)
		}
	})
}
