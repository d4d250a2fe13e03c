package grid

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// network is a network within the process: listeners by address, and a
// net.Pipe for each connection.
type network struct {
	mu        sync.Mutex // protects what follows
	listeners map[string]*listener
	dials     map[string]int // by address
	open      int            // ends of connections not closed
	pipes     []*pipe
	refuse    func(addr string) error

	tcp map[string]string // by name, addresses on loopback in place of pipes; nil: pipes
}

func newNetwork() *network {
	return &network{listeners: map[string]*listener{}, dials: map[string]int{}}
}

// pipe is one end of a connection.
type pipe struct {
	net.Conn
	n      *network
	to     string
	hole   atomic.Bool // nothing goes through any more, not even the end
	once   sync.Once
	closed chan struct{}
}

func (p *pipe) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.n.mu.Lock()
		p.n.open--
		p.n.mu.Unlock()
	})
	return p.Conn.Close()
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err != nil && p.hole.Load() {
		<-p.closed
	}
	return n, err
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.hole.Load() {
		return len(b), nil
	}
	return p.Conn.Write(b)
}

func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[addr]++
	l, refuse, tcp := n.listeners[addr], n.refuse, n.tcp[addr]
	n.mu.Unlock()
	if tcp != "" {
		return (&net.Dialer{}).DialContext(ctx, "tcp", tcp)
	}
	if refuse != nil {
		if err := refuse(addr); err != nil {
			return nil, err
		}
	}
	if l == nil {
		return nil, errors.New("connection refused")
	}
	a, b := net.Pipe()
	near, far := &pipe{Conn: a, n: n, to: addr, closed: make(chan struct{})}, &pipe{Conn: b, n: n, to: addr, closed: make(chan struct{})}
	n.mu.Lock()
	n.open += 2
	n.pipes = append(n.pipes, near, far)
	n.mu.Unlock()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	_, _ = near.Close(), far.Close()
	return nil, errors.New("connection refused")
}

// cut closes all connections there are to addr.
func (n *network) cut(addr string) {
	n.mu.Lock()
	pipes := slices.Clone(n.pipes)
	n.mu.Unlock()
	for _, p := range pipes {
		if p.to == addr {
			_ = p.Close()
		}
	}
}

// swallow makes holes of all connections there are to addr: what is written is
// lost in silence, and so is the end.
func (n *network) swallow(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pipes {
		if p.to == addr {
			p.hole.Store(true)
		}
	}
}

func (n *network) dialsTo(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr]
}

func (n *network) openEnds() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// listener is one of network's.
type listener struct {
	n      *network
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (n *network) listen(addr string) *listener {
	l := &listener{n: n, addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
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
		if l.n.listeners[l.addr] == l {
			delete(l.n.listeners, l.addr)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return pipeAddr(l.addr) }

type pipeAddr string

func (a pipeAddr) Network() string { return "pipe" }
func (a pipeAddr) String() string  { return string(a) }

// logs keeps the lines that were logged.
type logs struct {
	mu    sync.Mutex // protects lines
	lines []string
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

// with gives the lines that contain all of the words.
func (l *logs) with(words ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}

// node is a Manager that is served.
type node struct {
	*Manager
	srv  *http.Server
	logs *logs
	n    *network
}

// start makes a node on n. change may alter its options; what it leaves is
// plain text between the pipes of n.
func (n *network) start(t testing.TB, name string, peers []string, change ...func(*Options)) *node {
	t.Helper()
	lines := &logs{}
	o := Options{Local: name, Peers: peers, Dial: n.dial, InsecurePlainText: true, Logger: slog.New(lines)}
	for _, f := range change {
		f(&o)
	}
	m, err := NewManager(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	nd := &node{Manager: m, srv: m.NewServer(), logs: lines, n: n}
	if err := m.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }); err != nil {
		t.Fatal(err)
	}
	nd.serve(t)
	t.Cleanup(nd.stop)
	return nd
}

// serve listens under the node's name.
func (nd *node) serve(t testing.TB) {
	var l net.Listener = nd.n.listen(nd.Local())
	if nd.n.tcp != nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		nd.n.mu.Lock()
		nd.n.tcp[nd.Local()] = l.Addr().String()
		nd.n.mu.Unlock()
	}
	go func() {
		serve := nd.srv.Serve
		if nd.srv.TLSConfig != nil {
			serve = func(l net.Listener) error { return nd.srv.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
}

func (nd *node) stop() {
	_ = nd.Close()
	_ = nd.srv.Close()
}

// mustLink waits until from has a link to to, and makes a call over it.
func mustLink(t testing.TB, from, to *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := from.Connection(to.Local())
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if reply, err := c.Request(ctx, "echo", []byte("hello")); err != nil || string(reply) != "hello" {
		t.Fatalf("call from %s to %s: %q, %v", from.Local(), to.Local(), reply, err)
	}
}

// pair starts a node that dials and one that is dialled.
func (n *network) pair(t testing.TB, change ...func(*Options)) (dialer, acceptor *node) {
	t.Helper()
	names := []string{"node-0:1", "node-1:1"}
	if !dials(names[0], names[1]) {
		t.Fatal("node-0 does not dial node-1")
	}
	acceptor = n.start(t, names[1], names, change...)
	dialer = n.start(t, names[0], names, change...)
	mustLink(t, dialer, acceptor)
	mustLink(t, acceptor, dialer)
	return dialer, acceptor
}

// Two nodes that name each other become one link, both call over it, and
// closing them leaves nothing open.
func TestTwoNodesMakeOneLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		if got := n.dialsTo(b.Local()) + n.dialsTo(a.Local()); got != 1 {
			t.Errorf("%d dials for one pair", got)
		}
		if s := a.Connection(b.Local()).State(); s != StateLinked {
			t.Errorf("state is %v", s)
		}
		a.stop()
		b.stop()
		synctest.Wait()
		if got := n.openEnds(); got != 0 {
			t.Errorf("%d ends of connections are open after Close", got)
		}
	})
}
