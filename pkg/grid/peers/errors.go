package peers

import "errors"

// What is wrong with a list. Every error of this package about a list wraps
// one of these; its text names the entry and what is allowed. After any of
// them the list in use stays.
var (
	// ErrMalformed: not a list, or a list that breaks a rule of its format.
	ErrMalformed = errors.New("malformed peer list")
	// ErrVersion: a document that a later release wrote.
	ErrVersion = errors.New("peer list of an unknown version")
	// ErrSignature: no valid signature of a trusted key.
	ErrSignature = errors.New("peer list without a valid signature")
	// ErrForeign: a list of another grid or of another mesh.
	ErrForeign = errors.New("peer list of another mesh")
	// ErrStale: a lower epoch than that of the list in use.
	ErrStale = errors.New("stale peer list")
	// ErrEpochConflict: two different lists have one epoch. A publisher made a
	// mistake, or there are two: nodes may disagree until a higher epoch comes.
	ErrEpochConflict = errors.New("two different peer lists of one epoch")
	// ErrUnsigned: an unsigned list where a signed one is in use.
	ErrUnsigned = errors.New("unsigned peer list where a signed one is in use")
	// ErrEmpty: a list of nobody that does not say it means it.
	ErrEmpty = errors.New("empty peer list")
	// ErrNotListed: a list made by hand lacks the node that reads it.
	ErrNotListed = errors.New("this node is not in the peer list")
)
