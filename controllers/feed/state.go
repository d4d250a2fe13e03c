package feed

import (
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// State is what is known of the peer list of a Grid, and of who has it. It is a
// copy: nobody changes it.
type State struct {
	// Committed: the ConfigMap is there and is ours, so pods may start.
	Committed bool
	// Epoch and Names are those of the committed list. Epoch is 0 as long as
	// nobody is in the mesh yet.
	Epoch uint64
	Names []string
	// MeshID is the mesh's.
	MeshID string
	// Problem is why the newest list is not published; nil if it is.
	Problem *Problem
	// Failure is what has kept the newest list from being published for a while,
	// though it is tried again and again, such as an API server that refuses the
	// ConfigMap; "" if nothing.
	Failure string
	// Rotation says for people how far a rotation of the signing key is; "" if
	// none is under way.
	Rotation string
	// Acks is what pods have said, by the name of the pod. A pod stands here
	// from when it is known to have an address.
	Acks map[string]Ack
}

// Ack is what one pod has said last.
type Ack struct {
	adminapi.Ack

	// Heard is when; zero if never. The fields of the node stay when it falls
	// silent.
	Heard time.Time
	// Verified: its certificate proved that it was this pod that said so.
	// Otherwise it is for people to read, and decides nothing.
	Verified bool
	// Ahead is an epoch that the next list has to be higher than: of a newer
	// list of this mesh that the pod has shown, signed with its key; 0 if none.
	Ahead uint64
	// Err is why it did not take the newest list, or why the last attempt to
	// hear from it failed; "" if neither.
	Err string
}

// Problem is why a list cannot be published.
type Problem struct {
	Reason  string // in CamelCase, for a condition
	Message string // a sentence that says what to do
}

func (p *Problem) Error() string { return p.Message }

// Reasons of problems.
const (
	// ReasonNameConflict: an object of the name that the feed needs is somebody
	// else's.
	ReasonNameConflict = "NameConflict"
	// ReasonSigningKey: the Secret with the signing keys cannot be used.
	ReasonSigningKey = "SigningKeyInvalid"
	// ReasonService: the StatefulSet has no serviceName to make names with.
	ReasonService = "ServiceMissing"
	// ReasonList: no valid list can be made, such as of more than 10,000 names.
	ReasonList = "ListInvalid"
	// ReasonTelemetry: pods would refuse what spec.logging and spec.audit say.
	// It keeps no list from being published.
	ReasonTelemetry = "TelemetryRefused"
)
