package gridtest

import (
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Cut breaks the connection between nodes a and b, as when a cable is pulled
// and put back: calls in flight fail with grid.ErrDisconnected, and the nodes
// link anew. It returns when both have noticed.
func (mesh *Mesh) Cut(a, b int) {
	mesh.t.Helper()
	before := mesh.between(a, b)
	mesh.net.wire(Name(a), Name(b)).cut()
	mesh.untilOver(before)
}

// Stall stops all bytes between a and b, both ways and without a sign, until
// Unstall: what is written waits. A link notices after Limits.DeadAfter.
func (mesh *Mesh) Stall(a, b int) {
	mesh.t.Helper()
	mesh.wire(a, b).set(func(c *conditions) { c.stalled = true })
}

// Unstall lets the bytes between a and b flow again.
func (mesh *Mesh) Unstall(a, b int) {
	mesh.t.Helper()
	mesh.wire(a, b).set(func(c *conditions) { c.stalled = false })
}

// Slow gives all that is sent between a and b from now on a latency, and each
// direction of a connection a speed in bytes a second. 0 takes the limit away.
func (mesh *Mesh) Slow(a, b int, latency time.Duration, bytesPerSecond int) {
	mesh.t.Helper()
	mesh.wire(a, b).set(func(c *conditions) { c.latency, c.speed = latency, bytesPerSecond })
}

// Isolate cuts all connections of node i and refuses new ones until Rejoin. It
// returns when all nodes have noticed.
func (mesh *Mesh) Isolate(i int) {
	mesh.t.Helper()
	before := mesh.ofNode(i)
	mesh.net.isolate(Name(i), true)
	mesh.untilOver(before)
}

// Rejoin ends what Isolate began. WaitLinked waits until the node is back.
func (mesh *Mesh) Rejoin(i int) {
	mesh.t.Helper()
	mesh.Node(i)
	mesh.net.isolate(Name(i), false)
}

// Restart closes node i as a crash would, without draining, and starts another
// one of the same name, with the same options and with what Register was given.
// It returns when all nodes have noticed; WaitLinked waits for the new links.
func (mesh *Mesh) Restart(i int) {
	mesh.t.Helper()
	mesh.Node(i)
	before := mesh.ofNode(i)
	was := mesh.net.isolate(Name(i), true) // a crash says no goodbye
	mesh.stop(i, mesh.all()[i])
	mesh.untilOver(before)
	mesh.net.isolate(Name(i), was)
	mesh.start(i)
}

// wire gives what lies between two nodes, which have to be there.
func (mesh *Mesh) wire(a, b int) *wire {
	mesh.t.Helper()
	mesh.Node(a)
	mesh.Node(b)
	if a == b {
		mesh.t.Fatalf("gridtest: nothing lies between node %d and itself", a)
	}
	return mesh.net.wire(Name(a), Name(b))
}

// linked is a link as one of its ends sees it.
type linked struct {
	m     *grid.Manager
	peer  string
	since time.Time
}

// between gives both ends of the link of a and b, as far as they are linked.
func (mesh *Mesh) between(a, b int) []linked {
	mesh.t.Helper()
	mesh.wire(a, b)
	<-time.After(1) // in a bubble no time passes by itself: the next link has to be younger than this one
	var ends []linked
	for _, end := range [][2]int{{a, b}, {b, a}} {
		ends = append(ends, links(mesh.Node(end[0]), Name(end[1]))...)
	}
	return ends
}

// ofNode gives all ends of all links of node i.
func (mesh *Mesh) ofNode(i int) []linked {
	mesh.t.Helper()
	var ends []linked
	for j := range mesh.Len() {
		if j != i {
			ends = append(ends, mesh.between(i, j)...)
		}
	}
	return ends
}

// links gives m's end of its link with peer, if there is one.
func links(m *grid.Manager, peer string) []linked {
	for _, l := range m.Stats().Links {
		if l.Peer == peer && (l.State == grid.StateLinked || l.State == grid.StateDraining) {
			return []linked{{m, peer, l.Since}}
		}
	}
	return nil
}

// over reports whether that end is no more, or is another one.
func (l linked) over() bool {
	now := links(l.m, l.peer)
	return len(now) == 0 || !now[0].since.Equal(l.since)
}

// untilOver waits until none of the ends is there any more.
func (mesh *Mesh) untilOver(ends []linked) {
	mesh.t.Helper()
	for _, end := range ends {
		if !mesh.until(end.over) {
			mesh.t.Fatalf("gridtest: %s has not noticed in %v that its link with %s was cut", end.m.Local(), patience, end.peer)
		}
	}
}
