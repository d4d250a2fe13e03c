package feed

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// waitFor is a context that ends with a channel.
func waitFor(end <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer cancel(); <-end }()
	return ctx
}

func newAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPoolDelivers: lists reach every pod over one warm connection each, and what
// pods say is believed where a certificate proves it.
func TestPoolDelivers(t *testing.T) {
	authority := newAuthority(t)
	for name, trust := range map[string]Trust{
		"verified": {TLS: true, CA: authority.PEM}, "no authority known": {TLS: true}, "plain": {},
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []*fakeNode
			for i := range 5 {
				pod := fmt.Sprintf("demo-%d", i)
				if trust.TLS {
					nodes = append(nodes, startNode(t, pod, authority, host(pod)))
				} else {
					nodes = append(nodes, startNode(t, pod, nil, ""))
				}
			}
			p := startPool(t)
			for epoch := range uint64(3) {
				p.Set(demoKey, delivery(t, epoch+1, trust, nodes...))
				until(t, "every pod says that it has the list", func() bool {
					acks := p.Acks(demoKey)
					for _, n := range nodes {
						if a := acks[n.target.Pod]; a.Epoch != epoch+1 || !a.Contains || a.Err != "" {
							return false
						}
					}
					return len(acks) == len(nodes)
				})
			}
			for pod, a := range p.Acks(demoKey) {
				if a.Verified != (len(trust.CA) > 0) {
					t.Errorf("%s: verified is %v", pod, a.Verified)
				}
			}
			for _, n := range nodes {
				n.set(func(n *fakeNode) {
					if n.puts != 3 || len(n.conns) != 1 {
						t.Errorf("%s: %d lists over %d connections, want 3 over 1", n.target.Pod, n.puts, len(n.conns))
					}
				})
			}
		})
	}
}

