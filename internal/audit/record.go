package audit

import (
	"strconv"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/entry"
	"github.com/gridmesh/gridmesh/internal/target"
)

// Events.
const (
	EventCall      = "call"      // a single request has ended
	EventStream    = "stream"    // a stream has ended
	EventHandshake = "handshake" // a link came up, or a handshake was refused
	EventLinkEnd   = "link_end"  // a link has ended
	EventPeers     = "peers"     // another peer list holds
	EventDrain     = "drain"     // this node is leaving
	EventStart     = "start"     // the audit began
	EventStop      = "stop"      // and ended, as it should
	EventGap       = "gap"       // records are missing
)

// Directions of a call.
const (
	In  = "in"  // this node served it
	Out = "out" // this node made it
)

// ResultOK is the result of what went well.
const ResultOK = "ok"

// Record is one event. Fields that are zero are left out, but for those that an
// event always has (docs/audit.md).
type Record struct {
	Time  time.Time
	Event string

	Peer     string
	Identity string // what the peer's certificate says

	Handler   string
	Direction string
	Result    string // ok, or why not
	Trace     string // id of the W3C trace context
	Duration  time.Duration

	RequestBytes, ReplyBytes int64 // of a call; the payload of a stream
	Sent, SentBytes          int64 // messages of a stream
	Received, ReceivedBytes  int64

	Code   string // of a refusal, or of a link's end
	Reason string // a sentence; the other side may have written it
	By     string // who refused: "us" or "peer"
	Dialed bool   // this node had dialled

	Unrecorded uint64 // handshakes refused before, of which there were too many for a record each

	Epoch                 uint64
	Peers, Added, Removed int
	Version               string
}

// maxReason bounds a sentence that a stranger may have written.
const maxReason = 1 << 10

// buffer holds one record while it is made.
type buffer struct {
	b      []byte
	second entry.Second // of the record before
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 1<<10)} }}

const (
	keepBytes = 16 << 10 // the largest buffer that is kept
	idKey     = `{"id":"`
	idAt      = len(idKey)
	idEnd     = idAt + target.IDBytes
)

// append makes the record as JSON. The id is put in later.
func (r *Record) append(b []byte, node []byte, second *entry.Second) []byte {
	b = append(append(b, idKey...), "000000000000-0000000000000000"...)
	b = second.Append(append(b, `","time":"`...), r.Time)
	b = append(append(b, `","event":"`...), r.Event...)
	b = append(append(b, `","node":`...), node...)
	b = text(b, `,"peer":`, r.Peer)
	b = text(b, `,"identity":`, r.Identity)
	b = text(b, `,"handler":`, r.Handler)
	b = text(b, `,"direction":`, r.Direction)
	b = text(b, `,"result":`, r.Result)
	switch r.Event {
	case EventCall:
		b = strconv.AppendInt(append(b, `,"request_bytes":`...), r.RequestBytes, 10)
		b = strconv.AppendInt(append(b, `,"reply_bytes":`...), r.ReplyBytes, 10)
	case EventStream:
		b = strconv.AppendInt(append(b, `,"request_bytes":`...), r.RequestBytes, 10)
		b = strconv.AppendInt(append(b, `,"received":`...), r.Received, 10)
		b = strconv.AppendInt(append(b, `,"received_bytes":`...), r.ReceivedBytes, 10)
		b = strconv.AppendInt(append(b, `,"sent":`...), r.Sent, 10)
		b = strconv.AppendInt(append(b, `,"sent_bytes":`...), r.SentBytes, 10)
	case EventHandshake, EventLinkEnd:
		b = strconv.AppendBool(append(b, `,"dialed":`...), r.Dialed)
	case EventPeers:
		b = strconv.AppendUint(append(b, `,"epoch":`...), r.Epoch, 10)
		b = strconv.AppendInt(append(b, `,"peers":`...), int64(r.Peers), 10)
		b = strconv.AppendInt(append(b, `,"added":`...), int64(r.Added), 10)
		b = strconv.AppendInt(append(b, `,"removed":`...), int64(r.Removed), 10)
	}
	if r.Event == EventCall || r.Event == EventStream {
		b = strconv.AppendInt(append(b, `,"duration_ns":`...), int64(r.Duration), 10)
	}
	b = text(b, `,"trace_id":`, r.Trace)
	b = text(b, `,"by":`, r.By)
	b = text(b, `,"code":`, r.Code)
	reason := r.Reason
	if len(reason) > maxReason {
		reason = reason[:maxReason] // a rune cut in half becomes one that says so
	}
	b = text(b, `,"reason":`, reason)
	if r.Unrecorded > 0 {
		b = strconv.AppendUint(append(b, `,"unrecorded":`...), r.Unrecorded, 10)
	}
	b = text(b, `,"version":`, r.Version)
	return append(b, '}')
}

func text(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return entry.AppendString(append(b, key...), value)
}

// gap makes the record that stands for records which are missing; the target
// puts its id in.
func gap(node []byte) func(target.Missing) []byte {
	return func(m target.Missing) []byte {
		b := entry.AppendTime([]byte(`{"time":"`), time.Now())
		b = append(append(b, `","event":"`+EventGap+`","node":`...), node...)
		b = strconv.AppendUint(append(b, `,"count":`...), m.Last-m.First+1, 10)
		b = append(append(b, `,"first_id":"`...), m.FirstID...)
		b = append(append(b, `","last_id":"`...), m.LastID...)
		return append(text(append(b, '"'), `,"reason":`, m.Reason), '}')
	}
}
