package grid

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Errors of the grid itself. Test for them with errors.Is. None of them ever
// matches a *RemoteError: a handler that returns its own ErrDisconnected is
// not your link being cut.
var (
	// ErrDisconnected: the link was lost while the call was in flight. It is a
	// *DisconnectedError, which knows whether the call had been sent.
	ErrDisconnected = link.ErrDisconnected
	// ErrNotLinked: there is no link to the peer now. Wait for one with
	// Connection.Wait or CallOptions.WaitForLink.
	ErrNotLinked = errors.New("no link to the peer")
	// ErrPeerRemoved: the peer has left the peer list.
	ErrPeerRemoved = errors.New("the peer was removed from the peer list")
	// ErrUnknownHandler: the peer has no handler of that name and kind. A
	// rolling upgrade tests Connection.Supports before.
	ErrUnknownHandler = errors.New("the peer has no such handler")
	// ErrOverloaded: the peer runs as many calls, or holds as many bytes of
	// requests, as it allows. Slow down.
	ErrOverloaded = errors.New("the peer is overloaded")
	// ErrDraining: the peer, or this manager, is shutting down and takes no more calls.
	ErrDraining = errors.New("draining: no more calls are taken")
	// ErrMessageTooLarge: the message exceeds the peer's Limits.MaxMessage. It was not sent.
	ErrMessageTooLarge = errors.New("the message is larger than the peer takes")
	// ErrHeaderTooLarge: the call's Header exceeds the peer's Limits.MaxHeader. The call was not sent.
	ErrHeaderTooLarge = errors.New("the header is larger than the peer takes")
	// ErrStreamClosed: Send or Recv on a stream that has ended.
	ErrStreamClosed = errors.New("the stream has ended")
	// ErrNoCapacity: Send in a direction whose capacity the handler declared as 0.
	ErrNoCapacity = errors.New("the handler takes no messages in this direction")
	// ErrClosed: the manager was closed.
	ErrClosed = errors.New("the manager is closed")
)

// RefusedError is a call that is known not to have run, and why: Reason is one
// of the errors above, and errors.Is finds it.
type RefusedError struct {
	Peer    string
	Handler HandlerID
	Reason  error
	Detail  string // the peer's sentence, empty if it gave none
}

// Error names the call and the reason.
func (e *RefusedError) Error() string {
	s := fmt.Sprintf("call %q at %s was not sent or not run: %v", e.Handler, e.Peer, e.Reason)
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// Unwrap gives Reason.
func (e *RefusedError) Unwrap() error { return e.Reason }

// DisconnectedError is a call that was in flight when its link was lost. It is ErrDisconnected.
type DisconnectedError struct {
	Peer   string
	Reason string // why the link ended
	Sent   bool   // the peer may have run the call; false: it certainly did not
}

// Error says what was lost and whether the call may have run.
func (e *DisconnectedError) Error() string {
	state := "the call was not sent"
	if e.Sent {
		state = "the call may have run"
	}
	return fmt.Sprintf("link to %s lost: %s; %s", e.Peer, e.Reason, state)
}

// Is makes a *DisconnectedError an ErrDisconnected.
func (e *DisconnectedError) Is(target error) bool { return target == ErrDisconnected }

// Code names what a handler's error is, across processes and versions. Users
// register their own in Options.ErrorCodes.
type Code string

// Codes that the grid itself gives or that most programs need.
const (
	CodeUnknown         Code = link.CodeUnknown  // an error that nobody registered a code for
	CodeCanceled        Code = link.CodeCanceled // context.Canceled
	CodeDeadline        Code = link.CodeDeadline // context.DeadlineExceeded
	CodeInternal        Code = link.CodeInternal // the handler panicked or ended its goroutine, or too many replies wait for the caller's node
	CodeInvalidArgument Code = "invalid_argument"
	CodeNotFound        Code = "not_found"
	CodeAlreadyExists   Code = "already_exists"
	CodePermission      Code = "permission_denied"
	CodeUnavailable     Code = "unavailable"
)

// RemoteError is an error that the peer's handler returned. errors.Is finds
// context.Canceled and context.DeadlineExceeded by their codes, and the errors
// registered in Options.ErrorCodes.
type RemoteError struct {
	Code    Code
	Message string
	Peer    string
	Handler HandlerID

	is error // what Code stands for here
}

// Error gives where the error comes from and its message.
func (e *RemoteError) Error() string {
	if e.Peer == "" {
		return e.Message
	}
	return fmt.Sprintf("%s at %s: %s", e.Handler, e.Peer, e.Message)
}

// Is matches what the code stands for.
func (e *RemoteError) Is(target error) bool { return e.is != nil && target == e.is }

// NewError makes an error for a handler to return: code and message arrive at
// the caller as a *RemoteError.
func NewError(code Code, message string) error {
	return &RemoteError{Code: code, Message: message, is: codeErrors[code]}
}

// codeErrors are the codes that stand for an error everywhere.
var codeErrors = map[Code]error{
	CodeCanceled: context.Canceled,
	CodeDeadline: context.DeadlineExceeded,
}

// contextError is a context's end seen by a call, with what is known about it.
type contextError struct {
	cause error // context.Canceled or context.DeadlineExceeded
	sent  bool
}

func (e *contextError) Error() string {
	if e.sent {
		return e.cause.Error() + "; the call may have run"
	}
	return e.cause.Error() + "; the call was not sent"
}

func (e *contextError) Unwrap() error { return e.cause }

// Outcome answers the question of who wants to call again.
type Outcome int

// Outcomes of a call.
const (
	// Answered: the handler ran to its end, and its reply or error arrived.
	Answered Outcome = iota
	// NotSent: the handler has not run and will not. Calling again is safe.
	NotSent
	// MaybeProcessed: the handler may have run, in part or whole, or may still.
	MaybeProcessed
)

// String gives the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Answered:
		return "Answered"
	case NotSent:
		return "NotSent"
	default:
		return "MaybeProcessed"
	}
}

