package gridtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conditions are what the bytes of a pair meet.
type conditions struct {
	stalled bool
	latency time.Duration
	speed   int // bytes a second each way, 0: as fast as it goes
}

// wire is what lies between two nodes: all connections of the pair, and what
// they meet there.
type wire struct {
	is atomic.Pointer[conditions]

	mu    sync.Mutex // protects conns
	conns map[*conn]struct{}
}

func (w *wire) now() conditions { return *w.is.Load() }

// set changes the conditions, for what is under way, too, as far as it has not arrived.
func (w *wire) set(f func(*conditions)) {
	w.mu.Lock()
	is := w.now()
	f(&is)
	w.is.Store(&is)
	w.mu.Unlock()
	for _, c := range w.open() {
		c.wake()
	}
}

func (w *wire) open() []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*conn, 0, len(w.conns))
	for c := range w.conns {
		all = append(all, c)
	}
	return all
}

func (w *wire) cut() {
	for _, c := range w.open() {
		c.cut()
	}
}

func (w *wire) add(ends ...*conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range ends {
		w.conns[c] = struct{}{}
	}
}

func (w *wire) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// network is the wires between all nodes, and where they listen.
type network struct {
	mu        sync.Mutex // protects what follows
	wires     map[[2]string]*wire
	listeners map[string]*listener
	isolated  map[string]bool
}

func newNetwork() *network {
	return &network{wires: map[[2]string]*wire{}, listeners: map[string]*listener{}, isolated: map[string]bool{}}
}

// wire gives what lies between a and b.
func (n *network) wire(a, b string) *wire {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wireLocked(a, b)
}

func (n *network) wireLocked(a, b string) *wire {
	if a > b {
		a, b = b, a
	}
	w := n.wires[[2]string{a, b}]
	if w == nil {
		w = &wire{conns: map[*conn]struct{}{}}
		w.is.Store(&conditions{})
		n.wires[[2]string{a, b}] = w
	}
	return w
}

// all gives the wires of one node, or of all for an empty name.
func (n *network) all(of string) []*wire {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []*wire
	for pair, w := range n.wires {
		if of == "" || pair[0] == of || pair[1] == of {
			found = append(found, w)
		}
	}
	return found
}

// open gives all ends of connections that were not closed.
func (n *network) open() []*conn {
	var all []*conn
	for _, w := range n.all("") {
		all = append(all, w.open()...)
	}
	return all
}

// isolate takes a node off the network, or puts it back, and gives what was before.
func (n *network) isolate(name string, yes bool) (was bool) {
	n.mu.Lock()
	was = n.isolated[name]
	n.isolated[name] = yes
	n.mu.Unlock()
	if yes {
		for _, w := range n.all(name) {
			w.cut()
		}
	}
	return was
}

var errRefused = errors.New("connection refused")

// dial connects from with to.
func (n *network) dial(ctx context.Context, from, to string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[to]
	if l == nil || n.isolated[from] || n.isolated[to] {
		n.mu.Unlock()
		return nil, fmt.Errorf("gridtest: dial %s from %s: %w", to, from, errRefused)
	}
	w := n.wireLocked(from, to)
	near, far := newConns(w, addr(from), addr(to))
	w.add(near, far) // under the lock: isolate cuts it, or it is refused
	n.mu.Unlock()
	var err error
	select {
	case l.incoming <- far:
		return near, nil
	case <-l.closed:
		err = errRefused
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = near.Close()
	_ = far.Close()
	return nil, fmt.Errorf("gridtest: dial %s from %s: %w", to, from, err)
}

// listen lets name be dialled.
func (n *network) listen(name string) *listener {
	l := &listener{n: n, name: name, incoming: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[name] = l
	return l
}

// listener is where a node's server takes its connections.
type listener struct {
	n        *network
	name     string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		if l.n.listeners[l.name] == l {
			delete(l.n.listeners, l.name)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.name) }
