package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// errLeaving ends the tails of a node that leaves the mesh: they would keep it.
var errLeaving = grid.NewError(grid.CodeUnavailable, "the node is shutting down")

// errLocal is what other nodes get where tails are the node's own business.
var errLocal = grid.NewError(grid.CodePermission, "this node shows its log and audit by its own admin port only (tails is local)")

// Who may see tails, as settings say it.
const (
	Mesh  = "mesh"  // each member of the mesh
	Local = "local" // who asks the node by its own admin port
)

// Server serves tails. Its methods may be called concurrently.
type Server struct {
	only  string // the one node whose calls are served; "": all are
	log   *target.Ring
	audit *audit.Audit

	leaving context.Context // has ended: no more tails
	leave   context.CancelCauseFunc

	mu   sync.Mutex // protects what follows
	sum  int
	from map[string]int // tails by peer
}

// New makes a server over the rings of a log and an audit, for who may see them:
// Local is the node of that name alone, Mesh every member. Leave it.
func New(log *target.Ring, a *audit.Audit, who, node string) *Server {
	s := &Server{log: log, audit: a, from: make(map[string]int)}
	if who == Local {
		s.only = node
	}
	s.leaving, s.leave = context.WithCancelCause(context.Background())
	return s
}

// Handlers are what to register with the manager of the node.
func (s *Server) Handlers() map[grid.HandlerID]grid.StreamHandler {
	return map[grid.HandlerID]grid.StreamHandler{
		adminapi.HandlerLogTail:   {Serve: s.serveLog, InCapacity: acksAhead, OutCapacity: messagesAhead},
		adminapi.HandlerAuditTail: {Serve: s.serveAudit, InCapacity: acksAhead, OutCapacity: messagesAhead},
	}
}

// Leave ends all tails, and refuses new ones.
func (s *Server) Leave() { s.leave(errLeaving) }

// Until gives a context that ends with ctx, or when the node leaves the mesh: for
// the tails that it reads at others, which would keep it as well.
func (s *Server) Until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.leaving, func() { cancel(context.Cause(s.leaving)) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// IsTail reports whether a handler is one that serves a tail.
func IsTail(h grid.HandlerID) bool {
	return h == adminapi.HandlerLogTail || h == adminapi.HandlerAuditTail
}

// may refuses who may not see anything, before anything is said of what it asks.
func (s *Server) may(ctx context.Context) error {
	if s.only != "" && grid.CallInfo(ctx).Peer != s.only {
		return errLocal
	}
	return nil
}

func (s *Server) serveLog(ctx context.Context, hs *grid.HandlerStream) error {
	if err := s.may(ctx); err != nil {
		return err
	}
	ask := adminapi.LogTail{Tail: adminapi.Tail{Past: defaultPast}}
	if err := read(hs.Payload(), &ask); err != nil {
		return err
	}
	wanted, err := logFilter(&ask)
	if err != nil {
		return invalid(err)
	}
	return s.serve(ctx, hs, s.log, ask.Tail, wanted)
}

func (s *Server) serveAudit(ctx context.Context, hs *grid.HandlerStream) error {
	if err := s.may(ctx); err != nil {
		return err
	}
	ask := adminapi.AuditTail{Tail: adminapi.Tail{Past: defaultPast}}
	if err := read(hs.Payload(), &ask); err != nil {
		return err
	}
	wanted, err := auditFilter(&ask)
	if err != nil {
		return invalid(err)
	}
	if ask.Follow {
		stop := s.audit.Watch()
		defer stop()
	}
	return s.serve(ctx, hs, s.audit.Ring(), ask.Tail, wanted)
}

// serve serves one tail, within its limits.
func (s *Server) serve(ctx context.Context, hs *grid.HandlerStream, ring *target.Ring, ask adminapi.Tail, wanted filter) error {
	if ask.Past < 0 || ask.Past > maxPast {
		return invalid(fmt.Errorf("past: %d entries, allowed are 0 to %d", ask.Past, maxPast))
	}
	peer := grid.CallInfo(ctx).Peer
	// What comes once the tail is counted is part of it.
	t := &stream{hs: hs, ring: ring, end: ring.End(), wanted: wanted}
	if err := s.enter(peer); err != nil {
		return err
	}
	defer s.exit(peer)
	ctx, cancel := s.Until(ctx)
	defer cancel()
	err := t.run(ctx, ask)
	if err != nil && errors.Is(context.Cause(ctx), errLeaving) {
		return errLeaving
	}
	return err
}

func (s *Server) enter(peer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.leaving.Err() != nil:
		return errLeaving
	case s.sum >= maxTails:
		return grid.NewError(grid.CodeUnavailable, fmt.Sprintf("%d tails run at this node, which is all that it serves; end one", s.sum))
	case s.from[peer] >= maxPeerTails:
		return grid.NewError(grid.CodeUnavailable, fmt.Sprintf("%d tails of %s run at this node, which is all that one peer may have; end one",
			s.from[peer], peer))
	}
	s.sum++
	s.from[peer]++
	return nil
}

func (s *Server) exit(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum--
	if s.from[peer]--; s.from[peer] == 0 {
		delete(s.from, peer)
	}
}

// read reads what a tail was asked for. What this version does not know is
// refused: it would be a filter that does nothing.
func read(payload []byte, into any) error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) > maxRequest {
		return invalid(fmt.Errorf("the request has %d bytes, allowed are %d", len(payload), maxRequest))
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something stands behind it")
		}
	}
	if err != nil {
		return invalid(fmt.Errorf(`the request is not JSON, such as {"past":10,"follow":true}: %w`, err))
	}
	return nil
}

func invalid(err error) error { return grid.NewError(grid.CodeInvalidArgument, "tail: "+err.Error()) }
