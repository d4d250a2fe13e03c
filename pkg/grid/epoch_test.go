package grid

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// publisher signs lists.
type publisher struct {
	key  ed25519.PrivateKey
	mesh string
}

func newPublisher() publisher {
	_, key, _ := ed25519.GenerateKey(nil)
	return publisher{key, peers.NewMeshID()}
}

func (p publisher) trust() peers.Trust {
	return peers.Trust{Keys: []ed25519.PublicKey{p.key.Public().(ed25519.PublicKey)}, Grid: "default"}
}

func (p publisher) sign(t testing.TB, l peers.List) peers.List {
	t.Helper()
	if l.Grid == "" {
		l.Grid = "default"
	}
	l.MeshID = p.mesh
	slices.Sort(l.Names)
	raw, err := peers.Sign(l, p.key)
	if err != nil {
		t.Fatal(err)
	}
	trust := p.trust()
	trust.Grid = l.Grid
	signed, err := peers.Verify(raw, trust)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (p publisher) list(t testing.TB, epoch uint64, names ...string) peers.List {
	t.Helper()
	return p.sign(t, peers.List{Names: names, Epoch: epoch})
}

// Lists are counted: an older one never follows a newer one, one epoch has one
// list, and a list of another grid, or without a count, is refused (fault rows
// 62-64).
func TestEpochsOnlyRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.start(t, "node-0:1", nil)
		p, q := newPublisher(), newPublisher()
		for i, step := range []struct {
			l     peers.List
			err   error
			peers int
		}{
			{p.sign(t, peers.List{Grid: "other", Epoch: 1, Names: []string{"node-0:1"}}), peers.ErrForeign, 0},
			{p.list(t, 5, "node-0:1", "node-1:1"), nil, 1},
			{p.list(t, 5, "node-0:1", "node-1:1"), nil, 1}, // the same again
			{p.list(t, 4, "node-0:1", "node-1:1", "node-2:1"), ErrStaleList, 1},
			{p.list(t, 5, "node-0:1", "node-2:1"), peers.ErrEpochConflict, 1},
			{q.list(t, 6, "node-0:1", "node-2:1"), peers.ErrForeign, 1},
			{p.sign(t, peers.List{Grid: "other", Epoch: 7, Names: []string{"node-0:1"}}), peers.ErrForeign, 1},
			{peers.List{Names: []string{"node-0:1", "node-2:1"}}, peers.ErrUnsigned, 1},
			{p.list(t, 6, "node-0:1", "node-1:1", "node-2:1"), nil, 2},
			{p.sign(t, peers.List{Epoch: 7, Names: []string{"node-0:1"}, Topology: peers.TopologyOnDemand}), errors.ErrUnsupported, 2},
			{p.sign(t, peers.List{Epoch: 8, AllowEmpty: true}), nil, 0},
			{p.list(t, 9, "node-0:1", "node-3:1"), nil, 1},
		} {
			if err := a.SetPeerList(step.l); !errors.Is(err, step.err) {
				t.Errorf("step %d: %v, expected is %v", i, err, step.err)
			}
			if got := len(a.Connections()); got != step.peers {
				t.Errorf("step %d: %d peers, expected are %d", i, got, step.peers)
			}
		}
		if err := a.SetPeers([]string{"node-1:1"}); !errors.Is(err, peers.ErrUnsigned) {
			t.Errorf("SetPeers where a signed list is in force: %v", err)
		}
		if s := a.Stats(); s.ListEpoch != 9 || !s.Listed || a.PeerList().Epoch != 9 {
			t.Errorf("in force is epoch %d", s.ListEpoch)
		}
	})
}

