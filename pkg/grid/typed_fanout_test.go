package grid_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// voteMesh has five nodes that answer "lock.acquire": node 3 refuses, node 4
// answers with what is no LockReply.
func voteMesh(t *testing.T) *gridtest.Mesh {
	t.Helper()
	mesh := gridtest.New(t, 5)
	mesh.Register(func(m *grid.Manager) error {
		switch m.Local() {
		case gridtest.Name(3):
			return acquire.Register(m, func(context.Context, *LockArgs) (*LockReply, error) {
				return nil, grid.NewError(grid.CodeAlreadyExists, "held")
			})
		case gridtest.Name(4):
			return m.RegisterSingle(acquire.ID(), func(context.Context, []byte) ([]byte, error) { return []byte{0xc1}, nil })
		}
		return acquire.Register(m, func(context.Context, *LockArgs) (*LockReply, error) {
			return &LockReply{Holder: m.Local()}, nil
		})
	})
	mesh.WaitLinked()
	return mesh
}

func TestTypedFanOut(t *testing.T) {
	mesh := voteMesh(t)
	var peers []string
	for r := range acquire.FanOut(t.Context(), mesh.Node(0), &LockArgs{}, grid.FanOut{Local: true}) {
		peers = append(peers, r.Peer)
		switch r.Peer {
		case gridtest.Name(3):
			wantRemote(t, "refusal", r.Err, grid.CodeAlreadyExists, "held")
		case gridtest.Name(4):
			wantRemote(t, "no LockReply", r.Err, grid.CodeInternal, "0xc1")
		default:
			if r.Err != nil || r.Reply.Holder != r.Peer {
				t.Errorf("%s: got %+v and %v", r.Peer, r.Reply, r.Err)
			}
		}
	}
	slices.Sort(peers)
	if want := []string{gridtest.Name(0), gridtest.Name(1), gridtest.Name(2), gridtest.Name(3), gridtest.Name(4)}; !slices.Equal(peers, want) {
		t.Errorf("answers of %v, want %v", peers, want)
	}
	for r := range acquire.FanOut(t.Context(), mesh.Node(0), nil, grid.FanOut{}) {
		if grid.OutcomeOf(r.Err) != grid.NotSent || !strings.Contains(r.Err.Error(), "the request is a nil") {
			t.Errorf("nil: got %v", r.Err)
		}
	}
}

func TestTypedQuorum(t *testing.T) {
	mesh := voteMesh(t)
	good, err := acquire.Quorum(t.Context(), mesh.Node(0), &LockArgs{}, 3, grid.FanOut{Local: true})
	if err != nil || len(good) != 3 {
		t.Errorf("3 of 5: got %d and %v", len(good), err)
	}
	for _, r := range good {
		if r.Reply == nil || r.Reply.Holder != r.Peer {
			t.Errorf("got %+v", r)
		}
	}
	good, err = acquire.Quorum(t.Context(), mesh.Node(0), &LockArgs{}, 4, grid.FanOut{Local: true})
	var quorum *grid.QuorumError
	if !errors.As(err, &quorum) || quorum.Want != 4 || len(good) > 3 {
		t.Errorf("4 of 5: got %d and %v", len(good), err)
	}
}
