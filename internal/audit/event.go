package audit

import "github.com/gridmesh/gridmesh/pkg/grid"

// Handshakes' results.
const (
	resultAccepted = "accepted"
	byUs           = "us"
	byPeer         = "peer"
)

// OnEvent records what happens to the grid; give it to grid.Options.
func (a *Audit) OnEvent(e grid.Event) {
	if !a.on(a.config.Load()) {
		return // nor are strangers counted for nobody
	}
	r := Record{Time: e.Time, Peer: e.Peer, Identity: e.Identity, Dialed: e.Dialed, Code: e.Code, Reason: e.Reason}
	switch e.Kind {
	case grid.EventLinked:
		r.Event, r.Result = EventHandshake, resultAccepted
	case grid.EventRefused, grid.EventRefusedBy:
		r.Event, r.Result, r.By = EventHandshake, resultRefused, byUs
		of := &a.refusedUs
		if e.Kind == grid.EventRefusedBy {
			r.By, of = byPeer, &a.refusedPeers
		}
		var ok bool
		if r.Unrecorded, ok = of.enter(e.Time); !ok {
			return
		}
	case grid.EventUnlinked:
		r.Event = EventLinkEnd
	case grid.EventPeers:
		r.Event, r.Epoch, r.Peers, r.Added, r.Removed = EventPeers, e.Epoch, e.Peers, e.Added, e.Removed
	case grid.EventDraining:
		r.Event = EventDrain
	default:
		return // of a later version of the library
	}
	a.Add(&r)
}
