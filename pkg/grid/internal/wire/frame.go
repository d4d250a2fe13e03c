package wire

import "fmt"

// Kind says what a frame is. Its value is on the wire and never changes its meaning.
type Kind byte

// Kinds that carry calls.
const (
	Request Kind = 1  // a single request: ID, Timeout, Handler, Header, body
	Reply   Kind = 2  // its answer: ID, body
	Error   Kind = 3  // the handler ran and failed, or the stream ended badly: ID, Code, Message
	Refused Kind = 4  // the call is known not to have run: ID, Code, Message
	Open    Kind = 5  // a stream with its payload: ID, Timeout, Handler, Header, body
	Data    Kind = 6  // one message of a stream: ID, body
	End     Kind = 7  // a clean end of the sender's direction of a stream: ID
	Begin   Kind = 8  // a body that follows in chunks: Xfer, Total, Inner and Ask, then a whole Request, Reply, Open, Data or List without body
	Chunk   Kind = 9  // the next bytes of a begun body: Xfer, body
	List    Kind = 10 // a signed peer list, for who is behind: body
)

// Kinds that steer the link.
const (
	Cancel   Kind = 64 // the caller wants no answer any more: ID, Code
	Credit   Kind = 65 // the receiver of a stream's messages read some: ID, Msgs, Bytes
	Grant    Kind = 66 // a begun body may be sent: Xfer
	Abort    Kind = 67 // a begun body will not be finished: Xfer
	Ack      Kind = 68 // bytes of chunks read so far on this link: Total
	Ping     Kind = 69 // asks for a Pong with the same Total
	Pong     Kind = 70
	Drain    Kind = 71 // send no more calls: those that cross are Refused
	Goodbye  Kind = 72 // the last frame of a link: Code, Message
	Announce Kind = 73 // handlers registered since the hello: body is a list of handlers
)

// firstSteering is the first kind that an older version may skip when it does not know it.
const firstSteering = 64

// mine is the bit of the head that says that the frame's sender made the call.
const mine = 0x80

// ask is the bit of a Begin's inner kind that says that the body waits for a Grant.
const ask = 0x80

// Known reports whether this version defines the kind.
func (k Kind) Known() bool {
	return k >= Request && k <= List || k >= Cancel && k <= Announce
}

// Steering reports whether the kind steers the link rather than carry a call.
func (k Kind) Steering() bool { return k >= firstSteering }

var kindNames = map[Kind]string{
	Request: "REQUEST", Reply: "REPLY", Error: "ERROR", Refused: "REFUSED", Open: "OPEN", Data: "DATA", End: "END",
	Begin: "BEGIN", Chunk: "CHUNK", List: "LIST", Cancel: "CANCEL", Credit: "CREDIT", Grant: "GRANT", Abort: "ABORT",
	Ack: "ACK", Ping: "PING", Pong: "PONG", Drain: "DRAIN", Goodbye: "GOODBYE", Announce: "ANNOUNCE",
}

// String gives the kind's name in docs/protocol.md.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Frame is one frame in the clear. Only the fields that its kind lists are on the wire.
type Frame struct {
	Kind Kind
	Mine bool // the sender of this frame made the call ID speaks of

	ID      uint64 // the call; per link and per side that made it, rising, never reused, from 1
	Timeout uint64 // milliseconds the call has left; 0: none
	Handler uint64 // the number its owner announced
	Header  []byte // encoded header, nil when none was sent
	Code    []byte
	Message []byte
	Msgs    uint64 // credit in messages
	Bytes   uint64 // credit in bytes
	Xfer    uint64 // the body in chunks; per link and sender, rising, never reused, from 1
	Total   uint64 // bytes of the whole body, or of all chunks read, or a ping's number
	Inner   Kind   // of Begin: the kind of frame whose body follows
	Ask     bool   // of Begin: the body waits for a Grant
	Body    []byte
}

// fields is the set of fields of a kind, in their order on the wire.
type fields uint16

const (
	hasID fields = 1 << iota
	hasTimeout
	hasHandler
	hasHeader
	hasCode
	hasMessage
	hasMsgs
	hasBytes
	hasXfer
	hasTotal
	hasInner
	hasBody
)

var layout = [128]fields{
	Request:  hasID | hasTimeout | hasHandler | hasHeader | hasBody,
	Reply:    hasID | hasBody,
	Error:    hasID | hasCode | hasMessage,
	Refused:  hasID | hasCode | hasMessage,
	Open:     hasID | hasTimeout | hasHandler | hasHeader | hasBody,
	Data:     hasID | hasBody,
	End:      hasID,
	Begin:    hasXfer | hasTotal | hasInner,
	Chunk:    hasXfer | hasBody,
	List:     hasBody,
	Cancel:   hasID | hasCode,
	Credit:   hasID | hasMsgs | hasBytes,
	Grant:    hasXfer,
	Abort:    hasXfer,
	Ack:      hasTotal,
	Ping:     hasTotal,
	Pong:     hasTotal,
	Drain:    0,
	Goodbye:  hasCode | hasMessage,
	Announce: hasBody,
}

// chunkable is the set of kinds whose body may follow in chunks.
func chunkable(k Kind) bool {
	return k == Request || k == Reply || k == Open || k == Data || k == List
}
