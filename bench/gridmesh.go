package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// gridmeshSystem is this library with its defaults.
type gridmeshSystem struct {
	// appending has callers use AppendRequest with a buffer of their own instead
	// of Request, and the handler release the request.
	appending bool
}

const (
	gridEcho   grid.HandlerID = "bench.echo"
	gridBlock  grid.HandlerID = "bench.block"
	gridStream grid.HandlerID = "bench.stream"
	gridHold   grid.HandlerID = "bench.hold"
	gridFixed  grid.HandlerID = "bench.fixed"

	// gridOutCapacity is how many messages of a stream may be in flight. grpc-go
	// grows its windows to what the link takes; this is 128 KiB of our messages.
	gridOutCapacity = 256
)

func (s gridmeshSystem) Name() string {
	if s.appending {
		return "gridmesh-append"
	}
	return "gridmesh"
}

func (s gridmeshSystem) Can() Feature {
	if s.appending {
		return CanCall // the rest is no different
	}
	return CanCall | CanEcho | CanBlock | CanStream | CanBulk | CanTLS | CanHold | CanLink | CanMesh | CanLog
}

// gridNode is one end: a manager with the benchmark's handlers, and its server.
type gridNode struct {
	name     string
	address  string
	listener net.Listener
	manager  *grid.Manager
	server   *http.Server
	serving  sync.WaitGroup
}

// gridMesh is n nodes that can find each other.
type gridMesh struct {
	system gridmeshSystem
	nodes  []*gridNode
	once   sync.Once
	err    error
}

// gridName is the name of node i; a Certificate is valid for it.
func gridName(i int) string { return "n" + strconv.Itoa(i) + "." + benchDomain + ":7000" }

