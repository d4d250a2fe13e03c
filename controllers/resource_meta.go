package controllers

import (
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// ownedBy makes the Grid the controller of an object, so that the object goes
// with it. BlockOwnerDeletion stays unset: it would need a permission on the
// Grid's finalizers, and nothing here has to be waited for.
func ownedBy(g *v1alpha1.Grid) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("Grid").
		WithName(g.Name).
		WithUID(g.UID).
		WithController(true)
}
