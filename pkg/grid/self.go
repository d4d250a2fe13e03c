package grid

import (
	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// selfLink links the manager to itself within the process. Calls to oneself
// take the way of all others, only without a socket: so their semantics,
// errors, limits and copies are the same. It gives the caller's end; the
// serving end, m.callee, ends with it.
func (m *Manager) selfLink(p *peer) *link.Link {
	near, far := link.MemoryPair()
	side := m.ownSide()
	cfg := link.Config{
		Remote: m.local, Identity: m.local, Instance: m.instance, Ours: side, Theirs: side,
		Shared: m.shared, Owner: p, Self: true,
	}
	cfg.TheirHandlers = m.shared.Registry.Announcements(0)
	cfg.Announced = len(cfg.TheirHandlers)
	callee := cfg
	cfg.Transport, callee.Transport = near, far
	m.callee = link.Start(callee)
	return link.Start(cfg)
}
