package feed

import (
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// The numbers of the feed. Those of a list itself are in package peers.
const (
	// gather is how long changes are gathered before a list is made of them:
	// pods of one scale-up come within moments of each other.
	gather = 120 * time.Millisecond

	// epochSkip is how far a list goes beyond the last epoch that is known for
	// sure, where the ConfigMap that had the last one is lost: lists of the
	// seconds before may not be known. Status is written every 5 s at least, so
	// fewer than 50 are missing.
	epochSkip = 1000

	// failureShown is how long a list has not been published, for an error that
	// is tried again, until others are told: most are over by then.
	failureShown = 5 * time.Second

	// rotateWait is how long a step of a rotation waits for members that say
	// nothing, or whom nothing proves. By then each kubelet has brought the
	// ConfigMap to its pods several times over.
	rotateWait = 10 * time.Minute

	// rotateLook is how often a rotation under way is looked at.
	rotateLook = 2 * time.Second

	// hintLife is how long a list may be the last one before the next one has no
	// more need of its hints: by then every resolver knows the names in it, as a
	// name that was not there is remembered for 30 s at most.
	hintLife = time.Minute

	// notifyPace is how often others are told of a Grid that changes all the time.
	notifyPace = 300 * time.Millisecond

	// retrySoonest and retryLatest are when a look that failed is made again: sooner
	// first, and never so late that a Grid waits long for an API server that is
	// back, or for a quota that was raised.
	retrySoonest = 5 * time.Millisecond
	retryLatest  = 30 * time.Second

	// lookTime bounds one look at a Grid. One that hangs would keep it from being
	// looked at again.
	lookTime = 30 * time.Second

	// reconcilers is how many Grids are published at once. It bounds requests
	// to the API server.
	reconcilers = 4
)

// Of the push pool.
const (
	// maxTargets is how many targets of log and audit a node may name as failing.
	// It has 32 at most.
	maxTargets = 64

	// pollEvery is how often a node is asked how it is, give or take a tenth.
	pollEvery = 10 * time.Second
	// pollRate is how many questions are asked a second, at most: with more
	// members than pollRate*pollEvery each is asked less often.
	pollRate = 500

	// attemptTime is how long an attempt may take as a whole, dialTime the
	// connecting, tlsTime its handshake. Against nodes that hang.
	attemptTime = 5 * time.Second
	dialTime    = 2 * time.Second
	tlsTime     = 3 * time.Second

	// retryFirst is when a failed attempt is made again, retryGrowth by how much
	// longer each time, up to pollEvery. A pod has its address moments before
	// its node listens, so the first ones come soon.
	retryFirst  = 100 * time.Millisecond
	retryGrowth = 1.5

	// quickSlots is how many attempts at once may use the processor. One that
	// is not over after quickTime waits for something else, and makes room: so
	// dead pods delay nobody.
	quickSlots = 128
	quickTime  = 100 * time.Millisecond
	// slowSlots is how many attempts run at once with pods that gave no answer
	// the last time. They wait among themselves.
	slowSlots = 256

	// maxAnswer is the largest answer in bytes, maxHeader its head. Against
	// nodes that answer without end.
	maxAnswer = 64 << 10
	maxHeader = 16 << 10
	// maxRefusal is the largest answer of a node that shows which list it uses
	// instead of the one brought, as base64. Against the same; and since it is
	// much, refusals of no more than refusalSlots nodes are read at once.
	maxRefusal   = maxAnswer + (peers.MaxDocument+2)/3*4
	refusalSlots = 4
	// maxText is the longest text of a node's that goes on into the status.
	maxText = 256

	// idleTime is when a connection without a request is let go: a node that
	// listens closes it after 30 s itself.
	idleTime = 60 * time.Second
)
