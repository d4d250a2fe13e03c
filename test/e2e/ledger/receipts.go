package ledger

// Receipts is what the receiver of log and audit has, by the path that it came
// to and by the run of its ids: each node has one of its own.
type Receipts map[string]map[string]*Received

// Received is what came of one run.
type Received struct {
	Node    string         `json:"node,omitempty"` // who recorded it; of the audit
	First   uint64         `json:"first"`          // the lowest number
	Last    uint64         `json:"last"`
	Entries int            `json:"entries"` // each counted once
	Twice   int            `json:"twice"`   // how often one came again
	Missing []uint64       `json:"missing"` // numbers between First and Last, the first of them
	Gaps    []string       `json:"gaps"`    // what nodes say themselves is missing
	Calls   map[string]int `json:"calls"`   // recorded by who served them: "handler result"
}

// MaxMissing is how many missing numbers are listed.
const MaxMissing = 20
