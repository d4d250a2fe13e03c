// Cacheinvalidation keeps the caches of several nodes right: each tells the
// others over a stream which keys it has written. `go run
// ./examples/cacheinvalidation` shows three nodes in one process; cache.go is
// what to copy.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

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
	var db sync.Map
	var nodes []*node
	for _, l := range listeners {
		// Yours sets TLS instead of InsecurePlainText.
		m, err := grid.NewManager(ctx, grid.Options{Local: l.Addr().String(), Peers: names, InsecurePlainText: true})
		if err != nil {
			return err
		}
		server := m.NewServer()
		context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() { _ = server.Serve(l) }()
		n, err := newNode(ctx, m, &db)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	// All nodes write, and all have the value of before in their caches.
	for i, color := range []string{"red", "green", "blue"} {
		nodes[i].set(ctx, "color", color)
		for _, n := range nodes {
			for n.get("color") != color || !n.caches("color") {
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		fmt.Fprintf(out, "node %d wrote %s, and all caches have it\n", i, color)
	}
	return nil
}

// caches reports whether the node has key in its cache.
func (n *node) caches(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, cached := n.cache[key]
	return cached
}
