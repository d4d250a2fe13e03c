package grid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Shutdown ends in two phases: what runs in either direction ends well, what
// comes is known not to have run, calls of one's own are still made, and then
// every link says goodbye (fault rows 71, 73; R7).
func TestShutdownFinishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		all := n.mesh(t, 3)
		a, b, c := all[0], all[1], all[2]
		startedA, releaseA := block(t, a)
		startedB, releaseB := block(t, b)
		synctest.Wait()
		in, out := goRequest(b.Connection(a.Local()), "block"), goRequest(a.Connection(b.Local()), "block")
		<-startedA
		<-startedB
		down := make(chan error, 1)
		go func() { down <- a.Shutdown(context.Background()) }()
		time.Sleep(10 * time.Millisecond) // the readers are taken from the handlers that hold them up
		synctest.Wait()

		if !a.Stats().Draining {
			t.Error("it does not say that it is draining")
		}
		if _, err := b.Connection(a.Local()).Request(t.Context(), "echo", nil); !errors.Is(err, ErrDraining) || OutcomeOf(err) != NotSent {
			t.Errorf("a call to it: %v", err)
		}
		if got := b.Connection(a.Local()).State(); got != StateDraining {
			t.Errorf("for its peer it is %v", got)
		}
		if _, err := a.Connection(b.Local()).Request(t.Context(), "echo", nil); err != nil {
			t.Errorf("a call of its own: %v", err)
		}
		if got := c.Connection(a.Local()).State(); got == StateLinked {
			t.Errorf("for a peer with which nothing runs it is %v", got)
		}
		select {
		case err := <-down:
			t.Fatalf("Shutdown has returned %v while calls run", err)
		default:
		}
		close(releaseA)
		if got := <-in; got.err != nil {
			t.Errorf("the call that came in: %v", got.err)
		}
		synctest.Wait()
		close(releaseB)
		if got := <-out; got.err != nil {
			t.Errorf("the call that went out: %v", got.err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		synctest.Wait()
		if got := len(b.logs.with("link is down", a.Local(), "code=drained")); got != 1 {
			t.Errorf("the goodbye is not told: %q", b.logs.with("down"))
		}
		if _, err := a.Connection(b.Local()).Request(t.Context(), "echo", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after it: %v", err)
		}
		if _, err := a.Connection(a.Local()).Request(t.Context(), "echo", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a call to itself after it: %v", err)
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown again: %v", err)
		}
		mustLink(t, b, c)
	})
}

// When the time for draining is over, what still runs is cut and says that it
// may have run; Shutdown tells (fault rows 46, 71).
func TestShutdownEndsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		started, _ := block(t, a)
		synctest.Wait()
		done := goRequest(b.Connection(a.Local()), "block")
		<-started
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		if err := a.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("it took %v", took)
		}
		if got := <-done; !errors.Is(got.err, ErrDisconnected) || OutcomeOf(got.err) != MaybeProcessed {
			t.Errorf("the call: %v", got.err)
		}
	})
}

// Close during Shutdown cuts at once (fault row 72).
func TestCloseCutsAShutdownShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		started, _ := block(t, a)
		synctest.Wait()
		done := goRequest(b.Connection(a.Local()), "block")
		<-started
		down := make(chan error, 1)
		go func() { down <- a.Shutdown(context.Background()) }()
		synctest.Wait()
		began := time.Now()
		_ = a.Close()
		if err := <-down; !errors.Is(err, ErrClosed) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if got := <-done; !errors.Is(got.err, ErrDisconnected) {
			t.Errorf("the call: %v", got.err)
		}
	})
}

// A node that drains makes no new links and lets none in, and says so; the
// peer comes back to the next process.
func TestDrainingNodeRefusesNewLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		started, release := block(t, b)
		synctest.Wait()
		out := goRequest(b.Connection(b.Local()), "block") // a call to itself counts, too
		<-started
		down := make(chan error, 1)
		go func() { down <- b.Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		if got := b.logs.with("handshake refused", "code=draining"); len(got) != 1 {
			t.Errorf("logged is %q", got)
		}
		if got := a.logs.with("WARN", b.Local()); len(got) != 0 {
			t.Errorf("a rolling restart is no warning: %q", got)
		}
		close(release)
		if got := <-out; got.err != nil {
			t.Errorf("the call to itself: %v", got.err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		b.stop()
		again := n.start(t, b.Local(), []string{a.Local()})
		mustLink(t, a, again)
	})
}

// The context of NewManager closes it.
func TestContextClosesTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m, err := NewManager(ctx, Options{Local: "node-0:1", Peers: []string{"node-1:1"}, InsecurePlainText: true, Dial: newNetwork().dial})
		if err != nil {
			t.Fatal(err)
		}
		c := m.Connection("node-1:1")
		waiting := make(chan error, 1)
		go func() { waiting <- m.WaitAll(context.Background()) }()
		synctest.Wait()
		cancel()
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("WaitAll: %v", err)
		}
		if err := c.Wait(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Wait: %v", err)
		}
		if err := m.SetPeers(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("SetPeers: %v", err)
		}
		_ = m.Close()
	})
}
