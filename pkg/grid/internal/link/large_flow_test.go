package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// flowLimits let two of the largest messages lie about, ahead of who reads them.
func flowLimits() Limits {
	l := testLimits()
	l.MaxMessage, l.DataBytes, l.ProcessBytes, l.StreamWindow = 1<<20, 4<<20, 6<<20, 4<<10
	return l
}

// largest is as large as messages may be.
var largest = make([]byte, 1<<20)

// deaf gives handlers of streams of which nobody reads, or sends: one that is
// sent to, and one that sends as much as it may.
func deaf() []*Handler {
	return []*Handler{
		streaming("deaf", 16, 0, func(ctx context.Context, _ *Stream) error { <-ctx.Done(); return ctx.Err() }),
		streaming("unheard", 0, 16, func(ctx context.Context, s *Stream) error {
			for {
				if err := s.Send(ctx, largest); err != nil {
					return err
				}
			}
		}),
		// sink reads all and says how much it was; source sends as many as the payload says.
		streaming("sink", 16, 1, func(ctx context.Context, s *Stream) error {
			for n := 0; ; n++ {
				if _, err := s.Recv(ctx); err != nil {
					return errors.Join(s.Send(ctx, fmt.Append(nil, n)), eofIsFine(err))
				}
			}
		}),
		streaming("source", 0, 16, func(ctx context.Context, s *Stream) error {
			for range s.Payload() {
				if err := s.Send(ctx, largest); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// hog opens streams that fill up with large messages that nobody reads.
func hog(t *testing.T, l *Link, streams int) {
	t.Helper()
	for range streams {
		in, err := l.Open(t.Context(), &Call{Handler: "deaf"})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for in.Send(t.Context(), largest) == nil { // until it waits, and then to the test's end
			}
		}()
		if _, err := l.Open(t.Context(), &Call{Handler: "unheard"}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}

// flows checks that large messages go both ways on streams of l that are read.
func flows(t *testing.T, l *Link) {
	t.Helper()
	const messages = 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // of fake time, which passes only when all wait
	defer cancel()
	to, err := l.Open(ctx, &Call{Handler: "sink"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if err := to.Send(ctx, largest); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	_ = to.CloseSend()
	if n, err := to.Recv(ctx); string(n) != strconv.Itoa(messages) {
		t.Fatalf("%s messages of %d arrived: %v", n, messages, err)
	}
	from, err := l.Open(ctx, &Call{Handler: "source", Body: make([]byte, messages)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if msg, err := from.Recv(ctx); len(msg) != len(largest) {
			t.Fatalf("message %d back: %v", i, err)
		}
	}
}

// A receiver that does not read stops its own sender and nobody else's, however
// many of them there are, which way, and on which link of the process; and what
// they hold is bounded (design: streams; fault row 28).
func TestUnreadLargeMessagesStopOnlyTheirStream(t *testing.T) {
	for _, streams := range []int{1, 2, 100} {
		t.Run(strconv.Itoa(streams), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := flowLimits()
				x, y := memoryPair(t, l, deaf(), deaf())
				ta, tb := MemoryPair()
				beside := another(t, x, y, ta, tb)
				flows(t, x.Link)
				hog(t, x.Link, streams)
				for _, e := range []end{x, y} {
					if held := e.data.Used(); held != 2<<20 {
						t.Errorf("%d bytes lie about unread", held)
					}
				}
				flows(t, x.Link)
				flows(t, y.Link)
				hog(t, beside, streams)
				for _, e := range []end{x, y} {
					if held := e.shared.data.Used(); held != 4<<20 {
						t.Errorf("%d bytes lie about unread in the process", held)
					}
				}
				flows(t, x.Link)
				flows(t, beside)
			})
		})
	}
}

// another gives one more link between the processes of x and y.
func another(t *testing.T, x, y end, ta, tb Transport) *Link {
	t.Helper()
	cfg := func(e end, tr Transport) Config {
		c := e.cfg
		c.Transport, c.TheirHandlers = tr, e.shared.Registry.Announcements(0)
		return c
	}
	a, b := Start(cfg(x, ta)), Start(cfg(y, tb))
	t.Cleanup(func() {
		a.Terminate(CodeClosed, "test over")
		b.Terminate(CodeClosed, "test over")
		a.Wait()
		b.Wait()
	})
	return a
}

// Pumps take messages for users who may not look. What they hold is bounded
// too, leaves room for who reads with Recv, and is free when they hand it over.
func TestMessagesInTheHandAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := flowLimits()
		x, y := memoryPair(t, l, deaf(), deaf())
		var pumps []*Stream
		for range 20 {
			s, err := x.Open(t.Context(), &Call{Handler: "unheard"})
			if err != nil {
				t.Fatal(err)
			}
			pumps = append(pumps, s)
			go func() { _, _ = s.Next(t.Context()) }() // and then its user does not look
		}
		synctest.Wait()
		if held := x.data.Used(); held != 3<<20 {
			t.Errorf("%d bytes are in hands and unread", held)
		}
		flows(t, x.Link)
		flows(t, y.Link)
		for _, s := range pumps {
			s.Cancel(context.Canceled)
			s.HandedAll()
		}
		balanced(t, x)
		s, err := x.Open(t.Context(), &Call{Handler: "source", Body: make([]byte, 9)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 9 {
			msg, err := s.Next(t.Context())
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if len(s.hand) != 1 || x.data.Used() < 1<<20 {
				t.Errorf("message %d: %d in the hand, %d bytes taken", i, len(s.hand), x.data.Used())
			}
			s.Handed()
			s.Took(len(msg))
		}
		if _, err := s.Next(t.Context()); err == nil {
			t.Error("a tenth message")
		}
		balanced(t, x)
	})
}

// A message is granted ahead of its reader below and at what may lie about, and
// waits a byte above it, until somebody waits for it or another one is gone.
func TestLargeMessagesAheadAtTheirLimit(t *testing.T) {
	for over := -1; over <= 1; over++ {
		for _, relief := range []string{"abort", "recv"} {
			t.Run(fmt.Sprint(over, relief), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					recv := make(chan struct{})
					x, p := attack(t, flowLimits(), false, streaming("reads later", 1, 0, func(ctx context.Context, s *Stream) error {
						if string(s.Payload()) == "the third" {
							<-recv
							_, _ = s.Recv(ctx)
						}
						<-ctx.Done()
						return nil
					}))
					const part = 100_000
					totals := []int{1 << 20, 1<<20 - part, part + over}
					for i, total := range totals {
						id, payload := uint64(i+1), ""
						if i == 2 {
							payload = "the third"
						}
						p.send(
							wire.Frame{Kind: wire.Open, Mine: true, ID: id, Body: []byte(payload)},
							wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Data, ID: id, Xfer: id, Total: uint64(total), Ask: true},
						)
					}
					p.sync()
					synctest.Wait()
					want := 3
					if over > 0 {
						want = 2
					}
					if got := p.seen(wire.Grant); got != want {
						t.Errorf("%d are granted, want %d", got, want)
					}
					if relief == "abort" {
						p.send(wire.Frame{Kind: wire.Abort, Xfer: 1})
						p.sync()
					} else {
						close(recv)
					}
					synctest.Wait()
					if got := p.seen(wire.Grant); got != 3 {
						t.Errorf("%d are granted after the %s", got, relief)
					}
					held := totals[1] + totals[2]
					if relief == "recv" {
						held += totals[0]
					} else {
						close(recv)
					}
					if got := x.data.Used(); got != int64(held) {
						t.Errorf("%d bytes are taken, want %d", got, held)
					}
				})
			})
		}
	}
}

func eofIsFine(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// A budget has to carry the largest message in any form, however small it is;
// what it keeps for the higher ranks is what it has beside that.
func TestBudgetOfOneMessage(t *testing.T) {
	for budget, kept := range map[int64]int64{1 << 20: 0, 3 << 19: 1 << 19, 2 << 20: 1 << 20, 4 << 20: 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			l := flowLimits()
			l.DataBytes = budget
			if got := l.kept(budget); got != kept {
				t.Errorf("of %d bytes %d are kept", budget, got)
			}
			x, y := memoryPair(t, l, deaf(), deaf())
			flows(t, x.Link)
			s, err := y.Open(t.Context(), &Call{Handler: "source", Body: make([]byte, 3)})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				msg, err := s.Next(t.Context())
				if len(msg) != len(largest) {
					t.Fatal(err)
				}
				s.Handed()
				s.Took(len(msg))
			}
		})
	}
}
