package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// byteBudget bounds the bodies that the admin port holds for calls.
type byteBudget struct {
	most int64
	used atomic.Int64
}

func (b *byteBudget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *byteBudget) give(n int64) { b.used.Add(-n) }

// serveCall makes a call for whoever holds the admin port: the body is the
// request, the answer's body is the reply.
func (n *Node) serveCall(w http.ResponseWriter, r *http.Request) {
	conn, ok := forward.Connection(n.m, w, r)
	if !ok {
		return
	}
	ctx, cancel, ok := forward.WithTimeout(w, r)
	if !ok {
		return
	}
	defer cancel()
	size := r.ContentLength
	if size < 0 {
		size = n.config.MaxMessage
	}
	if size > n.config.MaxMessage || !n.held.take(size) {
		adminport.Fail(w, http.StatusRequestEntityTooLarge, adminapi.Error{
			Message: fmt.Sprintf("a request of up to %d bytes is more than this node holds for its admin port now", size),
			Outcome: adminapi.OutcomeNotSent, Hint: "see max-message and max-memory, or try again when other calls have ended",
		})
		return
	}
	defer n.held.give(size)
	control := http.NewResponseController(w)
	forward.SetDeadlines(control, adminBulkTime, 0)
	payload, ok := adminport.Body(w, r, n.config.MaxMessage)
	if !ok {
		return
	}
	forward.SetDeadlines(control, 0, 0) // the call has its own time
	reply, err := conn.Request(ctx, grid.HandlerID(r.PathValue("handler")), payload)
	forward.SetDeadlines(control, 0, adminBulkTime)
	if err != nil {
		forward.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(adminapi.HeaderOutcome, adminapi.OutcomeAnswered)
	_, _ = w.Write(reply) //nolint:gosec // bytes, not sniffed, and for no browser: guard refuses them
}

// serveBench measures calls from this node to a peer.
func (n *Node) serveBench(w http.ResponseWriter, r *http.Request) {
	raw, ok := adminport.Body(w, r, 4<<10)
	if !ok {
		return
	}
	var ask adminapi.BenchRequest
	if err := json.Unmarshal(raw, &ask); err != nil {
		adminport.Fail(w, http.StatusBadRequest, adminapi.Error{
			Message: "the body is not JSON: " + err.Error(), Hint: `send {"callers":8,"bytes":512,"for_ms":1000}`,
		})
		return
	}
	forward.SetDeadlines(http.NewResponseController(w), 0, benchFor+adminport.WriteTime)
	result, err := n.bench.run(r.Context(), r.PathValue("peer"), ask)
	if err != nil {
		forward.Fail(w, err)
		return
	}
	adminport.Answer(w, http.StatusOK, result)
}
