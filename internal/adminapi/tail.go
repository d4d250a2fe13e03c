package adminapi

// The handlers of a node behind node log tail and node audit tail. Each is a
// stream that is opened with a LogTail or an AuditTail as JSON, or with nothing.
// Its messages are entries as they were logged, one JSON object each, and notes
// (TailNote). Whoever reads it says by messages how many bytes of them were
// read, as a decimal number, at least once in TailAck bytes; more than
// TailWindow that were not read are not sent. Who ends the requests at once
// needs to say nothing, and gets what the stream's own credit lets through.
const (
	HandlerLogTail   = "log.tail"
	HandlerAuditTail = "audit.tail"
)

// How a tail is read.
const (
	TailWindow = 24 << 10
	TailAck    = 8 << 10
)

// Tail is what both tails are told.
type Tail struct {
	Past   int  `json:"past"`             // begin with so many of the newest entries that match
	Follow bool `json:"follow,omitempty"` // and go on with new ones
}

// LogTail says which entries of a node's log are wanted: those for which all of
// it is true.
type LogTail struct {
	Tail

	Level string `json:"level,omitempty"` // this one and higher ones
	// Text stands in the message or in the value of an attribute, in upper or
	// lower case: each of them does.
	Text []string `json:"text,omitempty"`
	// Attrs are patterns for the values of attributes, by key; of one in groups
	// that is group.key.
	Attrs map[string]string `json:"attrs,omitempty"`
}

// AuditTail says which records of a node's audit are wanted: those for which all
// of it is true. What it lists are patterns of which one has to match.
type AuditTail struct {
	Tail

	Events    []string `json:"events,omitempty"`
	Handlers  []string `json:"handlers,omitempty"`
	Peers     []string `json:"peers,omitempty"`
	Results   []string `json:"results,omitempty"`
	Direction string   `json:"direction,omitempty"` // in, out
}

// TailNoteBegins is how a note begins, and no entry does.
const TailNoteBegins = `{"tail":`

// TailNote is a message of a tail that is no entry.
type TailNote struct {
	Tail TailEvent `json:"tail"`
}

// TailEvent is what happened to a tail.
type TailEvent struct {
	Node string `json:"node,omitempty"` // where, as the reader knows it; the node does not say

	Missed   uint64 `json:"missed,omitempty"`    // so many entries came and went before they were read
	TooLarge int    `json:"too_large,omitempty"` // an entry of so many bytes is more than the reader's node takes
}
