package grid

import (
	"context"
	"fmt"
)

// Connection is one remote node of the grid, or the own one: what calls are
// made on. It stays the same through all links that the node has with that
// peer, and after the peer was removed it stays removed: a peer of the same
// name that comes back has a new one.
//
// All methods may be called concurrently with each other.
type Connection struct {
	peer *peer
	o    CallOptions
}

// CallOptions change how calls on a view of a Connection are made.
type CallOptions struct {
	// WaitForLink makes a call wait for a link, within its deadline, instead of
	// failing at once with ErrNotLinked.
	WaitForLink bool
	// RetryNotSent makes a call that is known not to have run be tried again,
	// within its deadline.
	RetryNotSent bool
	// Header travels with each call and is what CallInfo gives the handler.
	Header Header
}

// Header is what a caller says about a call beside its payload. Encoded it
// has at most the peer's Limits.MaxHeader bytes, 4 KiB by default.
type Header map[string]string

// Name is the peer's name, "host:port".
func (c *Connection) Name() string { return c.peer.name }

// State says what the link to the peer is like now.
func (c *Connection) State() State { return c.peer.currentState() }

// Wait waits until the peer is linked and takes calls. It ends early with
// ErrPeerRemoved or ErrClosed, or with an error that wraps the context's.
//
// It says that there was a link, not that there is one still: the network may
// take it at any moment, also between Wait and the call after it. That call
// then fails with an error whose Outcome is NotSent, or waits for the next link
// by itself if CallOptions.WaitForLink is set.
func (c *Connection) Wait(ctx context.Context) error {
	_, err := c.peer.waitLink(ctx)
	return err
}

// Supports reports whether the peer is linked and has the handler h.
func (c *Connection) Supports(h HandlerID) bool {
	l, err := c.peer.link()
	if err != nil {
		return false
	}
	_, ok := l.Supports(string(h))
	return ok
}

// With gives a view of the same peer whose calls are made with o, in place of
// the options of c. o.Header must not be changed afterwards.
func (c *Connection) With(o CallOptions) *Connection {
	return &Connection{peer: c.peer, o: o}
}

// State is what the link to a peer is like.
type State int

const (
	// StateDown means: there is no link. If this node is the one who dials, it will.
	StateDown State = iota
	// StateDialing means: a link is being made by this node.
	StateDialing
	// StateLinked means: there is a link, and it takes calls.
	StateLinked
	// StateDraining means: the peer is leaving. What runs goes on; new calls fail with ErrDraining.
	StateDraining
	// StateRemoved means: the peer is no longer in the peer list. Final.
	StateRemoved
)

// String names the state in one lower-case word.
func (s State) String() string {
	switch s {
	case StateDown:
		return "down"
	case StateDialing:
		return "dialing"
	case StateLinked:
		return "linked"
	case StateDraining:
		return "draining"
	case StateRemoved:
		return "removed"
	}
	return fmt.Sprintf("state %d", int(s))
}
