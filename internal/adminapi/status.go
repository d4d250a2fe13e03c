package adminapi

import "time"

// Status is what /statusz says of one node.
type Status struct {
	Node        Node              `json:"node"`
	Ready       bool              `json:"ready"`
	Waiting     []string          `json:"waiting,omitempty"` // why it is not ready
	PeerList    PeerList          `json:"peer_list"`
	Links       Links             `json:"links"`
	Peers       []Peer            `json:"peers"` // all but this node, by name
	Certificate *Certificate      `json:"certificate,omitempty"`
	Reconnects  map[string]uint64 `json:"reconnects,omitempty"` // by reason
	Refused     map[string]uint64 `json:"refused,omitempty"`    // handshakes, by code
	Refusals    []Refusal         `json:"refusals,omitempty"`   // the last 32, newest first
	Telemetry   *Telemetry        `json:"telemetry,omitempty"`
}

// Node says which process this is.
type Node struct {
	Name     string    `json:"name"`
	Grid     string    `json:"grid"`
	Instance string    `json:"instance"` // another one for each process
	Version  string    `json:"version"`
	Go       string    `json:"go"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	Draining bool      `json:"draining,omitempty"`
}

// Values of Source in PeerList and Ack: the road by which the list in use came.
const (
	SourceNone   = "none"
	SourceStatic = "static" // the configuration
	SourceFile   = "file"   // a watched file of names
	SourceSigned = "signed" // a watched folder with a signed list
	SourceSaved  = "saved"  // the node's own disk
	SourcePeer   = "peer"   // handed over by a peer
	SourceAdmin  = "admin"  // pushed to the admin port
)

// PeerList says which peer list is in use.
type PeerList struct {
	Source    string    `json:"source"`
	Epoch     uint64    `json:"epoch"` // 0 for lists without
	Names     int       `json:"names"`
	Applied   time.Time `json:"applied"`
	Contains  bool      `json:"contains_self"`
	Removed   bool      `json:"removed,omitempty"` // a signed list took this node out
	Refused   uint64    `json:"refused"`           // lists that were not taken
	LastError string    `json:"last_error,omitempty"`
}

// Links counts links of one node.
type Links struct {
	Up        int `json:"up"`
	Expected  int `json:"expected"`
	Congested int `json:"congested"`
}

// Peer is a remote node as this one sees it.
type Peer struct {
	Name      string     `json:"name"`
	State     string     `json:"state"` // down, dialing, linked, draining
	Since     *time.Time `json:"since,omitempty"`
	Dialed    bool       `json:"dialed"` // this node dials, not the other
	Identity  string     `json:"identity,omitempty"`
	RTTMillis float64    `json:"rtt_ms,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	Congested bool       `json:"congested,omitempty"`

	CallsOut int `json:"calls_out"` // running
	CallsIn  int `json:"calls_in"`
	Overdue  int `json:"handlers_overdue,omitempty"`

	QueueBytes       int     `json:"queue_bytes"`
	QueueLimit       int     `json:"queue_limit"`
	StreamsOpen      int     `json:"streams_open"`
	StreamsWaiting   int     `json:"streams_waiting"` // for credit
	CreditWaitMillis float64 `json:"credit_wait_ms"`  // the longest
	Overloads        uint64  `json:"overloads,omitempty"`

	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
	MessagesIn  uint64 `json:"messages_in"`
	MessagesOut uint64 `json:"messages_out"`
	Rate        Rate   `json:"rate"`

	CertificateExpires *time.Time `json:"certificate_expires,omitempty"`
}

// Linked reports whether calls reach the peer.
func (p *Peer) Linked() bool { return p.State == "linked" }

// Rate is traffic per second, over the last second or a few.
type Rate struct {
	BytesIn     float64 `json:"bytes_in"`
	BytesOut    float64 `json:"bytes_out"`
	MessagesIn  float64 `json:"messages_in"`
	MessagesOut float64 `json:"messages_out"`
}

// Certificate says who this node proves to be.
type Certificate struct {
	Names     []string  `json:"names"`
	Expires   time.Time `json:"expires"`
	Loaded    time.Time `json:"loaded"`
	Reloads   uint64    `json:"reloads"`
	Refused   uint64    `json:"refused"`
	LastError string    `json:"last_error,omitempty"` // why what is in the files is not in use
}

// Refusal is a handshake that was refused, by this node or by the peer.
type Refusal struct {
	Time    time.Time `json:"time"`
	Peer    string    `json:"peer"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Ours    bool      `json:"ours"` // this node refused
}

// Mesh is what all nodes say, asked by one of them over the mesh.
type Mesh struct {
	Asked   time.Time `json:"asked"`
	By      string    `json:"by"`
	Links   Links     `json:"links"` // directed: n(n-1) are expected
	Members []Member  `json:"members"`
}

// Member is one node's answer, or why there is none.
type Member struct {
	Name   string  `json:"name"`
	Status *Status `json:"status,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Telemetry is how a node's log and audit are.
type Telemetry struct {
	Targets        []Target `json:"targets"`                // of the log, the console first, then of the audit
	Records        uint64   `json:"audit_records"`          // made, whatever became of them
	RefusedCalls   uint64   `json:"audit_refused_calls"`    // whose records could not be made safe
	RefusedConfigs uint64   `json:"refused_configurations"` // of log and audit; the one before stayed in use
	LastError      string   `json:"last_error,omitempty"`   // why the newest one is not in use

	LeftQueues []LeftQueue `json:"left_queues,omitempty"` // no more of them than there may be targets
}

// LeftQueue is a queue on disk that no target delivers any more.
type LeftQueue struct {
	System string `json:"system"` // log or audit
	Name   string `json:"name"`   // of the target that it was for
	Folder string `json:"folder"`
	Bytes  int64  `json:"bytes"` // that the folder takes on disk
}

// Target is where entries of the log or of the audit go.
type Target struct {
	System string `json:"system"` // log or audit
	Name   string `json:"name"`
	Kind   string `json:"kind"` // console, file, webhook, otlp or kafka

	In       uint64 `json:"in"`       // entries
	Out      uint64 `json:"out"`      // delivered
	Dropped  uint64 `json:"dropped"`  // lost: there was no room, or no time at the end
	Rejected uint64 `json:"rejected"` // the receiver will not take them
	Retried  uint64 `json:"retried"`  // batches that were sent once more
	Damaged  uint64 `json:"damaged"`  // files of the queue that were not what had been written

	QueueEntries  uint64  `json:"queue_entries"` // waiting
	QueueBytes    int64   `json:"queue_bytes"`
	OldestSeconds float64 `json:"oldest_seconds"` // how long the batch being delivered has waited

	Failing     bool       `json:"failing,omitempty"` // the last try failed
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
}
