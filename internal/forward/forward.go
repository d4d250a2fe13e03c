package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// SetDeadlines gives reading and writing so much time from now on; 0: any.
func SetDeadlines(control *http.ResponseController, reading, writing time.Duration) {
	at := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return time.Now().Add(d)
	}
	_ = control.SetReadDeadline(at(reading)) // fails on a connection that is gone, as the next read will
	_ = control.SetWriteDeadline(at(writing))
}

// Connection finds the peer of the path, or answers that there is none.
func Connection(m *grid.Manager, w http.ResponseWriter, r *http.Request) (*grid.Connection, bool) {
	name := r.PathValue("peer")
	conn := m.Connection(name)
	if conn == nil {
		adminport.Fail(w, http.StatusNotFound, adminapi.Error{
			Message: fmt.Sprintf("there is no peer %.300q", name), Outcome: adminapi.OutcomeNotSent, Hint: someNames(m),
		})
		return nil, false
	}
	if r.URL.Query().Get(adminapi.ParamWait) == "true" {
		conn = conn.With(grid.CallOptions{WaitForLink: true})
	}
	return conn, true
}

// someNames lists the peers, as far as anybody wants to read them.
func someNames(m *grid.Manager) string {
	const most = 10
	names := m.PeerList().Names
	text := "the peer list has: " + strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// WithTimeout gives the context of a call or stream.
func WithTimeout(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc, bool) {
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

// Fail answers with the error of a call.
func Fail(w http.ResponseWriter, err error) {
	status, e := callError(err)
	adminport.Fail(w, status, e)
}
