package feed

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	// listsSize is what a pod keeps besides spools: the last good peer list, and
	// the one that replaces it.
	listsSize = 16 << 20

	// SpoolSize is what a spool may take that says nothing else, and asideSize what
	// a target keeps beside it of entries that a receiver has rejected for good.
	SpoolSize = 256 << 20
	asideSize = 16 << 20

	// storageSize bounds what a pod keeps where spec.storage is not set: room for
	// all targets that a Grid can have. It is reserved nowhere, and the same for
	// all Grids, so that one that gets a target need not restart its pods.
	storageSize = "5Gi"
)

// Storage is how much a pod of the Grid's own may keep, and how much the Grid may
// have it keep. One that needs more is evicted, and what waits is lost with it.
func Storage(g *v1alpha1.Grid) (have resource.Quantity, need int64) {
	need = listsSize
	each := func(spooled bool, s *v1alpha1.Spool) {
		if spooled {
			need += spoolOf(s) + asideSize
		}
	}
	if l := g.Spec.Logging; l != nil {
		for i := range l.Targets {
			each(true, l.Targets[i].Spool)
		}
	}
	if a := g.Spec.Audit; a != nil {
		for i := range a.Targets {
			each(a.Targets[i].Console == nil, a.Targets[i].Spool)
		}
	}
	switch s := g.Spec.Storage; {
	case s != nil && s.EmptyDir != nil:
		return s.EmptyDir.SizeLimit, need
	case s != nil && s.VolumeClaimTemplate != nil:
		return s.VolumeClaimTemplate.Resources.Requests.Storage, need
	}
	return resource.MustParse(storageSize), need
}

// hasRoom reports whether all that may wait fits. What an adopted pod has is its
// owner's to know.
func hasRoom(g *v1alpha1.Grid) bool {
	have, need := Storage(g)
	return names.Adopted(g) || have.Value() >= need
}

func spoolOf(s *v1alpha1.Spool) int64 {
	if s == nil || s.MaxBytes == "" {
		return SpoolSize
	}
	size, err := resource.ParseQuantity(string(s.MaxBytes))
	if err != nil {
		return SpoolSize // refused elsewhere, with where it stands
	}
	return size.Value()
}
