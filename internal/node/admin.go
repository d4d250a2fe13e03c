package node

import (
	"net/http"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Limits of what only loopback or the token's holder may ask.
const (
	adminBulkTime = 5 * time.Minute // to send or take bodies of calls. Against who does not
	adminCalls    = 64              // calls, streams and benches at once, of all who may make them
	adminStreams  = adminCalls + forward.Tails + member.Reads
)

// adminHandler routes the admin port: what every member says, and what takes
// calls for the mesh.
func (n *Node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, need adminport.Access, next http.Handler) {
		mux.Handle(pattern, n.guard.Wrap(need, next))
	}
	for _, r := range n.member.Routes() {
		serve(r.Pattern, r.Need, r.Handler)
	}
	serve("GET "+adminapi.PathMesh, adminport.Read, n.member.Reads.Wrap("questions", http.HandlerFunc(n.serveMesh)))
	for pattern, h := range map[string]http.HandlerFunc{
		"POST " + adminapi.PathCall + "/{peer}/{handler...}": n.serveCall,
		"POST " + adminapi.PathBench + "/{peer}":             n.serveBench,
	} {
		serve(pattern, adminport.Admin, n.running.Wrap("calls", h))
	}
	serve("POST "+adminapi.PathStream+"/{peer}/{handler...}", adminport.Admin, n.streams())
	names := n.guard.Wrap(adminport.Admin, n.running.Wrap("calls", http.HandlerFunc(n.takeNames)))
	mux.Handle("PUT "+adminapi.PathPeers, n.member.Signed(names))
	return mux
}

// streams opens streams. Tails, which people leave open, have places of their own.
func (n *Node) streams() http.Handler {
	streams := &forward.Streams{Manager: n.m, Tails: n.tails, MaxMessage: n.config.MaxMessage}
	others, tails := n.running.Wrap("calls", streams), n.tailing.Wrap("tails", streams)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tail.IsTail(grid.HandlerID(r.PathValue("handler"))) {
			tails.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

func (n *Node) serveMesh(w http.ResponseWriter, r *http.Request) {
	adminport.Answer(w, http.StatusOK, n.mesh.get(r.Context()))
}

// takeNames takes an unsigned list, where the configuration names the peers itself.
func (n *Node) takeNames(w http.ResponseWriter, r *http.Request) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case kind != adminapi.TypeNames:
		adminport.Fail(w, http.StatusUnsupportedMediaType, adminapi.Error{
			Message: "Content-Type is not " + adminapi.TypeSigned + " or " + adminapi.TypeNames, Hint: "send a signed document, or names one a line",
		})
	case n.config.PeersFile != "":
		adminport.Fail(w, http.StatusConflict, adminapi.Error{
			Message: "this node's list comes from the file " + n.config.PeersFile, Hint: "change that file",
		})
	case n.config.PeersDir != "":
		adminport.Fail(w, http.StatusConflict, adminapi.Error{Message: "this node takes signed lists only", Hint: "send a signed document"})
	default:
		n.member.TakeNames(w, r)
	}
}
