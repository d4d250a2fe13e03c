package feed

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// fakeNode is a node's admin port. It verifies lists as a node does, and says
// which one it uses.
type fakeNode struct {
	target Target

	mu    sync.Mutex // protects what follows
	trust peers.Trust
	list  peers.List
	ack   adminapi.Ack // besides what list says
	puts  int
	gets  int
	fault http.HandlerFunc // instead of an answer
	conns map[string]bool  // by remote address
}

// startNode starts one; authority nil is plain HTTP. certName is the host that its
// certificate is of.
func startNode(t *testing.T, pod string, authority *certs.Authority, certName string) *fakeNode {
	t.Helper()
	return startNodeAt(t, "127.0.0.1:0", pod, authority, certName)
}

func startNodeAt(t *testing.T, address, pod string, authority *certs.Authority, certName string) *fakeNode {
	t.Helper()
	w := demo(0, 1000)
	n := &fakeNode{conns: make(map[string]bool), trust: peers.Trust{Grid: "shop/demo", Keys: []ed25519.PublicKey{public(testKey(t, 1))}}}
	n.ack = adminapi.Ack{Name: w.peer(pod), Instance: "1", Version: "v1", Grid: "shop/demo", Ready: true, Keys: []string{keyID(testKey(t, 1))}}
	s := httptest.NewUnstartedServer(n)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Listener.Close() // of httptest's own choice
	s.Listener = l
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.mu.Lock()
			n.conns[c.RemoteAddr().String()] = true
			n.mu.Unlock()
		}
	}
	if authority == nil {
		s.Start()
	} else {
		issued, err := authority.Issue(certs.Leaf{Name: certName + ":1"})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(issued.Cert, issued.Key)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections) // first: what hangs does not end by itself
	n.target = Target{Pod: pod, UID: types.UID("uid-" + pod), Address: s.Listener.Addr().String(), Name: w.peer(pod), Host: host(pod)}
	return n
}

func host(pod string) string { return pod + ".demo.shop.svc" }

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	put := r.Method == http.MethodPut
	if put {
		n.puts++
	} else {
		n.gets++
	}
	fault := n.fault
	n.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	if put {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n.mu.Lock()
		trust := n.trust
		n.mu.Unlock()
		list, err := peers.Verify(raw, trust)
		if err != nil {
			refuse(w, http.StatusForbidden, adminapi.Error{Message: err.Error()})
			return
		}
		n.mu.Lock()
		verdict, err := peers.Decide(n.list, list, n.target.Name)
		if err == nil && verdict != peers.Unchanged {
			n.list = list
		}
		shown := n.list.Raw()
		n.mu.Unlock()
		if err != nil {
			refuse(w, http.StatusConflict, adminapi.Error{Message: err.Error(), List: shown})
			return
		}
	}
	n.mu.Lock()
	ack := n.ack
	if n.list.Signed() {
		ack.Epoch, ack.MeshID, ack.Contains = n.list.Epoch, n.list.MeshID, n.list.Contains(n.target.Name)
		ack.Removed = !ack.Contains
		ack.Drained = ack.Removed
	}
	n.mu.Unlock()
	_ = json.NewEncoder(w).Encode(ack) //nolint:errchkjson // the other side has gone
}

func refuse(w http.ResponseWriter, status int, e adminapi.Error) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e) //nolint:errchkjson // the same
}

// set changes the node under its lock.
func (n *fakeNode) set(change func(n *fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

func (n *fakeNode) epoch() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list.Epoch
}

var demoKey = types.NamespacedName{Namespace: "shop", Name: "demo"}

// startPool starts a pool, and ends it with the test.
func startPool(t *testing.T) *Pool {
	t.Helper()
	p := newPool(slog.New(slog.DiscardHandler), newMetrics(), func(types.NamespacedName) {}, func(types.NamespacedName) {})
	end := make(chan struct{})
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Start(waitFor(end)) }()
	t.Cleanup(func() { close(end); <-done })
	return p
}

// delivery is a list of that epoch with all the targets in it.
func delivery(t *testing.T, epoch uint64, trust Trust, nodes ...*fakeNode) Delivery {
	t.Helper()
	list := peers.List{Grid: "shop/demo", MeshID: testMesh, Epoch: epoch, AllowEmpty: len(nodes) == 0}
	d := Delivery{Grid: "shop/demo", MeshID: testMesh, Epoch: epoch, Keys: []ed25519.PublicKey{public(testKey(t, 1))}, Trust: trust}
	for _, n := range nodes {
		d.Targets = append(d.Targets, n.target)
		list.Names = append(list.Names, n.target.Name)
	}
	sorted, err := peers.NewList(list.Names)
	if err != nil {
		t.Fatal(err)
	}
	list.Names = sorted.Names
	if d.Document, err = peers.Sign(list, testKey(t, 1)); err != nil {
		t.Fatal(err)
	}
	return d
}

// hang ends what will not come; a slow machine is not judged by it.
const hang = time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(hang)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for: %s", what)
		}
	}
}
