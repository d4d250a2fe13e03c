package main

import (
	"context"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// writes is the stream over which a node tells a peer what it has written.
var writes = grid.NewStreaming[grid.None, Written, grid.None]("cache.writes")

// node is one server, with a cache in front of a database that all share.
type node struct {
	*grid.Manager

	db *sync.Map // stands for that database

	mu    sync.Mutex // protects cache and heard
	cache map[string]any
	heard map[string]int // streams that come in, by peer

	telling sync.Mutex // protects told, and sending: a stream has one sender at a time
	told    map[string]*grid.TypedCallerStream[Written, grid.None]
}

func newNode(ctx context.Context, m *grid.Manager, db *sync.Map) (*node, error) {
	n := &node{
		Manager: m, db: db, cache: map[string]any{}, heard: map[string]int{},
		told: map[string]*grid.TypedCallerStream[Written, grid.None]{},
	}
	for _, peer := range m.Connections() {
		go n.tell(ctx, peer)
	}
	return n, writes.Register(m, n.hear, 1000, 0)
}

// get reads through the cache.
func (n *node) get(key string) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, cached := n.cache[key]
	if !cached {
		v, _ = n.db.Load(key)
		if len(n.heard) == len(n.Connections()) { // else it might change, and nobody would tell
			n.cache[key] = v
		}
	}
	return v
}

// set writes to the database, and returns when all peers are being told. It
// waits for those that are slow to hear. One that can't be told in ctx's time
// finds its stream ended, and caches nothing.
func (n *node) set(ctx context.Context, key string, v any) {
	n.db.Store(key, v)
	n.drop(key)
	n.telling.Lock()
	defer n.telling.Unlock()
	for _, s := range n.told {
		if err := s.Send(ctx, &Written{key}); err != nil {
			s.Cancel(err)
		}
	}
}

func (n *node) drop(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cache, key)
}

// hear drops what a peer writes, until the stream ends.
func (n *node) hear(ctx context.Context, _ *grid.None, s *grid.TypedHandlerStream[Written, grid.None]) error {
	peer := grid.CallInfo(ctx).Peer
	n.hears(peer, +1)
	defer n.hears(peer, -1)
	for w, err := range s.All() {
		if err != nil {
			return err
		}
		n.drop(w.Key)
	}
	return nil
}

func (n *node) hears(peer string, more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.heard[peer] += more; n.heard[peer] == 0 {
		delete(n.heard, peer)
	}
	clear(n.cache) // there may have been writes that nobody told
}

// tell keeps a stream of this node's writes to a peer, as long as it is one.
func (n *node) tell(ctx context.Context, peer *grid.Connection) {
	for ctx.Err() == nil && peer.Wait(ctx) == nil {
		n.telling.Lock() // whatever is written from here on is told
		s, err := writes.Open(ctx, peer, &grid.None{})
		if err == nil {
			n.told[peer.Name()] = s
		}
		n.telling.Unlock()
		if err == nil {
			<-s.Done()
			continue
		}
		select { // it was cut off again, or has not registered its handler yet
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