// TestPoolHostile: what a node may do, what the pool says of it, and that it is
// never believed.
func TestPoolHostile(t *testing.T) {
	t.Parallel()
	authority, other := newAuthority(t), newAuthority(t)
	answer := func(change func(a *adminapi.Ack)) func(n *fakeNode) {
		return func(n *fakeNode) { change(&n.ack) }
	}
	expires := func(at time.Time) func(n *fakeNode) {
		return answer(func(a *adminapi.Ack) { a.CertificateExpires = &at })
	}
	fault := func(h http.HandlerFunc) func(n *fakeNode) { return func(n *fakeNode) { n.fault = h } }
	for name, test := range map[string]struct {
		by    *certs.Authority
		cert  string
		spoil func(n *fakeNode)
		want  string // in Err
	}{
		"another's name": {spoil: answer(func(a *adminapi.Ack) { a.Name = "demo-7.demo.shop.svc:7700" }), want: "calls itself"},
		"another grid":   {spoil: answer(func(a *adminapi.Ack) { a.Grid = "bank/demo" }), want: "is of the grid"},
		"numbers":        {spoil: answer(func(a *adminapi.Ack) { a.Links.Up = 1 << 40 }), want: "cannot be true"},
		"negative":       {spoil: answer(func(a *adminapi.Ack) { a.Links.Congested = -1 }), want: "cannot be true"},
		"many keys":      {spoil: answer(func(a *adminapi.Ack) { a.Keys = make([]string, 1000) }), want: "cannot be true"},
		// What cannot be written as a date would keep the status of the whole Grid
		// from being written.
		"the year 10000":      {spoil: expires(time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -23*3600))), want: "cannot be true"},
		"the year -1":         {spoil: expires(time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 23*3600))), want: "cannot be true"},
		"the zero time":       {spoil: expires(time.Time{}), want: "cannot be true"},
		"another authority":   {by: other, want: "certificate"},
		"another pod's":       {cert: "demo-7.demo.shop.svc", want: "certificate"},
		"another namespace's": {cert: "demo-0.demo.bank.svc", want: "certificate"},
		"no trust in us":      {spoil: func(n *fakeNode) { n.trust.Keys[0] = public(testKey(t, 9)) }, want: "refused: peer list without a valid signature"},
		"says yes, means no": {spoil: fault(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"name":"demo-0.demo.shop.svc:7700","grid":"shop/demo","epoch":0}`)
		}), want: "uses an older one"},
		"no JSON":   {spoil: fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), want: "is it a node?"},
		"not found": {spoil: fault(http.NotFound), want: "answered 404"},
		"redirect": {spoil: fault(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}), want: "answered 307"},
		"endless answer": {spoil: fault(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}), want: "more than"},
		"endless refusal": {spoil: fault(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusConflict)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}), want: "more than"},
		"endless header": {spoil: fault(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }), want: "headers"},
		"cut": {spoil: fault(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}), want: "cut the connection"},
		"aborts": {spoil: fault(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), want: "cut the connection"},
		"hangs": {spoil: fault(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the other side has gone
			<-r.Context().Done()
		}), want: "does not answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, cert := authority, host("demo-0")
			if test.by != nil {
				by = test.by
			}
			if test.cert != "" {
				cert = test.cert
			}
			bad := startNode(t, "demo-0", by, cert)
			if test.spoil != nil {
				bad.set(test.spoil)
			}
			good := startNode(t, "demo-1", authority, host("demo-1"))
			p := startPool(t)
			p.Set(demoKey, delivery(t, 1, Trust{TLS: true, CA: authority.PEM}, bad, good))
			until(t, "an error", func() bool { return p.Acks(demoKey)["demo-0"].Err != "" })
			a := p.Acks(demoKey)["demo-0"]
			if !strings.Contains(a.Err, test.want) || len(a.Err) > maxText+64 {
				t.Errorf("got %q, want %q", a.Err, test.want)
			}
			if a.Verified && name != "no trust in us" && name != "says yes, means no" { // these are the pod, whatever else
				t.Error("believed")
			}
			if a.Epoch != 0 {
				t.Errorf("epoch %d", a.Epoch)
			}
			until(t, "the other pod has the list", func() bool { return p.Acks(demoKey)["demo-1"].Epoch == 1 })
		})
	}
}

// TestPoolRefusedStillHeard: a node that refuses the list says how it is.
func TestPoolRefusedStillHeard(t *testing.T) {
	authority := newAuthority(t)
	n := startNode(t, "demo-0", authority, host("demo-0"))
	n.trust.Keys[0] = public(testKey(t, 9))
	n.ack.Keys = []string{"0123456789abcdef"}
	p := startPool(t)
	p.Set(demoKey, delivery(t, 1, Trust{TLS: true, CA: authority.PEM}, n))
	until(t, "it is heard", func() bool {
		a := p.Acks(demoKey)["demo-0"]
		return a.Verified && a.Err != "" && len(a.Keys) == 1 && a.Ready
	})
	// It learns the key, as by its mounted ConfigMap, and is asked again soon.
	n.set(func(n *fakeNode) { n.trust.Keys = append(n.trust.Keys, public(testKey(t, 1))) })
	until(t, "it has the list", func() bool { a := p.Acks(demoKey)["demo-0"]; return a.Epoch == 1 && a.Err == "" })
}

// TestPoolAhead: what a node that refuses the list shows counts if it is a list of
// the mesh that a trusted key signed, and newer or of the same epoch.
func TestPoolAhead(t *testing.T) {
	list := func(epoch uint64, change func(l *peers.List), key byte) peers.List {
		l := peers.List{Names: peerList(0), Grid: "shop/demo", MeshID: testMesh, Epoch: epoch}
		change(&l)
		raw, err := peers.Sign(l, testKey(t, key))
		if err != nil {
			t.Fatal(err)
		}
		if l, err = peers.Verify(raw, peers.Trust{Grid: l.Grid, Keys: []ed25519.PublicKey{public(testKey(t, key))}}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	same := func(*peers.List) {}
	other := func(l *peers.List) { l.Names = peerList(0, 1) }
	many := func(l *peers.List) {
		l.Names = nil
		for i := range peers.MaxNames {
			sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
			l.Names = append(l.Names, hex.EncodeToString(sum[:16])+".demo.shop.svc:7700")
		}
		slices.Sort(l.Names)
	}
	for name, test := range map[string]struct {
		uses peers.List
		want uint64
	}{
		"newer":             {list(9, same, 1), 9},
		"newer and large":   {list(9, many, 1), 9},
		"of the same epoch": {list(3, other, 1), 4},
		"of the last epoch": {list(peers.MaxEpoch, same, 1), peers.MaxEpoch},
		"another's":         {list(9, same, 2), 0},
		"of another mesh":   {list(9, func(l *peers.List) { l.MeshID = "ffffffffffffffffffffffffffffffff" }, 1), 0},
		"of another grid":   {list(9, func(l *peers.List) { l.Grid = "shop/other" }, 1), 0},
		"older":             {list(2, same, 1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, "demo-0", nil, "")
			n.list = test.uses
			var told atomic.Int64
			p := startPool(t)
			p.behind = func(grid types.NamespacedName) {
				if grid == demoKey {
					told.Add(1)
				}
			}
			p.Set(demoKey, delivery(t, 3, Trust{}, n))
			until(t, "it has answered", func() bool { a := p.Acks(demoKey)["demo-0"]; return a.Epoch > 0 || a.Err != "" })
			a := p.Acks(demoKey)["demo-0"]
			if a.Ahead != test.want {
				t.Errorf("ahead is %d, want %d; it says %+v", a.Ahead, test.want, a)
			}
			if test.want == 0 {
				return
			}
			until(t, "the feed is told", func() bool { return told.Load() == 1 })
		})
	}
}

// TestPoolHides: a node that says it has a newer list is brought the committed one
// for the sake of its refusal, until it has shown what it has.
func TestPoolHides(t *testing.T) {
	o := &order{meshID: testMesh, epoch: 3}
	for name, test := range map[string]struct {
		ack  Ack
		want bool
	}{
		"not heard":         {Ack{}, false},
		"the same":          {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 3}}, false},
		"newer":             {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 4}}, true},
		"newer and shown":   {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 4}, Ahead: 4}, false},
		"newer than shown":  {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 5}, Ahead: 4}, true},
		"of another mesh":   {Ack{Ack: adminapi.Ack{MeshID: "x", Epoch: 4}}, false},
		"older":             {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 2}}, false},
		"of the same clash": {Ack{Ack: adminapi.Ack{MeshID: testMesh, Epoch: 3}, Ahead: 4}, false},
	} {
		if got := test.ack.hides(o); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if (&Ack{Ack: adminapi.Ack{Epoch: 1}}).hides(new(order)) {
		t.Error("before the first list")
	}
}

// TestPoolDeadDelayNobody: pods that hang, more than there are places, do not keep
// the others from a list.
func TestPoolDeadDelayNobody(t *testing.T) {
	hole := blackHole(t)
	var nodes []*fakeNode
	for i := range 10 {
		nodes = append(nodes, startNode(t, fmt.Sprintf("demo-%d", i), nil, ""))
	}
	dead := quickSlots*2 + slowSlots
	p := startPool(t)
	with := func(epoch uint64) Delivery {
		d := delivery(t, epoch, Trust{}, nodes...)
		var all []Target
		for i := range dead {
			pod := fmt.Sprintf("demo-%d", 100+i)
			all = append(all, Target{Pod: pod, Address: hole, Name: demo(0, 1).peer(pod), Host: host(pod)})
		}
		d.Targets = append(all, d.Targets...)
		return d
	}
	// The dead hang for attemptTime; the living have the list long before.
	start := time.Now()
	for epoch := uint64(1); epoch <= 3; epoch++ {
		p.Set(demoKey, with(epoch))
		until(t, "the living have the list", func() bool {
			for _, n := range nodes {
				if n.epoch() != epoch {
					return false
				}
			}
			return true
		})
	}
	for pod, a := range p.Acks(demoKey) {
		if len(pod) == len("demo-100") && !a.Heard.IsZero() {
			t.Errorf("%s was heard", pod)
		}
	}
	t.Logf("three lists beside %d dead pods took %v", dead, time.Since(start))
}

// blackHole takes connections and says nothing.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String() // the kernel accepts as many as fit its backlog, the rest hang in connect
}

// TestPoolRestart: another process behind a name is another member: what the one
// before said does not count for it, and it gets the list.
func TestPoolRestart(t *testing.T) {
	first, second := startNode(t, "demo-0", nil, ""), startNode(t, "demo-0", nil, "")
	second.set(func(n *fakeNode) { n.ack.Instance = "2" })
	p := startPool(t)
	p.Set(demoKey, delivery(t, 1, Trust{}, first))
	until(t, "the first has it", func() bool { return p.Acks(demoKey)["demo-0"].Instance == "1" })
	second.target.UID = "another"
	p.Set(demoKey, delivery(t, 1, Trust{}, second))
	if a := p.Acks(demoKey)["demo-0"]; a.Instance == "1" {
		t.Error("the new pod has the old one's answer")
	}
	until(t, "the second has it", func() bool { return p.Acks(demoKey)["demo-0"].Instance == "2" && second.epoch() == 1 })
}

// TestPoolNewAuthority: with other authorities connections are made anew.
func TestPoolNewAuthority(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	n := startNode(t, "demo-0", next, host("demo-0"))
	p := startPool(t)
	d := delivery(t, 1, Trust{TLS: true, CA: old.PEM}, n)
	p.Set(demoKey, d)
	until(t, "it is refused", func() bool { return strings.Contains(p.Acks(demoKey)["demo-0"].Err, "certificate") })
	d.Trust.CA = append(append([]byte{}, old.PEM...), next.PEM...)
	p.Set(demoKey, d)
	until(t, "it is believed", func() bool { a := p.Acks(demoKey)["demo-0"]; return a.Verified && a.Epoch == 1 && a.Err == "" })
}

// TestPoolForget: members end with their pod and their Grid.
func TestPoolForget(t *testing.T) {
	a, b := startNode(t, "demo-0", nil, ""), startNode(t, "demo-1", nil, "")
	p := startPool(t)
	p.Set(demoKey, delivery(t, 1, Trust{}, a, b))
	until(t, "both have it", func() bool { return a.epoch() == 1 && b.epoch() == 1 })
	p.Set(demoKey, delivery(t, 2, Trust{}, a))
	until(t, "the one left has the next", func() bool { return a.epoch() == 2 })
	if acks := p.Acks(demoKey); len(acks) != 1 || p.count.Load() != 1 {
		t.Errorf("got %d answers of %d members", len(acks), p.count.Load())
	}
	p.Forget(demoKey)
	p.Forget(demoKey)
	if acks := p.Acks(demoKey); acks != nil || p.count.Load() != 0 {
		t.Errorf("got %v of %d members", acks, p.count.Load())
	}
	if b.epoch() != 1 {
		t.Error("a pod that is no target got the list")
	}
}

// TestPace: how often, at the ends.
func TestPace(t *testing.T) {
	if got := pollAfter(3); got != pollEvery {
		t.Errorf("3 members: %v", got)
	}
	if got := pollAfter(20000); got != 40*time.Second {
		t.Errorf("20,000 members: %v", got)
	}
	last := time.Duration(0)
	for failed := range 40 {
		got := backoff(failed)
		if got < retryFirst*9/10 || got > pollEvery*11/10 || failed < 8 && got < last {
			t.Errorf("after %d failures: %v, before %v", failed, got, last)
		}
		last = got * 8 / 10
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"good": "good", "a\x00b\nc\x1b[31m": "a b c [31m", "\xff": "?", strings.Repeat("é", 1000): "",
	} {
		got := plain(text)
		if want != "" && got != want || len(got) > maxText {
			t.Errorf("%.20q: got %.40q of %d bytes", text, got, len(got))
		}
	}
}
