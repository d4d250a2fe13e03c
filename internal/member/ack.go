package member

import (
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// ack says which list is in use, and what this member makes of it.
func (me *Member) ack() adminapi.Ack {
	stats := me.m.Summary()
	list := me.feed.status(&stats)
	current := me.m.PeerList()
	a := adminapi.Ack{
		Name: stats.Local, Instance: stats.Instance, Version: me.config.Version, Grid: stats.Grid,
		MeshID: current.MeshID, Epoch: list.Epoch, Source: list.Source, Keys: me.feed.keys(),
		Contains: list.Contains, Removed: list.Removed, Drained: me.drained(&stats, list),
		Ready:     len(me.ready.waiting(list)) == 0,
		Links:     adminapi.Links{Up: stats.Linked, Expected: stats.Peers, Congested: stats.Congested},
		ListError: me.feed.complaint(),
	}
	a.Draining = !a.Drained && (stats.Draining || me.ready.draining.Load() || list.Removed)
	if me.Telemetry != nil {
		t := me.Telemetry()
		a.TelemetryError, a.TargetsFailing = t.LastError, failing(t.Targets)
	}
	if me.certs != nil {
		expires := me.certs.Stats().Leaf.NotAfter
		a.CertificateExpires = &expires
	}
	return a
}

// failingFor is how long a target of log or audit may fail before others are told:
// receivers restart.
const failingFor = time.Minute

// failing names the targets that have failed for so long.
func failing(targets []adminapi.Target) (names []string) {
	for i := range targets {
		if t := &targets[i]; t.Failing && t.OldestSeconds >= failingFor.Seconds() {
			names = append(names, t.System+"/"+t.Name)
		}
	}
	return names
}

// drained reports whether nothing of the mesh runs here any more: after
// Shutdown, or on a member that was removed once its links have ended. That one
// needs no Shutdown, which could not be taken back: the list let go of its
// peers, calls that ran have had RemovalGrace, and a list that has it again
// brings it back.
func (me *Member) drained(stats *grid.Summary, list adminapi.PeerList) bool {
	return me.ready.drained.Load() || list.Removed && stats.Leaving == 0
}

// keys are the ids of those whose signatures count now.
func (f *feed) keys() []string {
	ids := []string{} // none is a list, too, for who reads the JSON
	if f.lists.Dir == "" {
		return ids
	}
	trust, err := f.trust()
	if err != nil {
		return ids
	}
	for _, key := range trust.Keys {
		ids = append(ids, peers.KeyID(key))
	}
	return ids
}
