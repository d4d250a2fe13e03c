// Lockservice is a lock that a majority of nodes grants: it works as long as
// more than half of them are there. `go run ./examples/lockservice` shows three
// nodes in one process that count under one lock, and the loss of one of them.
package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// claims is the handler of all nodes, as they and their callers share it.
var claims = grid.NewSingle[Claim, grid.None]("lock.claim")

// node is one server: its end of the grid, and what it has granted.
type node struct {
	*grid.Manager

	mu      sync.Mutex // protects granted
	granted map[string]lease
}

type lease struct {
	owner string
	until time.Time // from then on anybody may have it: its owner may be gone
}

// start serves a node at l, whose address is its name. Yours sets TLS instead
// of InsecurePlainText.
func start(ctx context.Context, l net.Listener, names []string) (*node, error) {
	m, err := grid.NewManager(ctx, grid.Options{Local: l.Addr().String(), Peers: names, InsecurePlainText: true})
	if err != nil {
		return nil, err
	}
	server := m.NewServer()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	n := &node{Manager: m, granted: map[string]lease{}}
	return n, claims.Register(m, n.claim)
}

func (n *node) claim(_ context.Context, c *Claim) (*grid.None, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.granted[c.Lock]; l.owner != c.Owner && time.Now().Before(l.until) {
		return nil, grid.NewError(grid.CodeAlreadyExists, "held by "+l.owner)
	}
	n.granted[c.Lock] = lease{c.Owner, time.Now().Add(c.For)}
	return &grid.None{}, nil
}

// locked runs f under a lock that a majority has granted: any two majorities
// share a node, and that grants the lock to one owner only.
func (n *node) locked(ctx context.Context, lock string, f func()) error {
	majority, everyone := (len(n.Connections())+1)/2+1, grid.FanOut{Local: true}
	for {
		_, err := claims.Quorum(ctx, n.Manager, &Claim{lock, n.Local(), 10 * time.Second}, majority, everyone)
		if err == nil {
			f()
		}
		for range claims.FanOut(ctx, n.Manager, &Claim{lock, n.Local(), 0}, everyone) { // back, and what a minority has granted
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		<-time.After(rand.N(20 * time.Millisecond)) // all who failed come again, but not all at once
	}
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var listeners [3]net.Listener
	var names []string
	for i := range listeners {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listeners[i], names = l, append(names, l.Addr().String())
	}
	var nodes []*node
	for _, l := range listeners {
		n, err := start(ctx, l, names)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	counter := 0 // protected by the lock and by nothing else
	for _, counting := range [][]*node{nodes, nodes[:2]} {
		var all sync.WaitGroup
		for _, n := range counting {
			all.Go(func() {
				for range 10 {
					_ = n.locked(ctx, "counter", func() { counter++ }) // what fails is missing below
				}
			})
		}
		all.Wait()
		fmt.Fprintf(out, "%d nodes counted to %d\n", len(counting), counter)
		_ = nodes[2].Close()
	}
	return ctx.Err()
}
