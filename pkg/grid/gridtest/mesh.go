package gridtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/recycle"
)

// patience is how long the mesh waits for what has to happen by itself, until
// it fails the test.
const patience = time.Minute

// Mesh is a grid in the process of a test. Nodes are numbered from 0. Call its
// methods on the test's goroutine: what goes wrong ends the test at once, also
// when what a method waits for has not come after a minute.
type Mesh struct {
	t    testing.TB
	net  *network
	opts []func(*grid.Options)

	mu       sync.Mutex // protects what follows
	nodes    []*node
	register []func(*grid.Manager) error
}

// node is one node as long as it is not restarted.
type node struct {
	m        *grid.Manager
	server   *http.Server
	served   chan struct{} // closed when the server has ended
	handlers *running
	marks    int // handlers registered as marks; protected by Mesh.mu
}

// New makes a mesh of n nodes, "node-0.grid.test:7946" and so on, and starts to
// link them in plain text. Each of opts changes the Options of every node
// before its Manager is made; Local says whose they are. To test with
// certificates, set TLS; to count or break dials, wrap Dial.
//
// Unlike in production, a lost link is dialled again within 100 ms however
// often that has failed.
func New(t testing.TB, n int, opts ...func(*grid.Options)) *Mesh {
	t.Helper()
	if n < 1 {
		t.Fatalf("gridtest: a mesh of %d nodes; it takes 1 at least", n)
	}
	recycle.Strict(true) // for the whole process: a use after grid.Release is a bug everywhere
	mesh := &Mesh{t: t, net: newNetwork(), opts: opts, nodes: make([]*node, n)}
	t.Cleanup(mesh.close)
	for i := range n {
		mesh.start(i)
	}
	return mesh
}

// Name is the name of node i.
func Name(i int) string { return fmt.Sprintf("node-%d.grid.test:7946", i) }

// start makes node i and lets it listen.
func (mesh *Mesh) start(i int) {
	mesh.t.Helper()
	names := make([]string, len(mesh.nodes))
	for j := range names {
		names[j] = Name(j)
	}
	o := grid.Options{
		Local: Name(i), Peers: names,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) { return mesh.net.dial(ctx, Name(i), addr) },
	}
	o.Limits.BackoffCap = 100 * time.Millisecond
	for _, opt := range mesh.opts {
		opt(&o)
	}
	o.InsecurePlainText = o.TLS == nil
	nd := &node{handlers: newRunning(), served: make(chan struct{})}
	o.Interceptors = append(slices.Clip(o.Interceptors), nd.handlers.interceptor())
	var err error
	// A context of its own: the test's ends before its clean-up begins, and
	// what a test does there should find the mesh working.
	if nd.m, err = grid.NewManager(context.WithoutCancel(mesh.t.Context()), o); err != nil {
		mesh.t.Fatalf("gridtest: node %d: %v", i, err)
	}
	nd.server = nd.m.NewServer()
	l := mesh.net.listen(Name(i))
	mesh.mu.Lock()
	register := slices.Clone(mesh.register)
	mesh.nodes[i] = nd
	mesh.mu.Unlock()
	mesh.registerAt(i, nd, register...)
	go func() {
		defer close(nd.served)
		serve := nd.server.Serve
		if o.TLS != nil {
			serve = func(l net.Listener) error { return nd.server.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			mesh.t.Errorf("gridtest: node %d serves no more: %v", i, err)
		}
	}()
}

// stop ends node nd and checks that nothing of it is left.
func (mesh *Mesh) stop(i int, nd *node) {
	mesh.t.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = nd.m.Close()      // always nil
		_ = nd.server.Close() // fails only if the listener does, and ours doesn't
		<-nd.served
	}()
	if !within(closed) {
		mesh.t.Errorf("gridtest: node %d has not closed in %v", i, patience)
	}
	if left := nd.handlers.wait(); len(left) > 0 {
		mesh.t.Errorf("gridtest: node %d is closed and its handlers %q run on: they do not heed their context", i, left)
	}
}

