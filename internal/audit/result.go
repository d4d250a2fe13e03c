package audit

import (
	"context"
	"errors"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Results besides ok, and besides the codes that programs give their errors.
// Those of the grid are its alone: an error with such a code comes with "code:"
// in front.
const (
	resultPanic        = "panic"
	resultError        = "error" // one without a code
	resultDisconnected = "disconnected"
	resultRefused      = "refused" // not sent, for a reason without a name here
)

var refusals = []struct {
	err    error
	result string
}{
	{grid.ErrNotLinked, "not_linked"}, {grid.ErrPeerRemoved, "peer_removed"}, {grid.ErrUnknownHandler, "unknown_handler"},
	{grid.ErrOverloaded, "overloaded"}, {grid.ErrDraining, "draining"}, {grid.ErrMessageTooLarge, "too_large"},
	{grid.ErrHeaderTooLarge, "too_large"}, {grid.ErrClosed, "closed"},
}

// callerResult tells how a call ended for its caller.
func callerResult(err error) string {
	var (
		refused      *grid.RefusedError
		disconnected *grid.DisconnectedError
	)
	switch {
	case err == nil:
		return ResultOK
	case errors.As(err, &refused):
		for _, r := range refusals {
			if errors.Is(refused.Reason, r.err) {
				return r.result
			}
		}
		return resultRefused
	case errors.As(err, &disconnected):
		return resultDisconnected
	}
	return handlerResult(err)
}

// handlerResult tells how a handler ended. An error of the grid is one that a
// call of the handler's own met: here it is just the handler's error.
func handlerResult(err error) string {
	if err == nil {
		return ResultOK
	}
	var remote *grid.RemoteError
	switch {
	case errors.As(err, &remote):
		if remote.Code == grid.CodeUnknown || remote.Code == "" {
			return resultError
		}
		if ours(string(remote.Code)) {
			return "code:" + string(remote.Code)
		}
		return string(remote.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return string(grid.CodeDeadline)
	case errors.Is(err, context.Canceled):
		return string(grid.CodeCanceled)
	}
	return resultError
}

// ours reports whether a word is a result that only the grid gives.
func ours(word string) bool {
	switch word {
	case ResultOK, resultPanic, resultError, resultDisconnected, resultRefused:
		return true
	}
	for _, r := range refusals {
		if word == r.result {
			return true
		}
	}
	return false
}
