package grid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// callers makes calls on each connection, one after the other in four lines,
// until stop is closed. Every failure is an error of the test.
func callers(t testing.TB, stop chan struct{}, conns ...*Connection) (wait func() int64) {
	var all sync.WaitGroup
	var count atomic.Int64
	for _, c := range conns {
		for range 4 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(40 * time.Millisecond):
					}
					if _, err := c.Request(context.Background(), "echo", []byte("hello")); err != nil {
						t.Errorf("call to %s: %v", c.Name(), err)
						return
					}
					count.Add(1)
				}
			})
		}
	}
	return func() int64 {
		all.Wait()
		return count.Load()
	}
}

// rotatingPair is a pair whose certificates are counted as they are asked for.
func rotatingPair(t testing.TB, n *network, dialerAge, acceptorAge time.Duration) (a, b *node, asked *[2]atomic.Int64) {
	t.Helper()
	ca := newAuthority(t)
	asked = new([2]atomic.Int64)
	names := []string{dialerName, acceptorName}
	with := func(i int, host string, age time.Duration) func(*Options) {
		cert := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(20 * 365 * 24 * time.Hour) }, host)
		return secured(&TLS{
			Certificate: func() (*tls.Certificate, error) { asked[i].Add(1); return &cert, nil },
			Roots:       func() (*x509.CertPool, error) { return ca.pool(), nil },
			MaxAge:      age,
		})
	}
	b = n.start(t, acceptorName, names, with(1, acceptorHost, acceptorAge))
	a = n.start(t, dialerName, names, with(0, dialerHost, dialerAge))
	mustLink(t, a, b)
	mustLink(t, b, a)
	return a, b, asked
}

// A link that its acceptor wants to have remade as soon as it is up is, though its
// dialer is still telling of it.
func TestRenewalIsAskedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		_, b := n.pair(t, func(o *Options) {
			o.OnEvent = func(e Event) {
				if e.Kind == EventLinked && e.Dialed {
					time.Sleep(time.Second)
				}
			}
		})
		b.Rotate()
		time.Sleep(b.o.Limits.SettledAfter + 2*time.Second)
		if got := b.Stats().Reconnects["rotated"]; got != 1 {
			t.Errorf("remade %d times", got)
		}
	})
}

// A link whose handshake runs while links are to be remade is remade, too: it may
// be one that an authority vouched for which has just gone.
func TestHandshakeDuringRotateIsRemade(t *testing.T) {
	for name, tt := range map[string]struct {
		side int
		at   int64 // when its roots are asked for the how manieth time
	}{
		"the dialer rotates":        {0, 2}, // the first time is when it starts
		"the acceptor rotates":      {1, 2},
		"the acceptor rotates late": {1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				ca := newAuthority(t)
				var nodes [2]*node
				var asked atomic.Int64
				with := func(i int, host string) func(*Options) {
					cert := ca.issue(t, nil, host)
					return secured(&TLS{
						Certificate: func() (*tls.Certificate, error) { return &cert, nil },
						Roots: func() (*x509.CertPool, error) {
							if i == tt.side && asked.Add(1) == tt.at {
								nodes[i].Rotate()
							}
							return ca.pool(), nil
						},
					})
				}
				names := []string{dialerName, acceptorName}
				nodes[1] = n.start(t, acceptorName, names, with(1, acceptorHost))
				nodes[0] = n.start(t, dialerName, nil, with(0, dialerHost))
				a := nodes[0]
				if err := a.SetPeers(names); err != nil {
					t.Fatal(err)
				}
				mustLink(t, a, nodes[1])
				time.Sleep(a.o.Limits.SettledAfter + 2*time.Second)
				if got := a.Stats().Reconnects["rotated"]; got != 1 {
					t.Errorf("remade %d times", got)
				}
			})
		})
	}
}

