package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// What every node serves, so that a mesh of plain nodes is of use, besides the
// tails of internal/tail.
const (
	handlerEcho   grid.HandlerID = "echo"   // the request
	handlerInfo   grid.HandlerID = "info"   // who serves and who called, as JSON
	handlerStatus grid.HandlerID = "status" // the node's status, as JSON
	handlerMesh   grid.HandlerID = "mesh"   // all nodes' status, asked by this one, as JSON
	handlerBench  grid.HandlerID = "bench"  // measures calls from this node to another
	handlerDigest grid.HandlerID = "digest" // a stream: bytes in, their SHA-256 out
)

// digestAhead is how many messages of a digest may be under way.
const digestAhead = 64

// info is the answer of the handler "info".
type info struct {
	Name     string    `json:"name"`
	Grid     string    `json:"grid"`
	Version  string    `json:"version"`
	Go       string    `json:"go"`
	Instance string    `json:"instance"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`

	Caller         string `json:"caller"`
	CallerIdentity string `json:"caller_identity,omitempty"` // what the caller's certificate says
}

// benchCall is what the handler "bench" is asked.
type benchCall struct {
	adminapi.BenchRequest
	To string `json:"to"`
}

// register makes the handlers known to the manager.
func (n *Node) register() error {
	for id, handle := range map[grid.HandlerID]grid.SingleHandler{
		handlerEcho:   func(_ context.Context, req []byte) ([]byte, error) { return req, nil },
		handlerInfo:   n.handleInfo,
		handlerStatus: n.handleStatus,
		handlerMesh: func(ctx context.Context, _ []byte) ([]byte, error) {
			return json.Marshal(n.mesh.get(ctx))
		},
		handlerBench: n.handleBench,
	} {
		if err := n.m.RegisterSingle(id, handle); err != nil {
			return err
		}
	}
	for id, handler := range n.tails.Handlers() {
		if err := n.m.RegisterStream(id, handler); err != nil {
			return err
		}
	}
	return n.m.RegisterStream(handlerDigest, grid.StreamHandler{Serve: digest, InCapacity: digestAhead, OutCapacity: 1})
}

func (n *Node) handleInfo(ctx context.Context, _ []byte) ([]byte, error) {
	call := grid.CallInfo(ctx)
	stats := n.m.Summary()
	return json.Marshal(info{
		Name: stats.Local, Grid: stats.Grid, Version: Version(), Go: runtime.Version(), Instance: stats.Instance,
		PID: os.Getpid(), Started: n.started, Now: time.Now(),
		Caller: call.Peer, CallerIdentity: call.Identity,
	})
}

func (n *Node) handleStatus(_ context.Context, req []byte) ([]byte, error) {
	var ask statusRequest
	if len(req) > 0 {
		if err := json.Unmarshal(req, &ask); err != nil {
			return nil, grid.NewError(grid.CodeInvalidArgument, "the request is not JSON: "+err.Error())
		}
	}
	status := n.member.Status()
	if ask.Worst > 0 {
		condense(&status, ask.Worst)
	}
	return json.Marshal(status)
}

func (n *Node) handleBench(ctx context.Context, req []byte) ([]byte, error) {
	var ask benchCall
	if err := json.Unmarshal(req, &ask); err != nil {
		const example = `{"to":"node-1:7700","callers":8,"bytes":512,"for_ms":1000}`
		return nil, grid.NewError(grid.CodeInvalidArgument, "the request is not JSON, such as "+example+": "+err.Error())
	}
	result, err := n.bench.run(ctx, ask.To, ask.BenchRequest)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// digest answers a stream of bytes, however cut into messages, with their
// SHA-256 in hex. Only a clean end of the requests has one: a stream that was
// cut gets none.
func digest(ctx context.Context, s *grid.HandlerStream) error {
	sum := sha256.New()
	for {
		msg, err := s.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return s.Send(ctx, hex.AppendEncode(nil, sum.Sum(nil)))
		}
		if err != nil {
			return fmt.Errorf("digest: %w", err)
		}
		sum.Write(msg)
	}
}