// OutcomeOf says what became of a call that ended with err. For an error that
// is not of this package, a bare context error included, it assumes the worst.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	if q, ok := errors.AsType[*QuorumError](err); ok {
		return q.outcome()
	}
	var (
		remote       *RemoteError
		refused      *RefusedError
		disconnected *DisconnectedError
		done         *contextError
	)
	// The outermost error decides: a handler may wrap what a call of its own returned.
	switch {
	case errors.As(err, &refused):
		return NotSent
	case errors.As(err, &remote):
		return Answered
	case errors.As(err, &disconnected):
		return outcome(disconnected.Sent)
	case errors.As(err, &done):
		return outcome(done.sent)
	}
	return MaybeProcessed
}

func outcome(sent bool) Outcome {
	if sent {
		return MaybeProcessed
	}
	return NotSent
}

// refusals are the errors behind the codes of refusals.
var refusals = map[string]error{
	link.CodeOverloaded:     ErrOverloaded,
	link.CodeDraining:       ErrDraining,
	link.CodeUnknownHandler: ErrUnknownHandler,
	link.CodeRemoved:        ErrPeerRemoved,
}

// publicError turns what a link says of a call into what users see.
func (p *peer) publicError(h HandlerID, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *link.Remote:
		code := Code(e.Code)
		return &RemoteError{Code: code, Message: e.Message, Peer: p.name, Handler: h, is: p.m.codes.meaning(code)}
	case *link.CutError:
		return &DisconnectedError{Peer: p.name, Reason: e.Error(), Sent: true}
	case *link.Failure:
		switch {
		case e.Cut != nil && e.Cut.Code == link.CodeRemoved && !e.Sent:
			return &RefusedError{Peer: p.name, Handler: h, Reason: ErrPeerRemoved}
		case e.Cut != nil:
			return &DisconnectedError{Peer: p.name, Reason: e.Cut.Error(), Sent: e.Sent}
		case e.Cause != nil:
			return &contextError{e.Cause, e.Sent}
		}
		reason, ok := refusals[e.Code]
		if !ok {
			reason = fmt.Errorf("refused: %s", e.Code)
		}
		return &RefusedError{Peer: p.name, Handler: h, Reason: reason, Detail: e.Text}
	}
	switch err {
	case link.ErrTooLarge:
		return &RefusedError{Peer: p.name, Handler: h, Reason: ErrMessageTooLarge}
	case link.ErrHeader:
		return &RefusedError{Peer: p.name, Handler: h, Reason: ErrHeaderTooLarge}
	case link.ErrStreamClosed:
		return ErrStreamClosed
	case link.ErrNoCredit:
		return ErrNoCapacity
	}
	return err
}

// errorCodes maps errors to codes and back, by Options.ErrorCodes.
type errorCodes struct {
	byCode map[Code]error
}

func newErrorCodes(own map[Code]error) errorCodes {
	all := make(map[Code]error, len(codeErrors)+len(own))
	maps.Copy(all, own)
	maps.Copy(all, codeErrors)
	return errorCodes{all}
}

// checkErrorCodes refuses codes that can't travel, and errors that a peer must
// not be able to forge: a handler's disconnection is not the caller's.
func checkErrorCodes(own map[Code]error) error {
	for code, err := range own {
		switch {
		case len(code) == 0 || len(code) > wire.MaxHandlerName:
			return fmt.Errorf("options: ErrorCodes[%.200q]: the code has %d bytes, allowed are 1 to %d", code, len(code), wire.MaxHandlerName)
		case err == nil:
			return fmt.Errorf("options: ErrorCodes[%q] is nil; give the error that it stands for", code)
		}
		for _, transport := range []error{
			ErrDisconnected, ErrNotLinked, ErrPeerRemoved, ErrUnknownHandler, ErrOverloaded, ErrDraining,
			ErrMessageTooLarge, ErrHeaderTooLarge, ErrStreamClosed, ErrNoCapacity, ErrClosed,
		} {
			if errors.Is(err, transport) {
				return fmt.Errorf("options: ErrorCodes[%q] is an error of this package (%w); give one of the program's own", code, transport)
			}
		}
	}
	return nil
}

// meaning gives the error that code stands for, or nil.
func (c errorCodes) meaning(code Code) error { return c.byCode[code] }

// encode gives code and message of a handler's error as they travel.
func (c errorCodes) encode(err error) (code, message string) {
	if remote, ok := errors.AsType[*RemoteError](err); ok {
		return string(remote.Code), remote.Message
	}
	// The transport's own sentinels are deliberately not looked for: an
	// error of this process' links means nothing to the caller's.
	for code, known := range c.byCode {
		if errors.Is(err, known) {
			return string(code), err.Error()
		}
	}
	return string(CodeUnknown), err.Error()
}
