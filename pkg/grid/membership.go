package grid

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// ErrStaleList means that a list has a lower epoch than the one in force, which stays.
var ErrStaleList = peers.ErrStale

// members is who is in the grid. It is immutable and swapped whole, so that
// looking a peer up takes no lock.
type members struct {
	local  string
	list   peers.List
	since  time.Time
	byName map[string]*peer
	sorted []*peer // by name, Local excluded
}

// SetPeers gives the FULL list of names; it may contain Local, and need not.
// Peers that are new are dialled at once, links to those that stay are not
// touched, and those that are gone are removed: their calls fail at once with
// ErrPeerRemoved, and what runs with them has Options.RemovalGrace.
//
// If a name is not valid or stands twice, nothing changes. Where a list with
// an epoch is in force, only SetPeerList is accepted.
func (m *Manager) SetPeers(hosts []string) error {
	l, err := peers.NewList(hosts)
	if err != nil {
		return fmt.Errorf("set peers: %w", err)
	}
	var e *Event
	defer func() { m.tell(e) }() // without the lock
	m.listMu.Lock()
	defer m.listMu.Unlock()
	if epoch := m.members.Load().list.Epoch; epoch > 0 {
		return fmt.Errorf("set peers: %w: epoch %d; use SetPeerList", peers.ErrUnsigned, epoch)
	}
	e, err = m.applyLocked(l, l.Names)
	return err
}

// SetPeerList gives a list with an epoch, or one that a person wrote. It is
// refused if another grid's, if its epoch is lower than that of the list in
// force (ErrStaleList), or if that epoch has another list already; the same
// list again changes nothing. A list with an epoch that lacks Local, where the
// one before had it, means that this node is removed: all its peers are.
func (m *Manager) SetPeerList(l peers.List) error {
	_, err := m.setPeerList(l)
	return err
}

func (m *Manager) setPeerList(l peers.List) (peers.Verdict, error) {
	switch {
	case l.Grid != "" && l.Grid != m.o.Grid:
		return peers.Refused, fmt.Errorf("set peer list: %w: it is of grid %q, this node of %q", peers.ErrForeign, l.Grid, m.o.Grid)
	case l.Topology == peers.TopologyOnDemand:
		return peers.Refused, fmt.Errorf("set peer list: topology %q is not in this version: %w", l.Topology, errors.ErrUnsupported)
	case !l.Signed(): // the names of a signed one have been looked at
		named, err := peers.NewList(l.Names)
		if err != nil {
			return peers.Refused, fmt.Errorf("set peer list: %w", err)
		}
		l.Names = named.Names
	}
	var e *Event
	defer func() { m.tell(e) }() // without the lock
	m.listMu.Lock()
	defer m.listMu.Unlock()
	verdict, err := peers.Decide(m.members.Load().list, l, m.o.Local)
	if err != nil {
		return verdict, fmt.Errorf("set peer list: %w", err)
	}
	if verdict == peers.Unchanged {
		return verdict, nil
	}
	names := l.Names
	if verdict == peers.Removed {
		m.log.Warn("this node was removed from the peer list", "epoch", l.Epoch)
		names = nil
	}
	e, err = m.applyLocked(l, names)
	return verdict, err
}

// PeerList is the list in force.
func (m *Manager) PeerList() peers.List { return m.members.Load().list }

