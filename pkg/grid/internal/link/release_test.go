package link

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// The memory of large messages that nobody will read comes back when the
// stream is given up, also after it ended by itself; and what was dropped is
// never a clean end.
func TestUnreadLargeMessagesAreFreed(t *testing.T) {
	h := streaming("two", 0, 4, func(ctx context.Context, s *Stream) error {
		return errors.Join(s.Send(ctx, make([]byte, 1<<20)), s.Send(ctx, make([]byte, 1<<20)))
	})
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{h})
	for name, giveUp := range map[string]func(*Stream, context.CancelFunc){
		"cancel":  func(s *Stream, _ context.CancelFunc) { s.Cancel(context.Canceled) },
		"context": func(_ *Stream, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := x.Open(ctx, &Call{Handler: "two"})
			if err != nil {
				t.Fatal(err)
			}
			<-s.Done()
			if _, err := s.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
			giveUp(s, cancel)
			waitFor(t, func() bool { return x.data.Used() == 0 && x.shared.data.Used() == 0 })
			if _, err := s.Recv(t.Context()); err == io.EOF || !errors.Is(err, context.Canceled) {
				t.Fatalf("after giving up: %v", err)
			}
		})
	}
}

// A message beyond its stream's credit ends the link at its BEGIN, and leaves
// nothing taken from the process.
func TestViolationFreesItsMessage(t *testing.T) {
	x, p := attack(t, testLimits(), false, streaming("one", 0, 1, func(ctx context.Context, _ *Stream) error { <-ctx.Done(); return ctx.Err() }))
	s, err := x.Open(t.Context(), &Call{Handler: "one"})
	if err != nil {
		t.Fatal(err)
	}
	p.send(wire.Frame{Kind: wire.Begin, Inner: wire.Data, ID: s.id, Xfer: 1, Total: 100_000, Ask: true})
	p.next(wire.Grant)
	p.send(wire.Frame{Kind: wire.Chunk, Xfer: 1, Body: make([]byte, 100_000)})
	p.sync()
	if used := x.shared.data.Used(); used != 100_000 {
		t.Fatalf("%d bytes are taken", used)
	}
	p.send(wire.Frame{Kind: wire.Begin, Inner: wire.Data, ID: s.id, Xfer: 2, Total: 1, Ask: true})
	if f := p.goodbye(x.Link, CodeViolation); !strings.Contains(string(f.Message), "BEGIN: message of 1 bytes with credit left for 0 messages") {
		t.Errorf("it said %s", f.Message)
	}
	s.Cancel(context.Canceled)
	if used := x.shared.data.Used(); used != 0 {
		t.Fatalf("%d bytes are still taken", used)
	}
}

// A handler whose Send is given up while a large message is on its way has the
// credit back and a whole stream.
func TestGivenUpMessageTakesNoCredit(t *testing.T) {
	begun := make(chan struct{})
	h := streaming("give up", 0, 1, func(ctx context.Context, s *Stream) error {
		short, cancel := context.WithCancel(ctx)
		go func() { <-begun; cancel() }()
		if err := s.Send(short, make([]byte, 1<<20)); !errors.Is(err, context.Canceled) {
			return errors.Join(errors.New("first send"), err)
		}
		return s.Send(ctx, []byte("whole"))
	})
	x, y := memoryPair(t, testLimits(), nil, []*Handler{h})
	if !x.data.Try(x.limits.DataBytes) { // so that the large one has to wait
		t.Fatal("no budget")
	}
	defer x.data.Give(x.limits.DataBytes)
	s, err := x.Open(t.Context(), &Call{Handler: "give up"})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		y.out.mu.Lock()
		defer y.out.mu.Unlock()
		return len(y.out.transfers) == 1
	})
	close(begun)
	if msg, err := s.Recv(t.Context()); err != nil || string(msg) != "whole" {
		t.Fatalf("%q, %v", msg, err)
	}
	if _, err := s.Recv(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
}

// badError is a handler's mistake: a nil pointer that is an error.
type badError struct{ text string }

func (e *badError) Error() string { return e.text }

// An error that can't be asked for its text fails its own call only.
func TestErrorThatPanicsFailsItsCallOnly(t *testing.T) {
	var none *badError
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{
		echo(),
		single("bad", func(context.Context, []byte) ([]byte, error) { return nil, none }),
		streaming("bad stream", 0, 1, func(context.Context, *Stream) error { return none }),
	})
	_, err := x.Call(t.Context(), &Call{Handler: "bad"})
	if r, ok := errors.AsType[*Remote](err); !ok || r.Code != CodeInternal {
		t.Fatalf("call: %v", err)
	}
	s, err := x.Open(t.Context(), &Call{Handler: "bad stream"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv(t.Context())
	if r, ok := errors.AsType[*Remote](err); !ok || r.Code != CodeInternal {
		t.Fatalf("stream: %v", err)
	}
	if _, err := x.Call(t.Context(), &Call{Handler: "echo"}); err != nil {
		t.Fatal(err)
	}
}

// A refusal of a large payload comes out of the stream, as every refusal.
func TestRefusedLargePayload(t *testing.T) {
	x, y := memoryPair(t, testLimits(), nil, []*Handler{echoStream()})
	y.drain.ours.Store(true) // draining, and the word of it has not arrived
	s, err := x.Open(t.Context(), &Call{Handler: "echo stream", Body: make([]byte, 1<<20)})
	if err == nil {
		_, err = s.Recv(t.Context())
	}
	if f, ok := errors.AsType[*Failure](err); !ok || f.Code != CodeDraining || f.Sent {
		t.Fatalf("%#v", err)
	}
}

// Many streams that wait for room in the queue all get their turn.
func TestManySendersShareASmallQueue(t *testing.T) {
	l := testLimits()
	l.SendQueue, l.Chunk, l.Eager = 4<<10, 2<<10, 2<<10
	h := streaming("sink", 64, 0, func(ctx context.Context, s *Stream) error {
		for {
			if _, err := s.Recv(ctx); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	x, _ := memoryPair(t, l, nil, []*Handler{h})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			s, err := x.Open(t.Context(), &Call{Handler: "sink"})
			if err != nil {
				t.Error(err)
				return
			}
			for range 200 {
				if err := s.Send(t.Context(), make([]byte, 1500)); err != nil {
					t.Error(err)
					return
				}
			}
			_ = s.CloseSend()
			if _, err := s.Recv(t.Context()); err != io.EOF {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A call whose body was taken before the DRAIN runs, and the link is not quiet before its end.
func TestDrainLetsABegunBodyEnd(t *testing.T) {
	x, y := memoryPair(t, testLimits(), nil, []*Handler{echo()})
	if !y.requests.Try(y.limits.RequestBytes) { // so that the body has to wait
		t.Fatal("no budget")
	}
	done := make(chan error, 1)
	go func() {
		_, err := x.Call(t.Context(), &Call{Handler: "echo", Body: make([]byte, 1<<20)})
		done <- err
	}()
	waitFor(t, func() bool {
		x.out.mu.Lock()
		defer x.out.mu.Unlock()
		return len(x.out.transfers) == 1
	})
	if err := x.Probe(t.Context()); err != nil { // the BEGIN has arrived
		t.Fatal(err)
	}
	y.Drain()
	<-y.drain.crossed
	y.checkQuiet()
	select {
	case <-y.Quiet():
		t.Error("quiet with a body on its way")
	default:
	}
	y.requests.Give(y.limits.RequestBytes)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-y.Quiet()
}