// A newer list without oneself means that one is removed: all peers are; a
// still newer one with oneself brings them back.
func TestNewerListWithoutOneselfRemovesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		p := newPublisher()
		a, b := n.start(t, "node-0:1", nil), n.start(t, "node-1:1", nil)
		for _, nd := range []*node{a, b} {
			if err := nd.SetPeerList(p.list(t, 1, a.Local(), b.Local())); err != nil {
				t.Fatal(err)
			}
		}
		mustLink(t, a, b)
		old := b.Connection(a.Local())
		if err := b.SetPeerList(p.list(t, 2, a.Local(), "node-2:1")); err != nil {
			t.Fatal(err)
		}
		if len(b.Connections()) != 0 || old.State() != StateRemoved || b.Stats().Listed || b.Stats().ListEpoch != 2 {
			t.Errorf("%d peers are left", len(b.Connections()))
		}
		for _, nd := range []*node{a, b} {
			if err := nd.SetPeerList(p.list(t, 3, a.Local(), b.Local())); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		mustLink(t, a, b)
		mustLink(t, b, a)
	})
}

// The side that is ahead hands its signed list over, whichever side that is,
// before or after a link is there; what is not signed well is not taken
// (fault row 62).
func TestNewerListIsHandedOver(t *testing.T) {
	p := newPublisher()
	const a, b = "node-0:1", "node-1:1" // a dials
	long := []string{a, b}
	for i := range 3000 { // a document of many chunks
		long = append(long, fmt.Sprintf("x%x%x.example:1", rand.Uint64(), i))
	}
	for name, c := range map[string]struct {
		dialer, acceptor peers.List
		linked           bool   // in the end
		epoch            uint64 // of both
	}{
		"acceptor lacks the dialer, dialer is ahead": {p.list(t, 2, a, b), p.list(t, 1, b, "node-2:1"), true, 2},
		"acceptor removed the dialer":                {p.list(t, 1, a, b), p.list(t, 2, b, "node-2:1"), false, 2},
		"both are in, dialer is ahead":               {p.list(t, 2, a, b), p.list(t, 1, a, b, "node-2:1"), true, 2},
		"both are in, acceptor is ahead":             {p.list(t, 1, a, b), p.list(t, 2, a, b, "node-2:1"), true, 2},
		"a long list":                                {p.list(t, 1, a, b), p.list(t, 2, long...), true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				var mu sync.Mutex
				saved := map[string][]uint64{}
				with := func(name string) func(*Options) {
					return func(o *Options) {
						o.VerifyList = func(raw []byte) (peers.List, error) { return peers.Verify(raw, p.trust()) }
						o.OnPeerList = func(l peers.List) {
							mu.Lock()
							defer mu.Unlock()
							if l.Raw() == nil {
								t.Error("a list that can't be saved")
							}
							saved[name] = append(saved[name], l.Epoch)
						}
						o.RemovalGrace = time.Second
						o.Limits.Dials = 1000 // the long list is mostly of nodes that aren't there
					}
				}
				nb := n.start(t, b, nil, with(b))
				na := n.start(t, a, nil, with(a))
				if err := nb.SetPeerList(c.acceptor); err != nil {
					t.Fatal(err)
				}
				if err := na.SetPeerList(c.dialer); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if ea, eb := na.Stats().ListEpoch, nb.Stats().ListEpoch; ea != c.epoch || eb != c.epoch {
					t.Errorf("epochs are %d and %d", ea, eb)
				}
				if c.linked {
					mustLink(t, na, nb)
					mustLink(t, nb, na)
				} else if len(na.Connections()) != 0 || na.Stats().Listed {
					t.Error("the dialer does not know that it is removed")
				}
				mu.Lock()
				defer mu.Unlock()
				behind := a
				if c.acceptor.Epoch < c.dialer.Epoch {
					behind = b
				}
				if len(saved) != 1 || !slices.Equal(saved[behind], []uint64{c.epoch}) {
					t.Errorf("OnPeerList was told %v", saved)
				}
			})
		})
	}
}

