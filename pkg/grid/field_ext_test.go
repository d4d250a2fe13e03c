package grid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// fieldHandlers are what the tests of this file call.
func fieldHandlers(m *grid.Manager) error {
	flood := func(ctx context.Context, s *grid.HandlerStream) error {
		for {
			if err := s.Send(ctx, make([]byte, 100)); err != nil {
				return err
			}
		}
	}
	deaf := func(ctx context.Context, _ *grid.HandlerStream) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return errors.Join(
		m.RegisterSingle("echo", echo),
		m.RegisterSingle("wait", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}),
		m.RegisterSingle("deadline", func(ctx context.Context, _ []byte) ([]byte, error) {
			d, ok := ctx.Deadline()
			return fmt.Append(nil, ok, time.Until(d)), nil
		}),
		m.RegisterSingle("fail", func(_ context.Context, req []byte) ([]byte, error) {
			err := grid.NewError("mine", "about "+string(req))
			grid.Release(req) // poisoned: the text must not be made of it
			return nil, err
		}),
		m.RegisterStream("flood", grid.StreamHandler{OutCapacity: 8, Serve: flood}),
		m.RegisterStream("flood both", grid.StreamHandler{InCapacity: 8, OutCapacity: 8, Serve: flood}),
		m.RegisterStream("deaf", grid.StreamHandler{InCapacity: 8, Serve: deaf}),
		m.RegisterStream("deaf both", grid.StreamHandler{InCapacity: 8, OutCapacity: 8, Serve: deaf}),
	)
}

func fieldMesh(t *testing.T, change ...func(*grid.Options)) *gridtest.Mesh {
	t.Helper()
	mesh := gridtest.New(t, 2, change...)
	mesh.Register(fieldHandlers)
	mesh.WaitLinked()
	return mesh
}

// Every way in which a call can fail has an error that errors.Is finds and an
// outcome that is true (field cases 13, 14).
func TestEveryFailureHasItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t, func(o *grid.Options) { o.Limits.MaxCalls = 1 })
		ctx, c := t.Context(), mesh.Conn(0, 1)
		check := func(what string, err, is error, outcome grid.Outcome) {
			t.Helper()
			if !errors.Is(err, is) || grid.OutcomeOf(err) != outcome {
				t.Errorf("%s: %v (%v), want %v (%v)", what, err, grid.OutcomeOf(err), is, outcome)
			}
		}
		_, err := c.Request(ctx, "no such", nil)
		check("unknown handler", err, grid.ErrUnknownHandler, grid.NotSent)
		_, err = c.Request(ctx, "flood", nil)
		check("a stream called as a single", err, grid.ErrUnknownHandler, grid.NotSent)
		_, err = c.OpenStream(ctx, "echo", nil)
		check("a single opened as a stream", err, grid.ErrUnknownHandler, grid.NotSent)
		_, err = c.Request(ctx, "echo", make([]byte, 65<<20))
		check("too large", err, grid.ErrMessageTooLarge, grid.NotSent)

		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond) // of fake time: it is sent before they pass
		defer cancel()
		_, err = c.Request(short, "wait", nil)
		// Either end may be the first to see it: the handler gives its context's cause.
		if !errors.Is(err, context.DeadlineExceeded) || grid.OutcomeOf(err) == grid.NotSent {
			t.Errorf("deadline: %v", err)
		}
		over, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Hour))
		defer cancel()
		_, err = c.Request(over, "echo", nil)
		check("deadline in the past", err, context.DeadlineExceeded, grid.NotSent) // fault row 42

		entered, running := make(chan struct{}), make(chan error, 1)
		must(t, mesh.Node(1).RegisterSingle("hold", func(ctx context.Context, _ []byte) ([]byte, error) {
			close(entered)
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		waitSupports(t, c, "hold")
		hold := func() { _, err := c.Request(ctx, "hold", nil); running <- err }
		for held := false; !held; { // the call before may take its place for a moment
			go hold()
			select {
			case <-entered:
				held = true
			case err := <-running:
				check("too early", err, grid.ErrOverloaded, grid.NotSent)
			}
		}
		_, err = c.Request(ctx, "echo", nil)
		check("overload", err, grid.ErrOverloaded, grid.NotSent)
		mesh.Cut(0, 1)
		check("cut", <-running, grid.ErrDisconnected, grid.MaybeProcessed)
		mesh.Isolate(1)
		for !errors.Is(err, grid.ErrNotLinked) {
			_, err = c.Request(ctx, "echo", nil)
		}
		check("no link", err, grid.ErrNotLinked, grid.NotSent)
		must(t, mesh.Node(0).SetPeers(nil))
		_, err = c.Request(ctx, "echo", nil)
		check("removed", err, grid.ErrPeerRemoved, grid.NotSent)
		must(t, mesh.Node(0).Close())
		_, err = mesh.Conn(0, 0).Request(ctx, "echo", nil)
		if err == nil || grid.OutcomeOf(err) != grid.NotSent {
			t.Errorf("closed: %v", err)
		}
	})
}

