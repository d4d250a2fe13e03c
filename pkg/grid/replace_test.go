package grid

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that dies without a word and comes back is linked again within the
// back-off and the probe, as another process: the calls of the first life end
// as sent and not answered, and nothing of it reaches the second (fault rows
// 4, 5; field case 1).
func TestRestartBehindADeadConnection(t *testing.T) {
	for _, dialerDies := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			a, b := n.pair(t)
			dies, stays := a, b
			if !dialerDies {
				dies, stays = b, a
			}
			started, _ := block(t, dies)
			synctest.Wait()
			time.Sleep(time.Minute)
			done := goRequest(stays.Connection(dies.Local()), "block")
			<-started
			first := dies.instance
			n.swallow(b.Local()) // from now on nobody hears of anything
			dies.stop()
			began := time.Now()
			again := n.start(t, dies.Local(), []string{stays.Local()})
			if again.instance == first {
				t.Fatal("the second process has the instance id of the first")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := again.Connection(stays.Local()).Wait(ctx); err != nil {
				t.Fatal(err)
			}
			// If the dialer dies, the acceptor probes; if the acceptor does, the dialer finds out.
			most := 2 * time.Second
			if !dialerDies {
				most = 16 * time.Second
			}
			if took := time.Since(began); took > most {
				t.Errorf("linked again after %v", took)
			}
			synctest.Wait()
			mustLink(t, again, stays)
			mustLink(t, stays, again)
			if got := <-done; !errors.Is(got.err, ErrDisconnected) || OutcomeOf(got.err) != MaybeProcessed {
				t.Errorf("the call of the first life: %v, %v", got.err, OutcomeOf(got.err))
			}
			if l, _ := stays.Connection(dies.Local()).peer.link(); l.Instance() != again.instance {
				t.Error("linked is the first process")
			}
			// The dialer that stayed has just found out, and dials again by the end of its jitter.
			if got := stays.Stats().Refused[refusedDuplicate]; got != 0 {
				t.Errorf("taken for a duplicate %d times", got)
			}
		})
	}
}

// A dialer that has lost its link shows the token of it and is let in at once,
// without a probe (R1; NATS #1399).
func TestTokenReplacesTheLinkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		time.Sleep(time.Minute)
		started, _ := block(t, b)
		synctest.Wait()
		done := goRequest(a.Connection(b.Local()), "block")
		<-started
		// Only the dialer's end is lost; the acceptor's reads on and on.
		n.mu.Lock()
		var near *pipe
		for _, p := range n.pipes {
			p.hole.Store(true)
			if near == nil {
				near = p
			}
		}
		n.mu.Unlock()
		_ = near.Close()
		if got := <-done; !errors.Is(got.err, ErrDisconnected) {
			t.Errorf("the call on the lost link: %v", got.err)
		}
		began := time.Now()
		synctest.Wait()
		mustLink(t, a, b)
		if took := time.Since(began); took > 51*time.Millisecond { // the jitter
			t.Errorf("linked again after %v", took)
		}
		mustLink(t, b, a)
		if got := b.Stats().Reconnects["replaced"]; got != 1 {
			t.Errorf("the acceptor counts %v", b.Stats().Reconnects)
		}
	})
}

// Two nodes of one name: the one that is linked and alive keeps its link and
// its calls, the other one is told why, and the alarm is given once a minute
// (fault row 6; field case 10, W11).
func TestSecondNodeOfANameIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		before := b.Connection(a.Local()).peer.live.Load()
		started, release := block(t, b)
		synctest.Wait()
		done := goRequest(a.Connection(b.Local()), "block")
		<-started
		impostor := n.start(t, a.Local(), []string{b.Local()}) // takes the address over, too
		time.Sleep(10 * time.Minute)
		if impostor.Connection(b.Local()).State() == StateLinked {
			t.Error("the second one is linked")
		}
		if b.Connection(a.Local()).peer.live.Load() != before {
			t.Error("the first one has lost its link")
		}
		if got := len(b.logs.with("WARN handshake refused", "code=duplicate-name", a.Local())); got < 5 || got > 11 {
			t.Errorf("%d alarms in ten minutes", got)
		}
		if got := len(impostor.logs.with("WARN a peer refused", "code=duplicate-name", "two nodes cannot have one name")); got < 1 || got > 11 {
			t.Errorf("the second one logs it %d times", got)
		}
		close(release)
		if got := <-done; got.err != nil {
			t.Errorf("the call of the first one: %v", got.err)
		}
		mustLink(t, a, b)
		// When the first one goes, the second one takes its place.
		a.stop()
		time.Sleep(31 * time.Second)
		mustLink(t, impostor, b)
	})
}

// Many handshakes of one name at the same moment: one link in the end, and
// every other connection closed (field case 10, G8).
func TestConcurrentHandshakesOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "node-1:1", []string{"node-0:1"}, func(o *Options) { o.Limits.Handshakes = 100 })
		strangers := make([]*stranger, 20)
		for i := range strangers {
			strangers[i] = n.knock(t, "node-0:1", "node-1:1", nil)
			h := helloOf("node-0:1", "node-1:1")
			h.Instance[0] = byte(i + 1)
			strangers[i].hello(h)
		}
		synctest.Wait() // all are let in, and wait until their answer is read
		var all sync.WaitGroup
		var mu sync.Mutex
		open := 0
		for _, s := range strangers {
			all.Go(func() {
				_, greeting, err := s.ws.ReadMessage()
				if err != nil || greetingKind(greeting[4]) != greetHello {
					t.Errorf("answered %v, %v", greeting, err)
					return
				}
				_ = s.ws.SetReadDeadline(time.Now().Add(3 * time.Second)) // before the first ping
				_, _, err = s.ws.ReadMessage()
				mu.Lock()
				defer mu.Unlock()
				if timeout(err) {
					open++
				}
			})
		}
		all.Wait()
		if open != 1 {
			t.Errorf("%d links are open", open)
		}
		if got := b.Connection("node-0:1").State(); got != StateLinked {
			t.Errorf("the peer is %v", got)
		}
		if got := b.Stats().Reconnects; len(got) != 0 {
			t.Errorf("the first one was replaced by one that was not judged against it: %v", got)
		}
	})
}

// 500 times both ends are cut at once or one after the other: always exactly
// one link again, soon (field G8, G9, G19).
func TestManyReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		for range 500 {
			time.Sleep(10 * time.Second)
			n.cut(b.Local())
			synctest.Wait()
			began := time.Now()
			mustLink(t, a, b)
			mustLink(t, b, a)
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("back after %v", took)
			}
		}
		if got := n.openEnds(); got != 2 {
			t.Errorf("%d ends of connections are open", got)
		}
	})
}
