package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
)

const gridID = "demo"

// node is one member: its place, and its process of the moment.
type node struct {
	name  string // host:port of the grid
	admin string // host:port of the admin port
	dir   string

	process *process // nil before its first start; used by the show only
	life    atomic.Uint64
}

// A node's life is odd while calls to and from it must not fail: from the time
// when all its links are up until just before it is killed.
func (n *node) alive() bool { return n.life.Load()%2 == 1 }
func (n *node) turn()       { n.life.Add(1) }

func (n *node) page() string { return "http://" + n.admin + adminapi.PathStatus }
func (n *node) log() string  { return filepath.Join(n.dir, "log") }

// cluster is the nodes, and the files that they are run with.
type cluster struct {
	dir       string
	binary    string
	authority *certs.Authority
	admin     *admin
	nodes     []*node
}

func newCluster(dir, binary string, a *admin) (*cluster, error) {
	authority, err := certs.NewAuthority("gridmesh demo")
	if err != nil {
		return nil, err
	}
	return &cluster{dir: dir, binary: binary, authority: authority, admin: a}, nil
}

func (c *cluster) peersFile() string { return filepath.Join(c.dir, "peers") }

// writePeers replaces the list that all nodes watch.
func (c *cluster) writePeers(nodes []*node) error {
	var text strings.Builder
	for _, n := range nodes {
		text.WriteString(n.name + "\n")
	}
	temporary := c.peersFile() + ".new"
	if err := os.WriteFile(temporary, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, c.peersFile())
}

// prepare makes the files of count nodes: a certificate and a configuration each.
func (c *cluster) prepare(count int) ([]*node, error) {
	addrs, err := freeport.Addrs(2 * count)
	if err != nil {
		return nil, err
	}
	nodes := make([]*node, count)
	for i := range nodes {
		n := &node{name: addrs[2*i], admin: addrs[2*i+1], dir: filepath.Join(c.dir, "node-"+strconv.Itoa(i))}
		nodes[i] = n
		if err := c.authority.Write(filepath.Join(n.dir, "tls"), certs.Leaf{Grid: gridID, Name: n.name}); err != nil {
			return nil, err
		}
		config := fmt.Sprintf("name: %s\ngrid: %s\nlisten: %s\nadmin-addr: %s\ntls-dir: %s\npeers-file: %s\npeers-poll: 200ms\ndrain-timeout: 5s\nlog-format: text\n"+
			"data-dir: %s\naudit: {targets: [{name: trail, file: {path: %s, maxBytes: 16MiB, keep: 1}}]}\n",
			n.name, gridID, n.name, n.admin, filepath.Join(n.dir, "tls"), c.peersFile(), filepath.Join(n.dir, "data"), filepath.Join(n.dir, "audit.log"))
		if err := os.WriteFile(n.config(), []byte(config), 0o600); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (n *node) config() string { return filepath.Join(n.dir, "node.yaml") }

// start starts a node, for the first time or again.
func (c *cluster) start(n *node) (err error) {
	n.process, err = start(c.binary, []string{"--config", n.config()}, n.log())
	return err
}

// whole waits until every node says that it is ready and linked with all
// others, and counts them alive from then on.
func (c *cluster) whole(ctx context.Context) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the mesh is not whole after %v", patience))
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := c.missing(ctx)
		if missing == nil {
			for _, n := range c.nodes {
				if !n.alive() {
					n.turn()
				}
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), missing)
		case <-ticker.C:
		}
	}
}

// missing says what the mesh lacks to be whole.
func (c *cluster) missing(ctx context.Context) error {
	for _, n := range c.nodes {
		if !n.process.running() {
			return fmt.Errorf("node %s has ended: %w", n.name, errors.Join(n.process.err, errors.New(tail(n.log()))))
		}
		status, err := c.admin.status(ctx, n.admin)
		switch {
		case err != nil:
			return fmt.Errorf("node %s: %w", n.name, err)
		case !status.Ready:
			return fmt.Errorf("node %s is not ready: %s", n.name, strings.Join(status.Waiting, ", "))
		case status.Links.Expected != len(c.nodes)-1 || status.Links.Up != status.Links.Expected:
			return fmt.Errorf("node %s has %d of %d links", n.name, status.Links.Up, len(c.nodes)-1)
		}
	}
	return nil
}

// links adds up what the nodes say.
func (c *cluster) links(ctx context.Context) (up, expected int) {
	for _, n := range c.nodes {
		expected += len(c.nodes) - 1
		if status, err := c.admin.status(ctx, n.admin); err == nil {
			up += status.Links.Up
		}
	}
	return up, expected
}

// stop has all nodes leave, all at once.
func (c *cluster) stop() error {
	results := make(chan error, len(c.nodes))
	for _, n := range c.nodes {
		go func() {
			if err := n.process.stop(); err != nil {
				results <- fmt.Errorf("node %s: %w\n%s", n.name, err, tail(n.log()))
				return
			}
			results <- nil
		}()
	}
	var problems []error
	for range c.nodes {
		problems = append(problems, <-results)
	}
	return errors.Join(problems...)
}

// kill ends whatever still runs.
func (c *cluster) kill(nodes []*node) {
	for _, n := range nodes {
		if n.process != nil && n.process.running() {
			n.process.kill()
		}
	}
}

// tail is the end of a log, to be printed when something went wrong.
func tail(path string) string {
	const most = 2000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return "its log ends with:\n" + string(text[max(0, len(text)-most):])
}