// newGridMesh starts n nodes that know no peers yet.
func newGridMesh(ctx context.Context, system gridmeshSystem, s Settings, n int) (*gridMesh, error) {
	g := &gridMesh{system: system}
	addresses := make(map[string]string, n)
	for i := range n {
		listener, err := listen(ctx)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		node := &gridNode{name: gridName(i), address: listener.Addr().String(), listener: listener}
		addresses[node.name] = node.address
		g.nodes = append(g.nodes, node)
	}
	for _, node := range g.nodes {
		if err := node.start(ctx, s, addresses); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// start serves the node's listener; ctx's end doesn't end the node.
func (n *gridNode) start(ctx context.Context, s Settings, addresses map[string]string) error {
	options := grid.Options{
		Local: n.name,
		Resolve: func(_ context.Context, name string) (string, error) {
			address, ok := addresses[name]
			if !ok {
				return "", fmt.Errorf("no node %q", name)
			}
			return address, nil
		},
		InsecurePlainText: s.TLS == nil,
		Logger:            slog.New(slog.DiscardHandler),
	}
	if s.TLS != nil {
		options.TLS = grid.StaticTLS(s.TLS.leaf, s.TLS.pool)
	}
	if s.Grid != nil {
		s.Grid(&options)
	}
	var err error
	if n.manager, err = grid.NewManager(context.WithoutCancel(ctx), options); err != nil {
		return fmt.Errorf("start node %s: %w", n.name, err)
	}
	if err := registerHandlers(n.manager); err != nil {
		return fmt.Errorf("start node %s: %w", n.name, err)
	}
	n.server = n.manager.NewServer()
	n.serving.Go(func() {
		if s.TLS != nil {
			_ = n.server.ServeTLS(n.listener, "", "")
			return
		}
		_ = n.server.Serve(n.listener)
	})
	return nil
}

// registerHandlers gives a node what the benchmark calls.
func registerHandlers(m *grid.Manager) error {
	return errors.Join(
		m.RegisterSingle(gridEcho, func(_ context.Context, req []byte) ([]byte, error) { return req, nil }),
		m.RegisterSingle(gridBlock, func(ctx context.Context, req []byte) ([]byte, error) {
			return req, pause(ctx, blockFor)
		}),
		m.RegisterSingle(gridFixed, func(_ context.Context, req []byte) ([]byte, error) {
			// An echo would need the request until after it has returned.
			if len(req) != smallSize {
				return nil, fmt.Errorf("a request of %d bytes, want %d", len(req), smallSize)
			}
			grid.Release(req)
			return gridReply, nil
		}),
		m.RegisterStream(gridStream, grid.StreamHandler{OutCapacity: gridOutCapacity, Serve: gridSend}),
		m.RegisterStream(gridHold, grid.StreamHandler{OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			// The message tells the caller that the handler runs.
			if err := s.Send(ctx, nil); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}),
	)
}

// gridReply is what bench.fixed answers; nobody writes to it.
var gridReply = bytes.Repeat([]byte("reply-to-a-call."), smallSize/16)

func gridSend(ctx context.Context, s *grid.HandlerStream) error {
	n, size, err := parseAsk(s.Payload())
	if err != nil {
		return err
	}
	message := make([]byte, size)
	for range n {
		if err := s.Send(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

// linkAll tells every node of all, and waits until all are linked.
func (g *gridMesh) linkAll(ctx context.Context) error {
	names := make([]string, len(g.nodes))
	for i, n := range g.nodes {
		names[i] = n.name
	}
	for _, n := range g.nodes {
		if err := n.manager.SetPeers(names); err != nil {
			return fmt.Errorf("tell node %s of its peers: %w", n.name, err)
		}
	}
	for _, n := range g.nodes {
		for _, name := range names {
			if name == n.name {
				continue
			}
			if err := n.manager.Connection(name).Wait(ctx); err != nil {
				return fmt.Errorf("wait for the link of %s with %s: %w", n.name, name, err)
			}
		}
	}
	return nil
}

// Close ends all nodes.
func (g *gridMesh) Close() error {
	g.once.Do(func() {
		var wg sync.WaitGroup
		errs := make([]error, len(g.nodes))
		for i, n := range g.nodes {
			wg.Go(func() { errs[i] = n.close() })
		}
		wg.Wait()
		g.err = errors.Join(errs...)
	})
	return g.err
}

func (n *gridNode) close() error {
	var err error
	if n.manager != nil {
		err = n.manager.Close()
	}
	if n.server == nil {
		return errors.Join(err, n.listener.Close())
	}
	err = errors.Join(err, n.server.Close())
	n.serving.Wait()
	return err
}

// Caller returns a caller of Echo from one node to another.
func (g *gridMesh) Caller(from, to int) Caller { return g.caller(from, to, gridEcho) }

func (g *gridMesh) caller(from, to int, h grid.HandlerID) Caller {
	conn := g.nodes[from].manager.Connection(g.nodes[to].name)
	if g.system.appending {
		return &gridAppender{conn: conn}
	}
	return gridRequester{conn, h}
}

type gridRequester struct {
	conn    *grid.Connection
	handler grid.HandlerID
}

func (c gridRequester) Call(ctx context.Context, req, _ []byte) ([]byte, error) {
	return c.conn.Request(ctx, c.handler, req)
}

// gridAppender is a caller that uses its buffer again. It checks the reply
// itself, which is not the request, and returns the request.
type gridAppender struct {
	conn  *grid.Connection
	reply []byte
}

func (c *gridAppender) Call(ctx context.Context, req, _ []byte) ([]byte, error) {
	reply, err := c.conn.AppendRequest(ctx, gridFixed, req, c.reply[:0])
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(reply, gridReply) {
		return nil, fmt.Errorf("the reply (%d bytes) is not that of %s", len(reply), gridFixed)
	}
	c.reply = reply
	return req, nil
}

// gridPair is a mesh of two, of which the first calls the second.
type gridPair struct {
	*gridMesh
	life context.Context // of the streams that Hold opens
	end  context.CancelFunc
}

// Start makes two nodes and waits for their link.
func (s gridmeshSystem) Start(ctx context.Context, settings Settings) (Pair, error) {
	g, err := newGridMesh(ctx, s, settings, 2)
	if err != nil {
		return nil, err
	}
	if err := g.linkAll(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	return &gridPair{gridMesh: g, life: life, end: end}, nil
}

func (p *gridPair) Caller(m Method) Caller {
	if m == Block {
		return p.caller(0, 1, gridBlock)
	}
	return p.caller(0, 1, gridEcho)
}

func (p *gridPair) open(ctx context.Context, h grid.HandlerID, payload []byte) (*grid.CallerStream, error) {
	return p.nodes[0].manager.Connection(p.nodes[1].name).OpenStream(ctx, h, payload)
}

func (p *gridPair) StreamFrom(ctx context.Context, n, size int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := p.open(ctx, gridStream, newAsk(n, size))
	if err != nil {
		return err
	}
	return countMessages(n, size, func() ([]byte, error) { return s.Recv(ctx) })
}

// Hold opens n idle streams.
func (p *gridPair) Hold(ctx context.Context, n int) error {
	for range n {
		s, err := p.open(p.life, gridHold, nil)
		if err != nil {
			return err
		}
		if _, err := s.Recv(ctx); err != nil {
			return fmt.Errorf("wait for a stream's handler: %w", err)
		}
	}
	return nil
}

// Close ends the streams that are held, and both nodes.
func (p *gridPair) Close() error {
	p.end()
	return p.gridMesh.Close()
}
