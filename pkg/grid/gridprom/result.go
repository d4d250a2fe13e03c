package gridprom

import (
	"context"
	"errors"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// result is how a call ended, as a label: one of a small set, whatever codes
// programs make up.
type result int

const (
	resultOK result = iota
	// The handler's own.
	resultError // a code that is none of grid's
	resultPanic
	resultInternal
	resultInvalid
	resultNotFound
	resultExists
	resultPermission
	resultUnavailable
	// The caller's or the handler's context.
	resultCanceled
	resultDeadline
	// The grid's.
	resultDisconnected
	resultNotLinked
	resultRemoved
	resultUnknownHandler
	resultOverloaded
	resultDraining
	resultTooLarge
	resultClosed
	resultRefused // not sent for another reason
)

// resultNames are the values of the label result.
var resultNames = [...]string{
	resultOK: "ok", resultError: "error", resultPanic: "panic", resultInternal: "internal",
	resultInvalid: "invalid_argument", resultNotFound: "not_found", resultExists: "already_exists",
	resultPermission: "permission_denied", resultUnavailable: "unavailable",
	resultCanceled: "canceled", resultDeadline: "deadline_exceeded",
	resultDisconnected: "disconnected", resultNotLinked: "not_linked", resultRemoved: "peer_removed",
	resultUnknownHandler: "unknown_handler", resultOverloaded: "overloaded", resultDraining: "draining",
	resultTooLarge: "too_large", resultClosed: "closed", resultRefused: "refused",
}

var resultOfCode = map[grid.Code]result{
	grid.CodeCanceled: resultCanceled, grid.CodeDeadline: resultDeadline, grid.CodeInternal: resultInternal,
	grid.CodeInvalidArgument: resultInvalid, grid.CodeNotFound: resultNotFound, grid.CodeAlreadyExists: resultExists,
	grid.CodePermission: resultPermission, grid.CodeUnavailable: resultUnavailable,
}

var resultOfReason = []struct {
	err error
	of  result
}{
	{grid.ErrNotLinked, resultNotLinked}, {grid.ErrPeerRemoved, resultRemoved}, {grid.ErrUnknownHandler, resultUnknownHandler},
	{grid.ErrOverloaded, resultOverloaded}, {grid.ErrDraining, resultDraining}, {grid.ErrMessageTooLarge, resultTooLarge},
	{grid.ErrHeaderTooLarge, resultTooLarge}, {grid.ErrClosed, resultClosed},
}

// callerResult tells how a call ended for its caller.
func callerResult(err error) result {
	var (
		refused      *grid.RefusedError
		disconnected *grid.DisconnectedError
	)
	switch {
	case err == nil:
		return resultOK
	case errors.As(err, &refused):
		for _, r := range resultOfReason {
			if errors.Is(refused.Reason, r.err) {
				return r.of
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
func handlerResult(err error) result {
	var remote *grid.RemoteError
	switch {
	case err == nil:
		return resultOK
	case errors.As(err, &remote):
		if of, ok := resultOfCode[remote.Code]; ok {
			return of
		}
	case errors.Is(err, context.DeadlineExceeded):
		return resultDeadline
	case errors.Is(err, context.Canceled):
		return resultCanceled
	}
	return resultError
}
