package node

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

const (
	// meshTime is how long the nodes have to say how they are.
	meshTime = 2 * time.Second
	// meshWhole is the largest mesh whose nodes each tell of all their links;
	// in a larger one they tell of the worst.
	meshWhole = 64
	meshWorst = 10
)

// statusRequest is what the handler "status" is asked; empty: everything.
type statusRequest struct {
	Worst int `json:"worst,omitempty"` // tell of so many peers that are not well, and of no others
}

// meshView asks all nodes how they are, over the mesh. As anybody may ask for
// it, an answer is kept for a second, and longer in a large mesh, and
// questions that come meanwhile share one round.
type meshView struct {
	m *grid.Manager

	mu    sync.Mutex // protects what follows
	last  adminapi.Mesh
	until time.Time     // how long last is good
	round chan struct{} // closed when the round that runs has ended; nil: none runs
}

// get gives a recent view. When ctx ends it gives the one of before.
func (v *meshView) get(ctx context.Context) adminapi.Mesh {
	for {
		last, round, mine := v.look()
		switch {
		case mine:
			return v.ask(ctx)
		case round == nil:
			return last
		}
		select {
		case <-round:
		case <-ctx.Done():
			return last
		}
	}
}

// look gives the last view, and the round to wait for if that is too old. mine
// says that there was none, and that it is the caller's to make.
func (v *meshView) look() (last adminapi.Mesh, round <-chan struct{}, mine bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case time.Now().Before(v.until):
		return v.last, nil, false
	case v.round != nil:
		return v.last, v.round, false
	}
	v.round = make(chan struct{})
	return v.last, v.round, true
}

// ask makes one round. Whoever asked first leaving must not spoil it for the
// others, so it has its own time.
func (v *meshView) ask(ctx context.Context) adminapi.Mesh {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), meshTime)
	defer cancel()
	mesh := askMesh(ctx, v.m)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = mesh
	v.until = time.Now().Add(time.Second + time.Duration(len(mesh.Members)/100)*time.Second)
	close(v.round)
	v.round = nil
	return mesh
}

// askMesh calls every node, this one too.
func askMesh(ctx context.Context, m *grid.Manager) adminapi.Mesh {
	var request statusRequest
	nodes := len(m.Connections()) + 1
	if nodes > meshWhole {
		request.Worst = meshWorst
	}
	mesh := adminapi.Mesh{Asked: time.Now(), By: m.Local()}
	payload, err := json.Marshal(request)
	if err != nil {
		return mesh // an int can always be written
	}
	for result := range m.FanOut(ctx, handlerStatus, payload, grid.FanOut{Local: true}) {
		member := adminapi.Member{Name: result.Peer}
		err := result.Err
		if err == nil {
			member.Status, err = readStatus(result.Msg, nodes)
		}
		if err != nil {
			member.Error = err.Error()
		} else {
			mesh.Links.Up += member.Status.Links.Up
			mesh.Links.Congested += member.Status.Links.Congested
		}
		mesh.Members = append(mesh.Members, member)
	}
	mesh.Links.Expected = len(mesh.Members) * (len(mesh.Members) - 1)
	slices.SortFunc(mesh.Members, func(a, b adminapi.Member) int { return cmp.Compare(a.Name, b.Name) })
	return mesh
}

// condense leaves of a status what a whole mesh is judged by: the peers that
// are not well, and of these no more than most.
func condense(s *adminapi.Status, most int) {
	s.Peers = slices.DeleteFunc(s.Peers, func(p adminapi.Peer) bool { return p.Linked() && !p.Congested })
	s.Peers = s.Peers[:min(len(s.Peers), most)]
	s.Refusals = s.Refusals[:min(len(s.Refusals), most)]
	if t := s.Telemetry; t != nil {
		t.Targets = slices.DeleteFunc(t.Targets, func(t adminapi.Target) bool { return !t.Failing && t.Dropped == 0 })
		t.Targets = t.Targets[:min(len(t.Targets), most)]
		t.LeftQueues = nil // its own status tells of them
	}
}
