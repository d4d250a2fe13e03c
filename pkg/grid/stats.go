package grid

import (
	"encoding/hex"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Summary is a Manager seen at one moment, in a few words however many peers
// there are.
type Summary struct {
	Local    string // this node's name
	Grid     string
	Instance string // this process, 32 hex digits

	ListEpoch uint64        // of the peer list in force; 0: one without
	ListAge   time.Duration // since it came into force
	Listed    bool          // Local is in it
	Draining  bool          // Shutdown or Close has begun

	Peers     int // not counting this node
	Linked    int // of these, how many have a link
	Congested int // of these, see Options.Congestion
	// Leaving counts links with removed peers on which something may still run,
	// see Options.RemovalGrace. A node that was itself removed has drained when
	// it is 0.
	Leaving int
}

// Stats is a Manager seen at one moment, with each of its links.
type Stats struct {
	Summary

	Links []LinkStats // one for each peer, sorted by name
	// Total is what went over all links that there ever were, removed peers'
	// too. It never falls, where a sum over Links does when a peer is removed.
	Total Traffic

	// Reconnects counts links that were made again, by the reason for which
	// the one before had ended: connection-lost, timeout, drained, replaced,
	// rotated, peer-removed, closed, protocol-violation, queue-overflow, other.
	Reconnects map[string]uint64
	// Refused counts refused handshakes, given and received, by their code, see
	// Refusal.
	Refused map[string]uint64
	// DialFailures counts dials that did not lead to a link, refused ones included.
	DialFailures uint64
}

// Traffic is what is counted on links.
type Traffic struct {
	BytesIn, BytesOut       uint64 // on the connection, within TLS
	MessagesIn, MessagesOut uint64 // requests, answers and stream messages
	BatchesIn, BatchesOut   uint64 // WebSocket messages
	Overloads               uint64 // calls of peers refused for being too many
}

// LinkStats is what there is to say of one peer. Bytes, messages, batches and
// overloads are counted over all links with it, the rest is of the one there is now.
type LinkStats struct {
	Peer       string
	State      State
	Since      time.Time // of being linked, draining, or neither
	Dialed     bool      // this node made the link
	Identity   string    // what the peer's certificate says; empty without TLS or link
	CertExpiry time.Time // of that certificate; zero without one
	LastError  string    // why there is no link; empty if there is one

	RTT                     time.Duration // of the last ping; 0: none yet
	BytesIn, BytesOut       uint64        // on the connection, within TLS
	MessagesIn, MessagesOut uint64        // requests, answers and stream messages
	BatchesIn, BatchesOut   uint64        // WebSocket messages
	Overloads               uint64        // calls of the peer's refused for being too many

	QueueBytes, QueueLimit int // outgoing, small frames
	StreamsOpen            int
	StreamsWaiting         int           // of these, waiting for credit
	LongestCreditWait      time.Duration // of these
	CallsOut, CallsIn      int           // running
	HandlersOverdue        int           // of CallsIn, running on after deadline or cancellation
	Congested              bool          // see Options.Congestion
}

// counts are what the manager itself counts.
type counts struct {
	mu           sync.Mutex // protects what follows
	reconnects   map[string]uint64
	dialFailures uint64
}

func (c *counts) reconnected(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reconnects == nil {
		c.reconnects = map[string]uint64{}
	}
	c.reconnects[reason]++
}

func (c *counts) dialFailed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialFailures++
}

// Summary looks at the manager, and at links only as far as it takes to count
// them: it allocates nothing for a peer, where Stats does.
func (m *Manager) Summary() Summary {
	ms := m.members.Load()
	s := m.summary(ms)
	for _, p := range ms.sorted {
		linked, congested := p.condition()
		s.count(linked, congested)
	}
	return s
}

// summary is all but what is counted over peers.
func (m *Manager) summary(ms *members) Summary {
	return Summary{
		Local: m.local, Grid: m.o.Grid, Instance: hex.EncodeToString(m.instance[:]),
		ListEpoch: ms.list.Epoch, ListAge: time.Since(ms.since), Listed: ms.list.Contains(m.local), Draining: m.leaving.Load(),
		Peers: len(ms.sorted), Leaving: m.countLeaving(),
	}
}

func (s *Summary) count(linked, congested bool) {
	if linked {
		s.Linked++
	}
	if congested {
		s.Congested++
	}
}

// countLeaving counts links whose peers are not in the list any more.
func (m *Manager) countLeaving() int {
	leaving := 0
	all := m.allLives()
	byName := m.members.Load().byName // after the links: it has the peers of the newest
	for _, lf := range all {
		if p := lf.peer; p != m.self && byName[p.name] != p {
			leaving++
		}
	}
	return leaving
}

// Stats looks at the manager and at all its links.
func (m *Manager) Stats() Stats {
	ms := m.members.Load()
	s := Stats{Summary: m.summary(ms), Links: make([]LinkStats, len(ms.sorted))}
	for i, p := range ms.sorted {
		s.Links[i] = p.stats()
		s.count(s.Links[i].State == StateLinked, s.Links[i].Congested)
	}
	s.Total = trafficOf(m.totals())
	m.counts.mu.Lock()
	s.Reconnects, s.DialFailures = maps.Clone(m.counts.reconnects), m.counts.dialFailures
	m.counts.mu.Unlock()
	m.refused.mu.Lock()
	s.Refused = maps.Clone(m.refused.counts)
	m.refused.mu.Unlock()
	return s
}

func (p *peer) stats() LinkStats {
	p.mu.Lock()
	s := LinkStats{Peer: p.name, State: p.state, Since: p.since, LastError: p.lastErr}
	total, held, links := p.past, p.held, slices.Clone(p.links)
	p.mu.Unlock()
	var now link.Stats
	for _, lf := range links {
		of := lf.link.Stats()
		total.Add(of.Totals)
		if lf == held {
			now = of
		}
	}
	s.BytesIn, s.BytesOut, s.MessagesIn, s.MessagesOut = total.BytesIn, total.BytesOut, total.MessagesIn, total.MessagesOut
	s.BatchesIn, s.BatchesOut, s.Overloads = total.BatchesIn, total.BatchesOut, total.Overloads
	if held == nil {
		return s
	}
	s.Dialed, s.Identity, s.CertExpiry = held.dialed, held.link.Identity(), held.expiry
	s.RTT, s.QueueBytes, s.QueueLimit = now.RTT, now.QueueBytes, now.QueueLimit
	s.StreamsOpen, s.StreamsWaiting, s.LongestCreditWait = now.Streams, now.StreamsWaiting, now.LongestWait
	s.CallsOut, s.CallsIn, s.HandlersOverdue = now.CallsOut, now.CallsIn, now.Overdue
	s.Congested = p.m.congested(&now)
	return s
}

// condition is what of stats a Summary counts.
func (p *peer) condition() (linked, congested bool) {
	p.mu.Lock()
	held := p.held
	linked = p.state == StateLinked
	p.mu.Unlock()
	if held != nil {
		now := held.link.Stats()
		congested = p.m.congested(&now)
	}
	return linked, congested
}

// congested is the one definition of it.
func (m *Manager) congested(now *link.Stats) bool {
	c := &m.o.Congestion
	return max(now.QueueHighFor, now.LongestWait-c.CreditWait) >= c.For
}

func trafficOf(t link.Totals) Traffic {
	return Traffic{
		BytesIn: t.BytesIn, BytesOut: t.BytesOut, MessagesIn: t.MessagesIn, MessagesOut: t.MessagesOut,
		BatchesIn: t.BatchesIn, BatchesOut: t.BatchesOut, Overloads: t.Overloads,
	}
}