func within(done <-chan struct{}) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// close ends all nodes at once.
func (mesh *Mesh) close() {
	mesh.t.Helper()
	var all sync.WaitGroup
	for i, nd := range mesh.all() {
		if nd != nil {
			all.Go(func() { mesh.stop(i, nd) })
		}
	}
	all.Wait()
	if mesh.until(func() bool { return len(mesh.net.open()) == 0 }) {
		return
	}
	for _, c := range mesh.net.open() {
		mesh.t.Errorf("gridtest: the connection of %s with %s was left open", c.local, c.remote)
	}
}

// until waits for a condition that nobody tells of.
func (mesh *Mesh) until(holds func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
	return true
}

func (mesh *Mesh) all() []*node {
	mesh.mu.Lock()
	defer mesh.mu.Unlock()
	return slices.Clone(mesh.nodes)
}

// Len is the number of nodes.
func (mesh *Mesh) Len() int { return len(mesh.all()) }

// Node gives node i. After Restart it is another one.
func (mesh *Mesh) Node(i int) *grid.Manager {
	mesh.t.Helper()
	all := mesh.all()
	if i < 0 || i >= len(all) {
		mesh.t.Fatalf("gridtest: there is no node %d, only 0 to %d", i, len(all)-1)
	}
	return all[i].m
}

// Conn gives what node from calls node to with. After a Restart of from it is
// another one.
func (mesh *Mesh) Conn(from, to int) *grid.Connection {
	mesh.t.Helper()
	c := mesh.Node(from).Connection(Name(to))
	if c == nil {
		mesh.t.Fatalf("gridtest: node %d is no peer of node %d", to, from)
	}
	return c
}

// Register calls f for every node, and again for each that is restarted: f
// registers handlers. The next WaitLinked waits until all nodes know of them.
func (mesh *Mesh) Register(f func(*grid.Manager) error) {
	mesh.t.Helper()
	mesh.mu.Lock()
	mesh.register = append(mesh.register, f)
	nodes := slices.Clone(mesh.nodes)
	mesh.mu.Unlock()
	for i, nd := range nodes {
		mesh.registerAt(i, nd, f)
	}
}

// registerAt registers handlers at one node, and behind them one as a mark:
// handlers are announced in order, so who knows of the mark knows of them.
func (mesh *Mesh) registerAt(i int, nd *node, register ...func(*grid.Manager) error) {
	mesh.t.Helper()
	for _, f := range register {
		if err := f(nd.m); err != nil {
			mesh.t.Fatalf("gridtest: node %d: %v", i, err)
		}
	}
	mesh.mu.Lock()
	nd.marks++
	mark := nd.mark()
	mesh.mu.Unlock()
	err := nd.m.RegisterSingle(mark, func(context.Context, []byte) ([]byte, error) { return nil, nil })
	if err != nil {
		mesh.t.Fatalf("gridtest: node %d: %v", i, err)
	}
}

// mark is the newest mark. Mesh.mu is held.
func (nd *node) mark() grid.HandlerID {
	return grid.HandlerID(fmt.Sprintf("gridtest.mark-%d", nd.marks))
}

// WaitLinked waits until every node is linked with all its peers and knows of
// all handlers that were registered before by Register.
func (mesh *Mesh) WaitLinked() {
	mesh.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(mesh.t.Context()), patience)
	defer cancel()
	nodes := mesh.all()
	for i, nd := range nodes {
		if err := nd.m.WaitAll(ctx); err != nil {
			mesh.t.Fatalf("gridtest: node %d: %v", i, err)
		}
	}
	for i := range nodes {
		for j, to := range nodes {
			mesh.mu.Lock()
			mark := to.mark()
			mesh.mu.Unlock()
			c := nodes[i].m.Connection(Name(j))
			if c != nil && !mesh.until(func() bool { return c.Supports(mark) }) {
				mesh.t.Fatalf("gridtest: node %d does not know all handlers of node %d", i, j)
			}
		}
	}
}
