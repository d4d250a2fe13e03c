// Package ledger is what the members of a load say to its ledger, and what the
// ledger says to a test: test/e2e/loadapp writes it, the end-to-end tests read
// it.
package ledger

import "time"

// Kinds of events.
const (
	Starts = "starts" // a call is about to be made; the ledger may say no to it
	Runs   = "runs"   // a handler runs it
	Ends   = "ends"   // its caller knows how it went
	Stops  = "stops"  // a member was told to stop
)

// Outcomes of calls, by the words of grid.Outcome.
const (
	Answered = "Answered"
	NotSent  = "NotSent" // and tried again until the caller gave up
	Maybe    = "MaybeProcessed"
	Error    = "Error" // the handler's own, or a wrong answer
)

// MaxFailures is how many failures are kept with their words: more than a node
// that is killed can cost, which are the calls of 64 callers and their next ones.
const MaxFailures = 500

// Event is something that happened to a call, or to a member.
type Event struct {
	Kind    string `json:"kind"`
	ID      string `json:"id,omitempty"` // of the call
	Outcome string `json:"outcome,omitempty"`
	Retries int    `json:"retries,omitempty"` // of an end: how often it had to be made again
	Text    string `json:"text,omitempty"`    // the error
	Pod     string `json:"pod,omitempty"`
	Running int    `json:"running,omitempty"` // of a stop: handlers that ran at that moment
}

// Summary is what became of all calls.
type Summary struct {
	Started  int            `json:"started"`
	Open     int            `json:"open"`     // not ended yet
	Outcomes map[string]int `json:"outcomes"` // of those that have ended
	Retries  int            `json:"retries"`
	Wrong    []Wrong        `json:"wrong"`    // calls that did not run as often as their outcome says
	Failures []string       `json:"failures"` // the first of those that were not answered
	Stops    []Stop         `json:"stops"`
}

// Wrong is a call that ran twice, or was answered and did not run, or was said
// not to have been sent and ran.
type Wrong struct {
	ID      string `json:"id"`
	Ran     int    `json:"ran"`
	Outcome string `json:"outcome"`
}

// Stop is a member that was told to stop.
type Stop struct {
	Pod     string    `json:"pod"`
	Running int       `json:"running"`
	At      time.Time `json:"at"`
}
