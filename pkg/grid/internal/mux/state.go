package mux

// Role is which end of a stream this is.
type Role uint8

// The two ends. They differ in what an end means: the caller's ends its own
// direction, the handler's ends the stream.
const (
	Caller Role = iota
	Handler
)

// State is what can still happen on a stream, seen from one end.
type State uint8

// States of a stream.
const (
	Open       State = iota // both directions
	SendClosed              // caller only: our direction has ended
	RecvClosed              // handler only: the caller's direction has ended
	Closed                  // ended, for whatever reason
)

// Event is something that happens to a stream.
type Event uint8

// Events. Send… are ours, Recv… the other side's, Cut is the link's end.
const (
	SendData Event = iota
	SendEnd
	SendError  // handler only: it failed
	SendCancel // caller only
	RecvData
	RecvCredit
	RecvEnd
	RecvError  // caller only: it failed or was refused
	RecvCancel // handler only
	Cut
)

// Verdict is what to do about an event.
type Verdict uint8

// Verdicts.
const (
	Do      Verdict = iota // go on with it
	Ignore                 // it crossed with our own end on the way: drop it
	Refuse                 // our user may not: the stream has ended
	Violate                // the other side may not: the link ends
)

// Next says what ev does to an end in role and state s: the new state and what
// to do. It is the whole truth about streams; docs/protocol.md has the picture.
func Next(role Role, s State, ev Event) (State, Verdict) {
	switch ev {
	case SendError, RecvCancel:
		if role == Caller {
			return s, wrongRole(ev)
		}
	case SendCancel, RecvError:
		if role == Handler {
			return s, wrongRole(ev)
		}
	default: // both ends do it
	}
	if s == Closed {
		if ev <= SendCancel {
			return s, Refuse
		}
		return s, Ignore
	}
	switch ev {
	case SendData:
		if s == SendClosed {
			return s, Refuse
		}
		return s, Do
	case SendEnd:
		if role == Handler {
			return Closed, Do
		}
		if s == SendClosed {
			return s, Refuse
		}
		return SendClosed, Do
	case RecvData:
		if s == RecvClosed {
			return s, Violate
		}
		return s, Do
	case RecvCredit:
		return s, Do
	case RecvEnd:
		if role == Caller {
			return Closed, Do
		}
		if s == RecvClosed {
			return s, Violate
		}
		return RecvClosed, Do
	default: // SendError, SendCancel, RecvError, RecvCancel, Cut
		return Closed, Do
	}
}

func wrongRole(ev Event) Verdict {
	if ev <= SendCancel {
		return Refuse
	}
	return Violate
}