// Links are remade with the certificates of the day before they get old,
// whichever side's MaxAge it is, under calls in both directions and with one
// that runs all the while, without a failed call (fault rows 52, 53).
func TestLinksAreRemadeBeforeTheyGetOld(t *testing.T) {
	const day = 24 * time.Hour
	for name, ages := range map[string][2]time.Duration{
		"the dialer's age":   {20 * time.Second, day},
		"the acceptor's age": {day, 20 * time.Second},
		"of both":            {20 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a, b, asked := rotatingPair(t, n, ages[0], ages[1])
				started, release := block(t, b)
				synctest.Wait()
				long := goRequest(a.Connection(b.Local()), "block")
				<-started
				before := [2]int64{asked[0].Load(), asked[1].Load()}
				stop := make(chan struct{})
				wait := callers(t, stop, a.Connection(b.Local()), b.Connection(a.Local()))
				time.Sleep(100 * time.Second)
				close(stop)
				if calls := wait(); calls < 1000 {
					t.Errorf("%d calls were made", calls)
				}
				close(release)
				if got := <-long; got.err != nil {
					t.Errorf("the call that ran all the while: %v", got.err)
				}
				for i, nd := range []*node{a, b} {
					if got := asked[i].Load() - before[i]; got < 3 || got > 12 {
						t.Errorf("%s has asked for its certificate %d times in 100 s", nd.Local(), got)
					}
					if r := nd.Stats().Reconnects; len(r) != 1 || r["rotated"] < 3 || r["rotated"] > 6 {
						t.Errorf("%s counts %v", nd.Local(), r)
					}
				}
				time.Sleep(10 * time.Second)
				if got := n.openEnds(); got > 4 {
					t.Errorf("%d ends of connections are open: old links stay", got)
				}
			})
		})
	}
}

// Rotate remakes all links now, from either side.
func TestRotateRemakesLinksNow(t *testing.T) {
	for _, byDialer := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			a, b, asked := rotatingPair(t, n, 0, 0)
			time.Sleep(time.Minute)
			stop := make(chan struct{})
			wait := callers(t, stop, a.Connection(b.Local()), b.Connection(a.Local()))
			before := [2]int64{asked[0].Load(), asked[1].Load()}
			oldA, _ := a.Connection(b.Local()).peer.link()
			oldB, _ := b.Connection(a.Local()).peer.link()
			if byDialer {
				a.Rotate()
			} else {
				b.Rotate()
			}
			time.Sleep(500 * time.Millisecond)
			for _, old := range []*link.Link{oldA, oldB} { // a caller that has looked the link up and was slow
				if _, err := old.Call(t.Context(), &link.Call{Handler: "echo"}); err != nil {
					t.Errorf("by the dialer %v: a call that had its link already: %v", byDialer, err)
				}
			}
			time.Sleep(1500 * time.Millisecond)
			close(stop)
			wait()
			for i := range before {
				if got := asked[i].Load() - before[i]; got == 0 {
					t.Errorf("by the dialer %v: side %d has not asked for its certificate", byDialer, i)
				}
			}
			synctest.Wait()
			if got := n.openEnds(); got != 2 {
				t.Errorf("by the dialer %v: %d ends of connections are open", byDialer, got)
			}
			// Asked again at once, a young link has to wait until it has settled.
			b.Rotate()
			b.Rotate()
			time.Sleep(time.Second)
			if got := n.dialsTo(b.Local()); got != 2 {
				t.Errorf("%d dials", got)
			}
		})
	}
}

// A link that can't be remade ends when its time is over: trust that was
// withdrawn does not live on in old links (fault row 53).
func TestLinkThatCanNotBeRemadeEnds(t *testing.T) {
	for _, byDialer := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			ca, next := newAuthority(t), newAuthority(t)
			var trusted atomic.Pointer[authority]
			trusted.Store(ca)
			names := []string{dialerName, acceptorName}
			with := func(host string, withdraw bool) func(*Options) {
				cert := ca.issue(t, nil, host)
				return func(o *Options) {
					secured(&TLS{
						Certificate: func() (*tls.Certificate, error) { return &cert, nil },
						Roots: func() (*x509.CertPool, error) {
							if withdraw {
								return trusted.Load().pool(), nil
							}
							return ca.pool(next), nil
						},
					})(o)
					o.Limits.RotateGrace = time.Minute
				}
			}
			b := n.start(t, acceptorName, names, with(acceptorHost, !byDialer))
			a := n.start(t, dialerName, names, with(dialerHost, byDialer))
			mustLink(t, a, b)
			time.Sleep(time.Minute)
			trusted.Store(next)
			who := a
			if !byDialer {
				who = b
			}
			who.Rotate()
			time.Sleep(50 * time.Second)
			mustLink(t, a, b) // it has its time
			time.Sleep(100 * time.Second)
			if a.Connection(b.Local()).State() == StateLinked || b.Connection(a.Local()).State() == StateLinked {
				t.Errorf("by the dialer %v: a link of the old trust is there after its time", byDialer)
			}
		})
	}
}
