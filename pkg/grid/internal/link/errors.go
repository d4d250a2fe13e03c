package link

import (
	"errors"
	"fmt"
)

// Codes of refusals and of link ends, as they travel in REFUSED and GOODBYE.
const (
	CodeOverloaded     = "overloaded"
	CodeDraining       = "draining"
	CodeUnknownHandler = "unknown-handler"
	CodeRemoved        = "peer-removed"

	CodeViolation = "protocol-violation"
	CodeTimeout   = "timeout"
	CodeDrained   = "drained"
	CodeReplaced  = "replaced"
	CodeClosed    = "closed"
	CodeLost      = "connection-lost"
	CodeQueue     = "queue-overflow"
)

// Codes of ERROR and CANCEL that the library itself gives.
const (
	CodeCanceled = "canceled"
	CodeDeadline = "deadline_exceeded"
	CodeInternal = "internal"
	CodeUnknown  = "unknown"
)

// CutError says why a link ended.
type CutError struct {
	Code    string
	Message string
	Remote  bool // the other side ended it and gave the reason
}

// Error gives the reason in a sentence.
func (e *CutError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the other side"
	}
	return fmt.Sprintf("link ended by %s: %s: %s", who, e.Code, e.Message)
}

// ErrDisconnected is what every CutError is. The grid package exports it.
var ErrDisconnected = errors.New("the link to the peer was lost")

// Is makes a cut an ErrDisconnected: it is the cause of a handler's context.
func (e *CutError) Is(target error) bool { return target == ErrDisconnected }

// Failure is how a call fails other than by its handler. The grid package
// turns it into the errors that users see.
type Failure struct {
	Code  string    // of a refusal, empty for a cut or a done context
	Cut   *CutError // the link ended
	Cause error     // the context's error
	Sent  bool      // the other side may have run the call
	Ended bool      // the link had ended before the call came to it
	Text  string    // the other side's sentence, if it gave one
}

// Error is for logs; users see the grid package's errors.
func (f *Failure) Error() string {
	switch {
	case f.Cut != nil:
		return f.Cut.Error()
	case f.Cause != nil:
		return f.Cause.Error()
	}
	return f.Code + ": " + f.Text
}

// Unwrap gives the context's error or the link's end.
func (f *Failure) Unwrap() error {
	if f.Cut != nil {
		return f.Cut
	}
	return f.Cause
}

// Remote is a handler's own error as it arrived.
type Remote struct{ Code, Message string }

// Error gives code and message.
func (r *Remote) Error() string { return r.Code + ": " + r.Message }

var (
	// ErrHeader is returned for a call whose header is above the other side's limit. It was not sent.
	ErrHeader = errors.New("header is larger than the other side takes")
	// ErrStreamClosed is returned by Send and Recv on a stream that has ended.
	ErrStreamClosed = errors.New("the stream has ended")
	// ErrTooLarge is returned for a message above the other side's limit, which was not sent.
	ErrTooLarge = errors.New("message is larger than the other side takes")
	// ErrNoCredit is returned by Send on a direction whose capacity is 0.
	ErrNoCredit = errors.New("the handler's capacity in this direction is 0")
)