// A deadline beyond all reason is capped, and one that is not there is a
// minute's (fault row 42).
func TestDeadlinesThatAreOdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fieldMesh(t).Conn(0, 1)
		reply, err := c.Request(t.Context(), "deadline", nil)
		if want := "true 1m0s"; err != nil || string(reply) != want {
			t.Errorf("without a deadline: %s, %v", reply, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1<<62)
		defer cancel()
		reply, err = c.Request(ctx, "deadline", nil)
		if want := "true 24h0m0s"; err != nil || string(reply) != want {
			t.Errorf("in a hundred years: %s, %v", reply, err)
		}
	})
}

// Streams whose reader pauses for three ping intervals survive; the same
// streams end in time when nothing comes through any more (field case 11).
func TestPausedStreamsSurviveAndDeadOnesEnd(t *testing.T) {
	for _, handler := range []grid.HandlerID{"flood", "flood both", "deaf", "deaf both"} {
		t.Run(string(handler), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mesh := fieldMesh(t)
				s, err := mesh.Conn(0, 1).OpenStream(t.Context(), handler, nil)
				must(t, err)
				sending := strings.HasPrefix(string(handler), "deaf")
				if sending { // until the other side's window is full
					for range 8 {
						must(t, s.Send(t.Context(), []byte("x")))
					}
				}
				synctest.Wait()
				time.Sleep(16 * time.Second)
				if s.Err() != nil {
					t.Fatalf("the pause ended it: %v", s.Err())
				}
				mesh.Stall(0, 1) // pongs are lost
				began := time.Now()
				<-s.Done()
				if d := time.Since(began); d > 16*time.Second || !errors.Is(s.Err(), grid.ErrDisconnected) {
					t.Errorf("ended after %v with %v", d, s.Err())
				}
				mesh.Unstall(0, 1)
			})
		})
	}
}

// A queue that is full when its link dies: every call ends, and the next link
// is there within 5 s (field case 3).
func TestFullQueueDoesNotKeepALinkFromComingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t, func(o *grid.Options) { o.Limits.SendQueue = 256 << 10 })
		mesh.Stall(0, 1)
		var calls sync.WaitGroup
		for range 200 {
			calls.Go(func() {
				_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", make([]byte, 10_000))
				if !errors.Is(err, grid.ErrDisconnected) {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait() // most of them wait for room
		mesh.Cut(0, 1)
		calls.Wait()
		mesh.Unstall(0, 1)
		began := time.Now()
		mesh.WaitLinked()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("linked again after %v", d)
		}
		_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", nil)
		must(t, err)
	})
}

// A consumer that stops reading holds up neither its cancellation nor the end
// of its link (field case 4).
func TestConsumerThatStopsReadingCanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t)
		for _, end := range []func(s *grid.CallerStream){
			func(s *grid.CallerStream) { s.Cancel(nil) },
			func(*grid.CallerStream) { mesh.Cut(0, 1) },
		} {
			mesh.WaitLinked()
			s, err := mesh.Conn(0, 1).OpenStream(t.Context(), "flood both", nil)
			must(t, err)
			synctest.Wait() // the flood stands
			end(s)
			<-s.Done()
			synctest.Wait()
			if st := mesh.Node(1).Stats(); len(st.Links) == 1 && st.Links[0].CallsIn != 0 {
				t.Error("the handler still runs")
			}
		}
	})
}

// Waiting for a link ends with its context, with the peer, and with the
// manager; the bubble sees that nothing spins or is left (field case 16).
func TestWaitingForALinkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t)
		mesh.Isolate(1)
		synctest.Wait()
		c := mesh.Conn(0, 1).With(grid.CallOptions{WaitForLink: true})
		ctx, cancel := context.WithCancel(t.Context())
		var waits sync.WaitGroup
		for i := range 200 {
			waits.Go(func() {
				under := ctx
				if i%2 == 0 {
					under = t.Context()
				}
				if _, err := c.Request(under, "echo", nil); grid.OutcomeOf(err) != grid.NotSent {
					t.Errorf("%v", err)
				}
				if err := c.Wait(under); err == nil {
					t.Error("linked to nobody")
				}
			})
		}
		time.Sleep(10 * time.Second)
		cancel()
		must(t, mesh.Node(0).Close())
		waits.Wait()
	})
}