// A list that nobody of trust has signed changes nothing, whoever hands it over.
func TestForgedListIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		p, forger := newPublisher(), newPublisher()
		verify := func(o *Options) {
			o.VerifyList = func(raw []byte) (peers.List, error) { return peers.Verify(raw, p.trust()) }
		}
		b := n.start(t, "node-1:1", nil, verify)
		a := n.start(t, "node-0:1", nil)
		if err := b.SetPeerList(p.list(t, 1, b.Local(), "node-2:1")); err != nil {
			t.Fatal(err)
		}
		if err := a.SetPeerList(forger.list(t, 9, a.Local(), b.Local())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := b.Stats().ListEpoch; got != 1 {
			t.Errorf("epoch %d is in force", got)
		}
		if a.Connection(b.Local()).State() == StateLinked {
			t.Error("they are linked")
		}
		if got := n.dialsTo(b.Local()); got > 80 {
			t.Errorf("%d dials in ten minutes: the list was no reason to think again", got)
		}
		if got := len(b.logs.with("peer list from a peer refused")); got != 1 {
			t.Errorf("logged %d times in ten minutes", got)
		}
	})
}

// Lists without signatures that differ: no link, and both sides say which of
// them lacks whom (fault row 62).
func TestSplitListsSayWhoIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "node-1:1", []string{"node-2:1"})
		a := n.start(t, "node-0:1", []string{"node-1:1"})
		time.Sleep(time.Minute)
		if a.Connection(b.Local()).State() == StateLinked {
			t.Error("they are linked")
		}
		for _, nd := range []*node{a, b} {
			if got := nd.logs.with("code=not-a-peer", "node-0:1 is not in the peer list of node-1:1"); len(got) != 1 {
				t.Errorf("%s logs %q", nd.Local(), got)
			}
		}
	})
}

// The certificate's URI is demanded where the host does not tell one name from
// another, and where the user or the list says so.
func TestWhereTheURIIsDemanded(t *testing.T) {
	n := newNetwork()
	p := newPublisher()
	a := n.start(t, "shared.test:1", nil)
	for i, c := range []struct {
		l      peers.List
		name   string
		strict bool
		want   bool
	}{
		{peers.List{Names: []string{"shared.test:1", "b.test:1"}}, "b.test:1", false, false},
		{peers.List{Names: []string{"shared.test:1", "b.test:1"}}, "b.test:1", true, true},
		{peers.List{Names: []string{"shared.test:1", "b.test:1", "b.test:2"}}, "b.test:1", false, true},
		{peers.List{Names: []string{"shared.test:1", "shared.test:2"}}, "shared.test:2", false, true}, // with Local
		{peers.List{Names: []string{"shared.test.x:1", "shared.test:1"}}, "shared.test.x:1", false, false},
		{peers.List{Names: []string{"shared.test:1", "shared.test:10", "t:1"}}, "shared.test:1", false, true},
		{peers.List{Names: []string{"[::1]:1", "[::1]:2", "shared.test:1"}}, "[::1]:2", false, true},
		{peers.List{Names: []string{"shared.test:1", "b.test:1"}, Identity: peers.IdentityPod}, "b.test:1", false, true},
		{peers.List{Names: []string{"shared.test:1", "b.test:1"}, Identity: peers.IdentityGrid}, "b.test:1", false, false},
	} {
		c.l.Epoch = uint64(i + 1)
		if err := a.SetPeerList(p.sign(t, c.l)); err != nil {
			t.Fatal(err)
		}
		if got := a.members.Load().demandsURI(c.name, c.strict); got != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}

// Names of a list that somebody made by hand are sorted, and looked at.
func TestListMadeByHand(t *testing.T) {
	m := newNetwork().start(t, "b:1", nil)
	if err := m.SetPeerList(peers.List{Epoch: 3, Names: []string{"c:1", "b:1", "a:1"}}); err != nil {
		t.Fatal(err)
	}
	if got := m.PeerList().Names; !slices.IsSorted(got) || len(got) != 3 || !m.Summary().Listed {
		t.Errorf("%v, listed %v", got, m.Summary().Listed)
	}
	for _, names := range [][]string{{"a:1", "b:1", "a:1"}, {"a:1", "b:1", "C:1"}, {"a", "b:1"}} {
		if err := m.SetPeerList(peers.List{Epoch: 4, Names: names}); err == nil {
			t.Errorf("%v was taken", names)
		}
	}
	if got := len(m.Connections()); got != 2 {
		t.Errorf("%d peers", got)
	}
}
