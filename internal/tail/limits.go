package tail

import (
	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/target"
)

// The numbers of tails.
const (
	maxTails     = 32                 // at once. Against members that have the node filter for them all day
	maxPeerTails = 8                  // of them for one peer, so that one member does not take all places
	maxRequest   = 4 << 10            // bytes; in the path of the admin port it has to fit a head
	maxPast      = target.RingEntries // entries; more there are not
	maxList      = 32                 // patterns of one kind
	maxPattern   = 256                // bytes
	maxAck       = 20                 // bytes of a number

	// messagesAhead is the capacity of the stream in messages. What bounds it is
	// TailWindow: the shortest entries have some sixty bytes.
	messagesAhead = 1024
	// acksAhead: a reader that says it each TailAck bytes has fewer on the way.
	acksAhead = 16

	defaultPast = 10
)

// window is how many bytes are sent and not yet read.
const window = adminapi.TailWindow