// A call that is cancelled while its frames are being written harms nobody
// else: the caller's context never reaches the socket (fault row 49).
func TestCancelDuringAWriteLeavesTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t)
		mesh.Slow(0, 1, time.Millisecond, 1<<20)
		since := mesh.Node(0).Stats().Links[0].Since
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			_, err := mesh.Conn(0, 1).Request(ctx, "echo", make([]byte, 4<<20))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || grid.OutcomeOf(err) != grid.NotSent {
				t.Errorf("%v (%v)", err, grid.OutcomeOf(err))
			}
			if _, err := mesh.Conn(0, 1).Request(t.Context(), "echo", []byte("hi")); err != nil {
				t.Errorf("beside it: %v", err)
			}
		}
		if now := mesh.Node(0).Stats().Links[0].Since; now != since {
			t.Error("the link was replaced")
		}
	})
}

// A handler's goroutine that goes on after its handler finds the stream closed
// (fault row 47).
func TestStreamIsClosedAfterItsHandler(t *testing.T) {
	mesh := fieldMesh(t)
	left := make(chan *grid.HandlerStream, 1)
	must(t, mesh.Node(1).RegisterStream("leave", grid.StreamHandler{InCapacity: 1, OutCapacity: 1, Serve: func(_ context.Context, s *grid.HandlerStream) error {
		left <- s
		return nil
	}}))
	c := mesh.Conn(0, 1)
	waitSupports(t, c, "leave")
	s, err := c.OpenStream(t.Context(), "leave", nil)
	must(t, err)
	if _, err := s.Recv(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
	hs := <-left
	<-hs.Done()
	if err := hs.Send(t.Context(), nil); !errors.Is(err, grid.ErrStreamClosed) {
		t.Errorf("Send: %v", err)
	}
	if _, err := hs.Recv(t.Context()); !errors.Is(err, grid.ErrStreamClosed) {
		t.Errorf("Recv: %v", err)
	}
}

// Error texts are whole, though the buffers that they speak of are released
// and poisoned at once (field case 17).
func TestErrorTextsAreNotMadeOfRecycledMemory(t *testing.T) {
	c := fieldMesh(t).Conn(0, 1)
	var calls sync.WaitGroup
	for g := range 8 {
		calls.Go(func() {
			for i := range 500 {
				text := fmt.Sprintf("call %d of %d", i, g)
				_, err := c.Request(t.Context(), "fail", []byte(text))
				if remote, ok := errors.AsType[*grid.RemoteError](err); !ok || remote.Message != "about "+text {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	calls.Wait()
}

// A link is congested while more of its queue than QueueShare is in use, for
// as long as For says.
func TestCongestionFollowsTheOptions(t *testing.T) {
	for share, want := range map[float64]bool{0.1: true, 0.9: false} {
		synctest.Test(t, func(t *testing.T) {
			mesh := fieldMesh(t, func(o *grid.Options) {
				o.Limits.SendQueue = 1 << 20
				o.Congestion = grid.Congestion{QueueShare: share, For: 2 * time.Second}
			})
			mesh.Stall(0, 1)
			ctx, cancel := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			for range 40 {
				calls.Go(func() { _, _ = mesh.Conn(0, 1).Request(ctx, "echo", make([]byte, 10_000)) })
			}
			synctest.Wait()
			if mesh.Node(0).Stats().Links[0].Congested {
				t.Error("congested at once")
			}
			time.Sleep(3 * time.Second)
			if got := mesh.Node(0).Stats().Links[0].Congested; got != want {
				t.Errorf("share %v: congested %v, with %d bytes queued", share, got, mesh.Node(0).Stats().Links[0].QueueBytes)
			}
			cancel()
			calls.Wait()
			mesh.Unstall(0, 1)
		})
	}
}

// Small calls pass a giant on the same link: they wait behind what is on the
// wire, which the pace keeps near to what the link carries in a few
// milliseconds, and never behind the giant (fault row 40, field case 7).
func TestSmallCallsPassGiants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := fieldMesh(t)
		mesh.Slow(0, 1, 500*time.Microsecond, 16<<20)
		giant := make(chan error, 1)
		go func() {
			_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", make([]byte, 32<<20))
			giant <- err
		}()
		var took []time.Duration
		for running := true; running; {
			began := time.Now()
			_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", []byte("small"))
			must(t, err)
			took = append(took, time.Since(began))
			time.Sleep(time.Millisecond)
			select {
			case err := <-giant:
				must(t, err)
				running = false
			default:
			}
		}
		slices.Sort(took)
		p50, p99, worst := took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
		t.Logf("%d small calls beside 32 MiB each way: p50 %v, p99 %v, worst %v", len(took), p50, p99, worst)
		// Two chunks take 8 ms here, each way; the window the pace begins with takes 32 ms.
		if p99 > 14*time.Millisecond || worst > 80*time.Millisecond {
			t.Errorf("small calls waited too long")
		}
	})
}
