package grid

import "time"

// EventKind says what an Event is.
type EventKind string

// Kinds of events.
const (
	EventLinked    EventKind = "linked"     // a link came up
	EventUnlinked  EventKind = "unlinked"   // a link has ended
	EventRefused   EventKind = "refused"    // this node refused a handshake
	EventRefusedBy EventKind = "refused_by" // a peer refused one of this node's
	EventPeers     EventKind = "peers"      // another peer list holds
	EventDraining  EventKind = "draining"   // Shutdown was called
)

// Event is something that happened to the grid as a whole and not to a call,
// for a record of such things. Fields that a kind does not name are empty.
type Event struct {
	Time time.Time
	Kind EventKind

	// Peer is the other side of a link or handshake. Of a handshake that was
	// refused it is what the other side calls itself, or its address.
	Peer     string
	Identity string // what the certificate of a linked peer says
	Dialed   bool   // of a link: this node had dialled

	// Code and Reason say why a handshake was refused, as in Refusal, or why a
	// link has ended. The other side may have written the reason.
	Code   string
	Reason string

	// Of a peer list: its epoch, how many peers it has, and how many of them are
	// new, and how many others gone.
	Epoch                 uint64
	Peers, Added, Removed int
}

// tell hands an event to the user's function, if there is one. The caller holds
// no lock.
func (m *Manager) tell(e *Event) {
	if tell := m.o.OnEvent; tell != nil && e != nil {
		e.Time = time.Now()
		tell(*e)
	}
}
