package adminapi

// Paths of the admin port.
const (
	PathLive    = "/livez"
	PathReady   = "/readyz"
	PathMetrics = "/metrics"
	PathStatus  = "/statusz" // JSON, or a page for browsers
	PathMesh    = "/statusz/mesh"
	PathAck     = "/v1/ack"    // Ack
	PathPeers   = "/v1/peers"  // GET: PeerNames; PUT: a signed document, answered by Ack, or names one a line, by PeerNames
	PathCall    = "/v1/call"   // POST …/{peer}/{handler}: body in, body out
	PathStream  = "/v1/stream" // POST …/{peer}/{handler}: messages in, messages out
	PathBench   = "/v1/bench"  // POST …/{peer}: BenchRequest in, BenchResult out
)

// Parameters of calls and streams, in the query.
const (
	ParamTimeout = "timeout" // a duration; without it the node's default-timeout for calls, none for streams
	ParamWait    = "wait"    // true: wait for a link instead of failing at once
	ParamFraming = "framing" // of a stream: FramingLines or FramingRaw
	ParamPayload = "payload" // of a stream: what it is opened with
)

// How messages of a stream stand in the body, each way.
const (
	FramingLines = "lines" // a message is a line, without its line feed
	FramingRaw   = "raw"   // the messages are the bytes in between, cut anywhere
)

// Headers of an answer to a call, and trailers of an answer to a stream.
const (
	// HeaderOutcome says whether the call may have run, as grid.OutcomeOf does.
	HeaderOutcome = "Gridmesh-Outcome"
	// HeaderError is the error of a stream that did not end well, as JSON (Error).
	HeaderError = "Gridmesh-Error"
)

// Content types of PUT /v1/peers.
const (
	TypeSigned = "application/vnd.gridmesh.peers"
	TypeNames  = "text/plain"
)

// SignedBegins is how every signed peer list begins.
const SignedBegins = "gridmesh-peer-list "

// Outcomes of calls, in HeaderOutcome and Error.
const (
	OutcomeAnswered = "answered"
	OutcomeNotSent  = "not-sent"        // calling again is safe
	OutcomeMaybe    = "maybe-processed" // the handler may have run
)

// Error is the body of every answer that is not a success.
type Error struct {
	Message string `json:"error"`
	Code    string `json:"code,omitempty"`    // of a handler's error
	Outcome string `json:"outcome,omitempty"` // of a call that failed
	Hint    string `json:"hint,omitempty"`    // what to do next

	NoHandler bool `json:"no_handler,omitempty"` // the peer has none of that name and kind, as one of another release may

	// List is the signed list in use, where one of the same mesh was refused
	// because this one is newer or has the same epoch: who publishes may not know
	// of it.
	List []byte `json:"list,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// PeerNames is the answer of GET /v1/peers, and to an unsigned list that was taken.
type PeerNames struct {
	PeerList
	Peers []string `json:"peers"`
}

// BenchRequest says how to measure.
type BenchRequest struct {
	Callers   int `json:"callers"`
	Bytes     int `json:"bytes"` // of the request, and of the reply
	ForMillis int `json:"for_ms"`
}

// BenchResult is what was measured between two nodes.
type BenchResult struct {
	From      string            `json:"from"`
	To        string            `json:"to"`
	Callers   int               `json:"callers"`
	Bytes     int               `json:"bytes"`
	Millis    float64           `json:"ms"`
	Calls     uint64            `json:"calls"`
	PerSecond float64           `json:"calls_per_second"`
	P50Millis float64           `json:"p50_ms"`
	P99Millis float64           `json:"p99_ms"`
	MaxMillis float64           `json:"max_ms"`
	Errors    map[string]uint64 `json:"errors,omitempty"` // by text
}
