package peers

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Values of [List.Identity].
const (
	IdentityGrid = "grid" // a certificate that all members share will do
	IdentityPod  = "pod"  // the certificate must name its one peer: gridmesh://<grid>/<name>
)

// Values of [List.Topology].
const (
	TopologyFull     = "full-mesh" // a link for every pair, always
	TopologyOnDemand = "on-demand" // links are made at first use
)

// List is who is in a mesh. The zero List is that of a node which has read
// none yet.
//
// A list with an epoch was made by a publisher that counts its lists. One
// without was written by a person, and says no more than names.
//
// Lists are shared: nothing in one is changed after it was made.
type List struct {
	Names []string // host:port, see ValidName; sorted, each once
	Epoch uint64   // rises with every list of a mesh; 0 for a list without

	Grid   string // id of the grid, on Kubernetes namespace/name
	MeshID string // 32 hex digits, made once with the mesh; tells it from an earlier one of its name

	Identity string // IdentityGrid, IdentityPod, or "": each node's configuration says
	Topology string // TopologyFull, TopologyOnDemand, or "": each node's configuration says

	// Hints are addresses without port, by name, for dialling a name that does
	// not resolve yet. They are advice: a resolver that knows better wins.
	Hints map[string]string

	AllowEmpty bool // a list of nobody is meant

	raw     []byte // the document, if it came from one
	payload []byte // the part of raw that is signed
}

// NewList makes a list of names in any order, without an epoch. It refuses an
// invalid name, a name that stands twice, and more than [MaxNames].
func NewList(names []string) (List, error) {
	l := List{Names: slices.Clone(names)}
	slices.Sort(l.Names)
	if err := checkNames(l.Names); err != nil {
		return List{}, err
	}
	return l, nil
}

// Contains reports whether name is in the list.
func (l List) Contains(name string) bool {
	_, ok := slices.BinarySearch(l.Names, name)
	return ok
}

// Signed reports whether the list came from a signed document.
func (l List) Signed() bool { return l.raw != nil }

// Raw is the signed document that the list came from, to be handed on as it
// is; nil for any other list. It is shared and must not be changed.
func (l List) Raw() []byte { return l.raw }

// same reports whether two lists say the same. Signatures do not count: while
// keys are rotated, one list goes round with several.
func (l List) same(other List) bool {
	if l.Signed() && other.Signed() {
		return bytes.Equal(l.payload, other.payload)
	}
	return slices.Equal(l.Names, other.Names) &&
		l.Epoch == other.Epoch &&
		l.Grid == other.Grid &&
		l.MeshID == other.MeshID &&
		l.Identity == other.Identity &&
		l.Topology == other.Topology &&
		maps.Equal(l.Hints, other.Hints) &&
		l.AllowEmpty == other.AllowEmpty
}

// checkNames returns what breaks the rules of a list's names.
func checkNames(names []string) error {
	if len(names) > MaxNames {
		return fmt.Errorf("%w: %d names, allowed are %d", ErrMalformed, len(names), MaxNames)
	}
	for i, name := range names {
		if err := ValidName(name); err != nil {
			return fmt.Errorf("%w: peers[%d]: %w", ErrMalformed, i, err)
		}
		switch {
		case i == 0 || names[i-1] < name:
		case names[i-1] == name:
			return fmt.Errorf("%w: peers[%d]: %s stands twice", ErrMalformed, i, quote(name))
		default:
			return fmt.Errorf("%w: peers[%d]: %s stands after %s; names are sorted by byte", ErrMalformed, i, quote(name), quote(names[i-1]))
		}
	}
	return nil
}
