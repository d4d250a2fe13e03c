package grid

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Manager is this node of a grid: it keeps one link with every peer of its
// list, serves their calls with the handlers registered, and gives the
// Connections to call them. All methods may be called concurrently.
type Manager struct {
	o              Options // complete and checked
	limits         Limits
	local          string
	defaultTimeout time.Duration
	log            *slog.Logger
	instance       instanceID
	codes          errorCodes
	interceptors   []Interceptor
	callSingle     SingleFunc // nil: no interceptor
	callStream     OpenFunc   // nil: no interceptor
	shared         *link.Shared
	self           *peer      // oneself
	callee         *link.Link // the end of its link that serves

	members atomic.Pointer[members]
	listMu  sync.Mutex // held to change members; before all other locks

	refused *refusalLog
	dials   dialQueue
	gate    gate
	notices notices
	counts  counts

	rotations atomic.Uint64 // how often Rotate was called

	leaving atomic.Bool // Shutdown or Close has begun: no new links
	ctx     context.Context
	cancel  context.CancelFunc // ends handshakes and waits

	mu       sync.Mutex  // protects what follows
	unbind   func() bool // from the context of NewManager
	closed   bool        // no more goroutines
	closedBy string      // the reason that links were given
	lives    map[*life]struct{}
	past     link.Totals    // of the links with peers that have ended
	wg       sync.WaitGroup // all goroutines of this package, and handshakes that come in; added to under mu
	done     chan struct{}  // closed when everything has ended; nil before Close
}

// NewManager makes a node and starts to dial the peers that o names. When ctx
// ends, the manager is closed as by Close. An error names the field of o and
// says what is allowed.
//
// Peers can come in once Handler is served at o.Path. Register handlers before
// that, or make them known with Supports.
func NewManager(ctx context.Context, o Options) (*Manager, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	m := &Manager{
		o: o, limits: o.Limits, local: o.Local, defaultTimeout: o.DefaultTimeout, log: o.Logger,
		codes: newErrorCodes(o.ErrorCodes), interceptors: o.Interceptors,
		refused: newRefusalLog(o.Logger),
		gate:    newGate(o.Limits.PreAuth, o.Limits.Handshakes, o.Limits.HandshakeTimeout),
		lives:   map[*life]struct{}{},
	}
	_, _ = rand.Read(m.instance[:]) // never fails: crypto/rand ends the process instead
	m.callSingle, m.callStream = composeCallers(o.Interceptors)
	m.refused.tell = m.tell
	m.dials.m = m
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.members.Store(&members{local: o.Local, since: time.Now()})
	limits := o.Limits.ofLink()
	limits.QueueMark = int(o.Congestion.QueueShare * float64(limits.SendQueue))
	m.shared = link.NewShared(limits, &link.Registry{}, o.Logger, m.codes.encode)
	_ = m.shared.Registry.Add(&link.Handler{Name: renewHandler, Single: renewalAsked}) // the first one: its name is free
	m.startSelf()
	if o.InsecurePlainText {
		m.log.Warn("links are plain text: whoever is on the way reads and alters everything", "option", "InsecurePlainText")
	}
	if o.Peers != nil {
		if err := m.SetPeers(o.Peers); err != nil {
			_ = m.Close()
			return nil, err
		}
	}
	m.mu.Lock() // ctx may have ended, and Close run already
	m.unbind = context.AfterFunc(ctx, func() { _ = m.Close() })
	m.mu.Unlock()
	return m, nil
}

// Local is this node's name.
func (m *Manager) Local() string { return m.local }

// startSelf makes the peer that is this node itself.
func (m *Manager) startSelf() {
	p := &peer{m: m, name: m.local, state: StateLinked, since: time.Now()}
	p.conn.peer = p
	lf := &life{peer: p, link: m.selfLink(p), since: time.Now()}
	p.held = lf
	p.live.Store(lf.link)
	m.self = p
	m.track()
	m.addLife(lf)
	go p.attend(lf)
}

// ownSide is what our hello says of our limits.
func (m *Manager) ownSide() link.Side {
	return link.Side{
		MaxMessage: m.limits.MaxMessage, MaxCalls: m.limits.MaxCalls,
		StreamWindow: m.limits.StreamWindow, EagerWindow: m.limits.EagerWindow,
		Eager: m.limits.Eager, MaxBatch: m.limits.MaxBatch, MaxHeader: m.limits.MaxHeader, MaxHandlers: m.limits.MaxHandlers,
	}
}

// announce tells all peers of handlers registered since they were told last.
func (m *Manager) announce() {
	m.callee.Announce()
	for _, lf := range m.allLives() {
		lf.link.Announce()
	}
}

// WaitAll waits until every peer of the list is linked, also of one that comes
// meanwhile. It ends early with ErrClosed, or with an error that wraps ctx's
// and names a peer that is missing.
func (m *Manager) WaitAll(ctx context.Context) error {
	for {
		ms := m.members.Load()
		for _, p := range ms.sorted {
			if _, err := p.waitLink(ctx); err != nil && m.members.Load() == ms {
				return err
			}
		}
		if m.members.Load() == ms {
			return nil
		}
	}
}

// track counts a goroutine that Close waits for. false: it must not be started.
func (m *Manager) track() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.wg.Add(1)
	return true
}

func (m *Manager) untrack() { m.wg.Done() }

func (m *Manager) addLife(lf *life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lives[lf] = struct{}{}
}

// dropLife takes a link out that has ended, and keeps what it counted.
func (m *Manager) dropLife(lf *life, total link.Totals) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lives, lf)
	if lf.peer != m.self {
		m.past.Add(total)
	}
}

// totals is what all links have counted that there ever were, but for that to oneself.
func (m *Manager) totals() link.Totals {
	m.mu.Lock()
	total, live := m.past, make([]*life, 0, len(m.lives))
	for lf := range m.lives {
		if lf.peer != m.self {
			live = append(live, lf)
		}
	}
	m.mu.Unlock() // a link that ends from here on is in live, and counted once
	for _, lf := range live {
		total.Add(lf.link.Totals())
	}
	return total
}

// allLives are all links there are, that to oneself and those on their way out included.
func (m *Manager) allLives() []*life {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*life, 0, len(m.lives))
	for lf := range m.lives {
		all = append(all, lf)
	}
	return all
}

// notices tells OnPeerList of lists, one at a time and the newest at last. One
// that another overtakes is left out.
type notices struct {
	mu      sync.Mutex // protects what follows; not held during the call
	next    *peers.List
	running bool
}

func (n *notices) add(m *Manager, l peers.List) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next = &l
	if !n.running && m.track() {
		n.running = true
		go n.run(m)
	}
}

func (n *notices) run(m *Manager) {
	defer m.untrack()
	for {
		n.mu.Lock()
		l := n.next
		n.next, n.running = nil, n.next != nil
		n.mu.Unlock()
		if l == nil {
			return
		}
		m.o.OnPeerList(*l)
	}
}