// applyLocked makes names, which are sorted, the peers: the difference to those
// before is all it acts on. It gives the event to be told of when the lock is
// free. In a mesh of a thousand, a thousand nodes do this for each list.
func (m *Manager) applyLocked(l peers.List, names []string) (*Event, error) {
	old := m.members.Load()
	next := &members{local: m.o.Local, list: l, since: time.Now(), byName: make(map[string]*peer, len(names)), sorted: make([]*peer, 0, len(names))}
	var added, gone []*peer
	for _, name := range names {
		if name == m.o.Local {
			continue
		}
		p := old.byName[name]
		if p == nil {
			p = m.newPeer(name)
			added = append(added, p)
		}
		next.byName[name] = p
		next.sorted = append(next.sorted, p)
	}
	if len(old.byName)+len(added) > len(next.byName) {
		for name, p := range old.byName {
			if next.byName[name] == nil {
				gone = append(gone, p)
			}
		}
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.members.Store(next) // under the lock: Close sees all peers there are
	m.mu.Unlock()

	for _, p := range gone {
		p.leave(ErrPeerRemoved, m.o.RemovalGrace)
	}
	m.inherit(added)
	for _, p := range next.sorted {
		p.wanted()
	}
	if len(added)+len(gone) > 0 {
		m.log.Info("peer list applied", "peers", len(next.sorted), "added", len(added), "removed", len(gone), "epoch", l.Epoch)
	}
	return &Event{Kind: EventPeers, Epoch: l.Epoch, Peers: len(next.sorted), Added: len(added), Removed: len(gone)}, nil
}

// inherit gives peers whose name was removed a moment ago the token of the
// link that still has its grace: the other side may know of no removal, and
// would take us for a second node of our name.
func (m *Manager) inherit(added []*peer) {
	if len(added) == 0 {
		return
	}
	m.mu.Lock()
	left := make(map[string]linkToken, len(m.lives))
	for lf := range m.lives {
		left[lf.peer.name] = lf.token
	}
	m.mu.Unlock()
	for _, p := range added {
		if token, ok := left[p.name]; ok {
			p.mu.Lock()
			p.token, p.heir = token, true
			p.mu.Unlock()
		}
	}
}

// wanted dials a peer of a list that has just come, unless it is linked or its
// turn is coming anyway.
func (p *peer) wanted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil && !p.redial.queued {
		p.scheduleLocked(0)
	}
}

// Connection gives the Connection to a peer, or to Local. It is nil for a name
// that is not in the list. It takes no lock.
func (m *Manager) Connection(host string) *Connection {
	if p := m.members.Load().byName[host]; p != nil {
		return &p.conn
	}
	if host == m.o.Local {
		return &m.self.conn
	}
	return nil
}

// Connections gives the Connections to all peers, sorted by name, without the
// one to Local.
func (m *Manager) Connections() []*Connection {
	sorted := m.members.Load().sorted
	all := make([]*Connection, len(sorted))
	for i, p := range sorted {
		all[i] = &p.conn
	}
	return all
}

// demandsURI reports whether the certificate of name must carry its URI: the
// host alone does not tell it from another entry, or the user or the list say so.
func (ms *members) demandsURI(name string, strict bool) bool {
	return strict || ms.list.Identity == peers.IdentityPod || ms.shareHost(name)
}

// shareHost reports whether another name than this one has its host: one of the
// list, or Local, in it or not.
func (ms *members) shareHost(name string) bool {
	host := name[:strings.LastIndexByte(name, ':')+1] // with the colon, so that names of one host stand together
	if ms.local != name && strings.HasPrefix(ms.local, host) {
		return true
	}
	i, _ := slices.BinarySearch(ms.list.Names, host)
	for ; i < len(ms.list.Names) && strings.HasPrefix(ms.list.Names[i], host); i++ {
		if ms.list.Names[i] != name {
			return true
		}
	}
	return false
}

// handedOver takes a signed list that a peer handed over.
func (m *Manager) handedOver(from string, raw []byte) {
	if m.o.VerifyList == nil {
		return
	}
	l, err := m.o.VerifyList(raw)
	if err == nil {
		var verdict peers.Verdict
		if verdict, err = m.setPeerList(l); err == nil {
			if verdict != peers.Unchanged && m.o.OnPeerList != nil {
				m.notices.add(m, l)
			}
			return
		}
	}
	// A list that crossed a newer one is no news.
	if !errors.Is(err, ErrStaleList) && m.refused.fresh(from, ofList) {
		m.log.Warn("peer list from a peer refused, the one in force stays", "peer", from, "error", err)
	}
}

// offerList hands our signed list to a peer whose own is older.
func (m *Manager) offerList(l *link.Link, theirs uint64) {
	list := m.members.Load().list
	if list.Raw() == nil || theirs >= list.Epoch || !m.track() {
		return
	}
	go func() { // a long list is sent in pieces, at the pace of the link
		defer m.untrack()
		l.SendList(list.Raw())
	}()
}
