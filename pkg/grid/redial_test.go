package grid

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

func TestBackoffDoublesUpToItsCap(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		failures int
		top      time.Duration
	}{
		{0, 100 * time.Millisecond}, {1, 100 * time.Millisecond}, {2, 200 * time.Millisecond}, {3, 400 * time.Millisecond},
		{9, 25600 * time.Millisecond}, {10, 30 * time.Second}, {11, 30 * time.Second}, {1 << 30, 30 * time.Second},
	} {
		if got := backoffTop(&l, c.failures); got != c.top {
			t.Errorf("after %d failures up to %v, expected is %v", c.failures, got, c.top)
		}
	}
}

// A peer that can't be reached is dialled again and again, more and more
// slowly, and is logged once (field G15); it costs next to nothing meanwhile
// (W17), and is linked soon after it is there.
func TestPeerThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.start(t, "node-0:1", []string{"node-1:1"})
		time.Sleep(10 * time.Minute)
		if got := n.dialsTo("node-1:1"); got < 30 || got > 80 {
			t.Errorf("%d dials in ten minutes", got)
		}
		if got := a.logs.with("WARN", "node-1:1"); len(got) != 1 {
			t.Errorf("logged is %q", got)
		}
		c := a.Connection("node-1:1")
		began := time.Now()
		if _, err := c.Request(t.Context(), "echo", nil); !errors.Is(err, ErrNotLinked) || OutcomeOf(err) != NotSent || time.Since(began) != 0 {
			t.Errorf("a call: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Wait: %v", err)
		}
		s := a.Stats()
		if l := s.Links[0]; l.State == StateLinked || time.Since(l.Since) < 9*time.Minute || !strings.Contains(l.LastError, "connection refused") {
			t.Errorf("its statistics: %+v", l)
		}
		if int(s.DialFailures) != n.dialsTo("node-1:1") {
			t.Errorf("%d failures are counted", s.DialFailures)
		}
		b := n.start(t, "node-1:1", []string{"node-0:1"})
		began = time.Now()
		mustLink(t, a, b)
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("linked after %v", took)
		}
	})
}

// 1000 peers that are not there cost no goroutine while they wait, and
// at most 4 KiB each (field W17).
func TestPeersThatAreNotThereAreCheap(t *testing.T) {
	n := newNetwork()
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("peer-%d.example:1", i))
	}
	a := n.start(t, "node-0:1", nil, func(o *Options) { o.Limits.BackoffBase, o.Limits.BackoffCap = time.Minute, time.Hour })
	dialled := 0
	for _, name := range list {
		if dials(a.Local(), name) {
			dialled++
		}
	}
	before := measure()
	if err := a.SetPeers(list); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are dialled once", func() bool { return int(a.Stats().DialFailures) >= dialled })
	eventually(t, "no goroutine is left", func() bool { return measure().goroutines <= before.goroutines })
	if each := (int64(measure().heap) - int64(before.heap)) / 1000; each > 4<<10 {
		t.Errorf("%d bytes for each", each)
	}
}

// A link that comes and goes is dialled no more than once in the longest
// back-off (fault row 10).
func TestFlappingLinkIsDialledSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.acceptor(t, "node-1:1", func(ws *websocket.Conn, _ *http.Request) {
			_, _, _ = ws.ReadMessage()
			h := helloOf("node-1:1", "node-0:1")
			h.Token = linkToken{1}
			body, _ := appendHello(nil, h, testRoom)
			_ = ws.WriteMessage(websocket.BinaryMessage, appendGreeting(greetHello, [proofSize]byte{}, body))
			time.Sleep(time.Second)
		})
		a := n.start(t, "node-0:1", []string{"node-1:1"})
		time.Sleep(time.Minute)
		first := n.dialsTo("node-1:1")
		if first > 12 {
			t.Errorf("%d dials in the first minute", first)
		}
		time.Sleep(9 * time.Minute)
		if got := n.dialsTo("node-1:1") - first; got > 18 || got < 5 {
			t.Errorf("%d dials in the nine minutes after it", got)
		}
		if s := a.Stats(); s.Reconnects["connection-lost"] == 0 {
			t.Errorf("reconnects are %v", s.Reconnects)
		}
	})
}

// A settled link that is lost is remade within the jitter.
func TestLostLinkIsRemadeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		for range 20 {
			time.Sleep(11 * time.Second)
			n.cut(b.Local())
			synctest.Wait()
			if s := a.Connection(b.Local()).State(); s == StateLinked {
				t.Fatal("the cut had no effect")
			}
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			if s := a.Connection(b.Local()).State(); s != StateLinked {
				t.Fatalf("it is %v when the jitter is over", s)
			}
			mustLink(t, a, b)
			mustLink(t, b, a)
		}
		s := a.Stats()
		if s.Reconnects["connection-lost"] != 20 || len(s.Reconnects) != 1 {
			t.Errorf("reconnects are %v", s.Reconnects)
		}
		if s.Links[0].LastError != "" {
			t.Errorf("a live link has the error %q", s.Links[0].LastError)
		}
	})
}

