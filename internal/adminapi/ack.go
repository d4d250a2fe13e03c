package adminapi

import "time"

// Ack is what a node says of the peer list that it uses, and of itself: the
// answer to a signed list that was taken, and of GET /v1/ack. Whoever publishes
// lists reads from it who has which.
//
// Believe one only if the connection proved whose it is: over plain HTTP
// anybody on the way may have written it.
type Ack struct {
	Name     string `json:"name"`
	Instance string `json:"instance"` // another one for each process
	Version  string `json:"version"`
	Grid     string `json:"grid"`

	MeshID string   `json:"mesh_id,omitempty"`
	Epoch  uint64   `json:"epoch"` // 0: no list yet, or one without
	Source string   `json:"source"`
	Keys   []string `json:"keys"` // ids of the public keys that the node trusts now

	Contains bool `json:"contains_self"`
	Removed  bool `json:"removed"`  // the list in use has an epoch and lacks this node
	Drained  bool `json:"drained"`  // removed or told to stop, and no link with a peer is left on which anything could run
	Ready    bool `json:"ready"`    // should get traffic
	Draining bool `json:"draining"` // on its way out: told to stop, or removed with calls that still run

	Links              Links      `json:"links"`
	CertificateExpires *time.Time `json:"certificate_expires,omitempty"` // nil without TLS

	// ListError says why the newest list that was seen is not in use, or that
	// one was pushed which was refused. Anybody can push, so this is for people
	// to read: Epoch says which list is in use.
	ListError string `json:"list_error,omitempty"`

	// TelemetryError says why the newest configuration of log and audit is not in
	// use; "" if it is.
	TelemetryError string `json:"telemetry_error,omitempty"`
	// TargetsFailing are targets of log and audit that have not been delivered to
	// for a while, as audit/trail.
	TargetsFailing []string `json:"targets_failing,omitempty"`
}
