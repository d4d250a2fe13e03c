package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

func outcomeText(err error) string {
	switch grid.OutcomeOf(err) {
	case grid.Answered:
		return adminapi.OutcomeAnswered
	case grid.NotSent:
		return adminapi.OutcomeNotSent
	default:
		return adminapi.OutcomeMaybe
	}
}

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
	conn, ok := n.connection(w, r)
	if !ok {
		return
	}
	ctx, cancel, ok := withTimeout(w, r)
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
	setDeadlines(control, adminBulkTime, 0)
	payload, ok := adminport.Body(w, r, n.config.MaxMessage)
	if !ok {
		return
	}
	setDeadlines(control, 0, 0) // the call has its own time
	reply, err := conn.Request(ctx, grid.HandlerID(r.PathValue("handler")), payload)
	setDeadlines(control, 0, adminBulkTime)
	if err != nil {
		n.failCall(w, err)
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
	setDeadlines(http.NewResponseController(w), 0, benchFor+adminport.WriteTime)
	result, err := n.bench.run(r.Context(), r.PathValue("peer"), ask)
	if err != nil {
		n.failCall(w, err)
		return
	}
	adminport.Answer(w, http.StatusOK, result)
}

// setDeadlines gives reading and writing so much time from now on; 0: any.
func setDeadlines(control *http.ResponseController, reading, writing time.Duration) {
	at := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return time.Now().Add(d)
	}
	_ = control.SetReadDeadline(at(reading)) // fails on a connection that is gone, as the next read will
	_ = control.SetWriteDeadline(at(writing))
}

// connection finds the peer of the path, or answers that there is none.
func (n *Node) connection(w http.ResponseWriter, r *http.Request) (*grid.Connection, bool) {
	name := r.PathValue("peer")
	conn := n.m.Connection(name)
	if conn == nil {
		adminport.Fail(w, http.StatusNotFound, adminapi.Error{
			Message: fmt.Sprintf("there is no peer %.300q", name), Outcome: adminapi.OutcomeNotSent, Hint: n.someNames(),
		})
		return nil, false
	}
	if r.URL.Query().Get(adminapi.ParamWait) == "true" {
		conn = conn.With(grid.CallOptions{WaitForLink: true})
	}
	return conn, true
}

// someNames lists the peers, as far as anybody wants to read them.
func (n *Node) someNames() string {
	const most = 10
	names := n.m.PeerList().Names
	text := "the peer list has: " + strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// withTimeout gives the context of a call or stream.
func withTimeout(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc, bool) {
	given := r.URL.Query().Get(adminapi.ParamTimeout)
	if given == "" {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, true
	}
	d, err := time.ParseDuration(given)
	if err != nil || d <= 0 {
		adminport.Fail(w, http.StatusBadRequest, adminapi.Error{
			Message: fmt.Sprintf("timeout is %.100q", given), Outcome: adminapi.OutcomeNotSent, Hint: "say a duration above 0, such as 500ms or 10s",
		})
		return nil, nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return ctx, cancel, true
}

// failures say what each error of a call means to HTTP, and what to do next.
var failures = []struct {
	is     error
	status int
	hint   string
}{
	{grid.ErrNotLinked, http.StatusServiceUnavailable, "see node status for why there is no link; --wait waits for it"},
	{grid.ErrUnknownHandler, http.StatusNotFound, "a plain node serves echo, info, status, mesh, bench and the streams digest, log.tail and audit.tail"},
	{grid.ErrOverloaded, http.StatusTooManyRequests, "try again, more slowly"},
	{grid.ErrDraining, http.StatusServiceUnavailable, "the node is shutting down; call another one, or wait for it to come back"},
	{grid.ErrPeerRemoved, http.StatusNotFound, "see node peers show"},
	{grid.ErrMessageTooLarge, http.StatusRequestEntityTooLarge, "the peer's max-message bounds it; use a stream"},
	{grid.ErrNoCapacity, http.StatusConflict, "give the stream nothing to send, as in </dev/null"},
	{grid.ErrClosed, http.StatusServiceUnavailable, "this node has shut down"},
	{grid.ErrDisconnected, http.StatusBadGateway, "see node status; the link comes back by itself"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "give it more time with --timeout, or see why it takes so long"},
}

// callError makes what a call's error is to whoever asked for the call.
func callError(err error) (int, adminapi.Error) {
	e := adminapi.Error{Message: err.Error(), Outcome: outcomeText(err), NoHandler: errors.Is(err, grid.ErrUnknownHandler)}
	if remote := (*grid.RemoteError)(nil); errors.As(err, &remote) {
		e.Code = string(remote.Code)
		if remote.Code == grid.CodeInvalidArgument {
			return http.StatusUnprocessableEntity, e
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return http.StatusBadGateway, e
		}
	}
	for _, f := range failures {
		if errors.Is(err, f.is) {
			e.Hint = f.hint
			return f.status, e
		}
	}
	return http.StatusBadGateway, e
}

func (n *Node) failCall(w http.ResponseWriter, err error) {
	status, e := callError(err)
	adminport.Fail(w, status, e)
}

// isEnd reports a stream's clean end.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }
