package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// gridLinks is a mesh with no links yet.
type gridLinks struct{ *gridMesh }

// Links prepares the smallest mesh with at least n links: an end serves many
// links, so that what it is itself counts little.
func (s gridmeshSystem) Links(ctx context.Context, n int) (Links, error) {
	nodes := 2
	for nodes*(nodes-1)/2 < n {
		nodes++
	}
	g, err := newGridMesh(ctx, s, Settings{}, nodes)
	return gridLinks{g}, err
}

func (l gridLinks) Link(ctx context.Context) (int, error) {
	if err := l.linkAll(ctx); err != nil {
		return 0, err
	}
	n := len(l.nodes)
	for from := range n {
		for to := range from {
			if _, err := l.Caller(from, to).Call(ctx, make([]byte, smallSize), nil); err != nil {
				return 0, err
			}
		}
	}
	return n * (n - 1) / 2, nil
}

// Unlinked makes one node whose peers' names resolve to a port that refuses.
func (s gridmeshSystem) Unlinked(ctx context.Context, n int) (io.Closer, error) {
	closed, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	if err := closed.Close(); err != nil {
		return nil, fmt.Errorf("close a port so that it refuses: %w", err)
	}
	listener, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	node := &gridNode{name: gridName(0), listener: listener}
	g := &gridMesh{system: s, nodes: []*gridNode{node}}
	names, addresses := make([]string, n), make(map[string]string, n)
	for i := range names {
		names[i] = gridName(i + 1)
		addresses[names[i]] = closed.Addr().String()
	}
	if err := node.start(ctx, Settings{}, addresses); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if err := node.manager.SetPeers(names); err != nil {
		return nil, errors.Join(fmt.Errorf("tell a node of peers that can't be reached: %w", err), g.Close())
	}
	return g, nil
}

// Mesh starts n nodes and links them all.
func (s gridmeshSystem) Mesh(ctx context.Context, n int) (Mesh, error) {
	g, err := newGridMesh(ctx, s, Settings{}, n)
	if err != nil {
		return nil, err
	}
	if err := g.linkAll(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}
