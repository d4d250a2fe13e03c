package grid

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// startAll starts nodes of these names in any order, all at the same moment,
// and waits until each has a link to each other.
func (n *network) startAll(t testing.TB, names []string, change ...func(*Options)) []*node {
	t.Helper()
	all := make([]*node, len(names))
	var starting sync.WaitGroup
	for _, i := range rand.Perm(len(names)) {
		starting.Go(func() { all[i] = n.start(t, names[i], names, change...) })
	}
	starting.Wait()
	waitForAll(t, all)
	return all
}

func waitForAll(t testing.TB, all []*node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, nd := range all {
		if err := nd.WaitAll(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// checkLinks wants exactly one link for each pair, made by the right side,
// and nothing else open.
func (n *network) checkLinks(t testing.TB, all []*node) {
	t.Helper()
	for i, a := range all {
		dialled, made := 0, 0
		for j, b := range all {
			if i == j {
				continue
			}
			s := a.Connection(b.Local()).peer.stats()
			if s.State != StateLinked || s.Dialed != dials(a.Local(), b.Local()) {
				t.Errorf("%s to %s: %+v", a.Local(), b.Local(), s)
			}
			if s.Dialed {
				made++
			}
			dialled++
		}
		if mean := float64(dialled) / 2; float64(made) < 0.8*mean || float64(made) > 1.2*mean {
			t.Errorf("%s has made %d of its %d links", a.Local(), made, dialled)
		}
	}
	synctest.Wait()
	if got, want := n.openEnds(), len(all)*(len(all)-1); got != want {
		t.Errorf("%d ends of connections are open, two for each pair are %d", got, want)
	}
}

func ordinals(count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("node-%d:1", i)
	}
	return names
}

// Whatever the order in which nodes start: one link for each pair, none twice,
// all soon (fault row 3; NATS #547, #5483). A thousand starts of these are in
// soak_starts_test.go.
func TestRandomStarts(t *testing.T) {
	for range 20 {
		randomStart(t)
	}
}

// randomStart starts a mesh of 20 in random order, looks at it, and ends it.
func randomStart(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		began := time.Now()
		all := n.startAll(t, ordinals(20))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("all are up after %v", took)
		}
		n.checkLinks(t, all)
		for _, nd := range all {
			if s := nd.Stats(); len(s.Refused) != 0 || len(s.Reconnects) != 0 {
				t.Errorf("%s: refused %v, made again %v", nd.Local(), s.Refused, s.Reconnects)
			}
			nd.stop()
		}
	})
}

// A handler that is registered while links come and go is known to every peer
// in the end, whichever came first.
func TestHandlersRegisteredDuringReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		for i := range 300 {
			time.Sleep(11 * time.Second)
			n.cut(b.Local())
			synctest.Wait()
			id := HandlerID(fmt.Sprint("late-", i))
			registered := make(chan error)
			go func() {
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
				registered <- b.RegisterSingle(id, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
			}()
			mustLink(t, a, b)
			if err := <-registered; err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !a.Connection(b.Local()).Supports(id) {
				t.Fatalf("%s is not known", id)
			}
			if _, err := b.Connection(b.Local()).Request(t.Context(), id, nil); err != nil {
				t.Fatalf("%s is not known to oneself: %v", id, err)
			}
		}
	})
}