// All peers of a node that comes back do not storm it: no more handshakes at
// once than its limit, and all up soon (fault row 11).
func TestThunderingReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var last *node
		var running, peak atomic.Int64
		slow := func(o *Options) { // handshakes take a while at the one who is stormed
			o.Auth = &Auth{Tokens: func() [][]byte {
				if last != nil && o.Local == "node-64:1" {
					peak.Store(max(peak.Load(), running.Add(1)))
					time.Sleep(20 * time.Millisecond)
					running.Add(-1)
				}
				return [][]byte{oldToken}
			}}
		}
		names := []string{"node-64:1"}
		var all []*node
		for i := range 200 { // those who dial it
			if name := fmt.Sprintf("node-%d:1", i); dials(name, names[0]) && len(all) < 63 {
				all = append(all, n.start(t, name, names, slow))
				names = append(names, name)
			}
		}
		for _, nd := range all {
			if err := nd.SetPeers(names[:1]); err != nil {
				t.Fatal(err)
			}
		}
		storm := n.start(t, names[0], names, slow)
		for _, nd := range all {
			mustLink(t, nd, storm)
		}
		time.Sleep(time.Minute)
		last = storm
		n.cut(names[0])
		synctest.Wait()
		began := time.Now()
		for _, nd := range all {
			mustLink(t, nd, storm)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("all are up after %v", took)
		}
		if got := peak.Load(); got > 32 || got < 10 {
			t.Errorf("%d handshakes at once", got)
		}
	})
}

// Names that do not resolve yet, in any order, or not any more, or slowly, or
// to another address: links that are up stay, the others come with their name
// (fault row 12; field case 19, G21, K1, K2).
func TestNamesThatAppearLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var mu sync.Mutex
		known := map[string]string{}
		resolve := func(ctx context.Context, name string) (string, error) {
			mu.Lock()
			addr := known[name]
			mu.Unlock()
			switch addr {
			case "":
				return "", &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			case "slow":
				<-ctx.Done()
				return "", ctx.Err()
			}
			return addr, nil
		}
		set := func(name, addr string) {
			mu.Lock()
			defer mu.Unlock()
			known[name] = addr
		}
		names := make([]string, 6)
		for i := range names {
			names[i] = fmt.Sprintf("node-%d:1", i)
		}
		var all []*node
		for _, name := range names {
			all = append(all, n.start(t, name, names, func(o *Options) { o.Resolve = resolve }))
		}
		time.Sleep(2 * time.Minute)
		for _, i := range rand.Perm(len(names)) {
			set(names[i], names[i])
			time.Sleep(time.Duration(rand.IntN(5000)) * time.Millisecond)
		}
		began := time.Now()
		for _, a := range all {
			for _, b := range all {
				mustLink(t, a, b)
			}
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("all are linked %v after the last name", took)
		}
		// All names go away: links stay.
		for i, name := range names {
			set(name, []string{"", "slow"}[i%2])
		}
		before := all[0].Stats()
		time.Sleep(time.Hour)
		for _, a := range all {
			for _, b := range all {
				mustLink(t, a, b)
			}
		}
		if got := all[0].Stats().Reconnects; len(got) != len(before.Reconnects) {
			t.Errorf("links were lost: %v", got)
		}
		// node-1 moves: whoever dials it finds it at its new address.
		_ = all[1].srv.Close()
		n.cut(names[1])
		synctest.Wait()
		moved := n.listen("10.0.0.9:1")
		srv := all[1].NewServer()
		go func() { _ = srv.Serve(moved) }()
		defer func() { _ = srv.Close() }()
		for i, name := range names {
			set(name, name)
			if i == 1 {
				set(name, "10.0.0.9:1")
			}
		}
		for _, a := range all {
			mustLink(t, a, all[1])
		}
		if n.dialsTo("10.0.0.9:1") == 0 {
			t.Error("nobody has dialled the new address")
		}
	})
}

// A name without an address is dialled by the hint of the signed list; one
// that resolves is not.
func TestHintServesUntilTheNameResolves(t *testing.T) {
	for name, c := range map[string]struct {
		resolve error
		want    string
	}{
		"not yet": {&net.DNSError{Err: "no such host", IsNotFound: true}, "10.1.2.3:1"},
		"it does": {nil, "node-1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				p := newPublisher()
				a := n.start(t, "node-0:1", nil, func(o *Options) {
					o.Resolve = func(_ context.Context, name string) (string, error) { return name, c.resolve }
				})
				l := p.sign(t, peers.List{Epoch: 1, Names: []string{"node-0:1", "node-1:1"}, Hints: map[string]string{"node-1:1": "10.1.2.3"}})
				if err := a.SetPeerList(l); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for _, addr := range []string{"10.1.2.3:1", "node-1:1"} {
					if got := n.dialsTo(addr); (got > 0) != (addr == c.want) {
						t.Errorf("%s was dialled %d times", addr, got)
					}
				}
			})
		})
	}
}

// A node that is on its own list under another name dials itself once for
// each list, and says so (fault row 8).
func TestDialToOneselfIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		alias := "node-1:1"
		a := n.start(t, "node-0:1", nil, func(o *Options) {
			o.Resolve = func(context.Context, string) (string, error) { return "node-0:1", nil }
		})
		if err := a.SetPeers([]string{alias}); err != nil { // only now does anybody listen there
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := n.dialsTo(a.Local()); got != 1 {
			t.Errorf("%d dials", got)
		}
		if err := a.SetPeers([]string{alias, "node-2:1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := n.dialsTo(a.Local()); got > 3 { // node-2, too, leads here
			t.Errorf("%d dials after another list", got)
		}
		if got := a.logs.with("WARN", "code=self", "take that name off its list"); len(got) == 0 {
			t.Errorf("logged is %q", a.logs.with("WARN"))
		}
	})
}
