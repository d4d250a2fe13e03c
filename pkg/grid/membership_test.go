package grid

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// mesh starts n nodes, node-0:1 and on, with the same list, and waits for all links.
func (n *network) mesh(t testing.TB, count int, change ...func(*Options)) []*node {
	t.Helper()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("node-%d:1", i)
	}
	all := make([]*node, count)
	for i, name := range names {
		all[i] = n.start(t, name, names, change...)
	}
	for _, nd := range all {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		if err := nd.WaitAll(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	return all
}

// block registers a handler that runs until release is closed; started gets one
// value for each run.
func block(t testing.TB, nd *node) (started chan struct{}, release chan struct{}) {
	t.Helper()
	started, release = make(chan struct{}, 100), make(chan struct{})
	err := nd.RegisterSingle("block", func(ctx context.Context, req []byte) ([]byte, error) {
		started <- struct{}{}
		select {
		case <-release:
			return req, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return started, release
}

type outcomeOf struct {
	reply []byte
	err   error
}

// goRequest makes a request on a goroutine.
func goRequest(c *Connection, h HandlerID) chan outcomeOf {
	done := make(chan outcomeOf, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		reply, err := c.Request(ctx, h, []byte("hello"))
		done <- outcomeOf{reply, err}
	}()
	return done
}

// Only the difference between two lists is acted on: links to those who stay
// are the very same (fault row 65).
func TestSetPeersActsOnTheDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		all := n.mesh(t, 5)
		a := all[0]
		before := map[string]*link.Link{}
		conns := map[string]*Connection{}
		for _, c := range a.Connections() {
			before[c.Name()], conns[c.Name()] = c.peer.live.Load(), c
		}
		// 10 changes a second for a minute, of a name that exists and of one that doesn't.
		for i := range 600 {
			list := []string{"node-1:1", "node-2:1", "node-3:1"}
			if i%2 == 0 {
				list = append(list, "node-9:1")
			} else {
				list = append(list, "node-4:1", a.Local())
			}
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if err := a.SetPeers(list); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, name := range []string{"node-1:1", "node-2:1", "node-3:1"} {
			c := a.Connection(name)
			if c != conns[name] || c.peer.live.Load() != before[name] {
				t.Errorf("%s, which was in every list, has another link or Connection", name)
			}
		}
		if got := a.Connection("node-4:1"); got == nil || got == conns["node-4:1"] {
			t.Error("a name that came back has the Connection that was removed")
		}
		if conns["node-4:1"].State() != StateRemoved {
			t.Errorf("the Connection that was removed is %v", conns["node-4:1"].State())
		}
		if _, err := conns["node-4:1"].Request(t.Context(), "echo", nil); !errors.Is(err, ErrPeerRemoved) {
			t.Errorf("and a call on it gives %v", err)
		}
		mustLink(t, a, all[4])
		mustLink(t, all[4], a)
	})
}

// A removed peer gets no new call, in either direction; what runs has the
// grace and ends well within it (fault rows 59, 61).
func TestRemovedPeerFinishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		startedB, releaseB := block(t, b)
		startedA, releaseA := block(t, a)
		synctest.Wait()
		toB, toA := a.Connection(b.Local()), b.Connection(a.Local())
		out, in := goRequest(toB, "block"), goRequest(toA, "block")
		<-startedB
		<-startedA
		waiting := make(chan error, 1)
		if err := a.SetPeers(nil); err != nil {
			t.Fatal(err)
		}
		go func() { waiting <- toB.Wait(context.Background()) }()
		if _, err := toB.Request(t.Context(), "echo", nil); !errors.Is(err, ErrPeerRemoved) || OutcomeOf(err) != NotSent {
			t.Errorf("a new call to a removed peer: %v, %v", err, OutcomeOf(err))
		}
		if err := <-waiting; !errors.Is(err, ErrPeerRemoved) {
			t.Errorf("Wait: %v", err)
		}
		synctest.Wait()
		if _, err := toA.Request(t.Context(), "echo", nil); !errors.Is(err, ErrDraining) || OutcomeOf(err) != NotSent {
			t.Errorf("a new call by a removed peer: %v, %v", err, OutcomeOf(err))
		}
		if a.Connection(b.Local()) != nil || toB.State() != StateRemoved {
			t.Errorf("the removed peer is %v", toB.State())
		}
		time.Sleep(29 * time.Second)
		close(releaseA)
		close(releaseB)
		for _, done := range []chan outcomeOf{out, in} {
			if got := <-done; got.err != nil || string(got.reply) != "hello" {
				t.Errorf("a call that ran when its peer was removed: %q, %v", got.reply, got.err)
			}
		}
		synctest.Wait()
		if got := n.openEnds(); got != 0 {
			t.Errorf("%d ends of connections are open when nothing runs any more", got)
		}
	})
}

// What runs on beyond the grace is cut, and says that it may have run.
func TestRemovalGraceEnds(t *testing.T) {
	for _, grace := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			a, b := n.pair(t, func(o *Options) { o.RemovalGrace = grace })
			started, _ := block(t, b)
			synctest.Wait()
			done := goRequest(a.Connection(b.Local()), "block")
			<-started
			began := time.Now()
			if err := a.SetPeers([]string{a.Local()}); err != nil {
				t.Fatal(err)
			}
			got := <-done
			want := grace
			if want == 0 {
				want = 30 * time.Second
			}
			if took := time.Since(began); took != want {
				t.Errorf("cut after %v, the grace is %v", took, want)
			}
			if !errors.Is(got.err, ErrDisconnected) || OutcomeOf(got.err) != MaybeProcessed {
				t.Errorf("%v, %v", got.err, OutcomeOf(got.err))
			}
		})
	}
}

// A name that is removed and added again, while the other side knows of
// nothing, is linked anew at once, and what ran on the old link goes on.
func TestRemovedAndAddedAgain(t *testing.T) {
	for _, byDialer := range []bool{true, false} {
		t.Run(fmt.Sprintf("by the dialer %v", byDialer), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a, b := n.pair(t)
				started, release := block(t, b)
				synctest.Wait()
				time.Sleep(time.Minute)
				done := goRequest(a.Connection(b.Local()), "block")
				<-started
				who, other := a, b
				if !byDialer {
					who, other = b, a
				}
				if err := who.SetPeers(nil); err != nil {
					t.Fatal(err)
				}
				if err := who.SetPeers([]string{other.Local()}); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				synctest.Wait()
				mustLink(t, a, b)
				mustLink(t, b, a)
				if took := time.Since(began); took > time.Second {
					t.Errorf("linked again after %v", took)
				}
				if got := b.Stats().Refused[refusedDuplicate]; got != 0 {
					t.Errorf("taken for a duplicate name %d times", got)
				}
				close(release)
				if got := <-done; got.err != nil {
					t.Errorf("the call that ran: %v", got.err)
				}
			})
		})
	}
}

// A bad list changes nothing, and the error names the entry.
func TestBadListChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		before := a.Connection(b.Local()).peer.live.Load()
		for _, bad := range []string{"", "node-2", "Node-2:1", "node-2:0", "node-1:1"} {
			err := a.SetPeers([]string{"node-1:1", "node-3:1", bad})
			if err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if got := a.Connections(); len(got) != 1 || got[0].peer.live.Load() != before {
			t.Errorf("the list has changed: %d peers", len(got))
		}
	})
}
