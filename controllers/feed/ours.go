package feed

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// conflict says why an object of a name that the feed needs is not the Grid's;
// nil if it is. What is somebody else's is never taken over.
//
// What has our labels and no owner was left by an adopted Grid of the name, or
// orphaned together with a StatefulSet that is the Grid's own; the wish tells.
func conflict(g *v1alpha1.Grid, w *Wish, kind string, o client.Object) *Problem {
	owner, what := metav1.GetControllerOfNoCopy(o), kind+" "+o.GetName()
	var why string
	switch {
	case !names.Adopted(g) && owner != nil && owner.UID == g.UID:
		return nil // whatever became of its labels
	case !names.Ours(o, g.Name):
		why = what + " was not made by the operator; rename or delete it, the Grid needs that name"
	case names.Adopted(g) && owner != nil:
		why = fmt.Sprintf("%s belongs to the %s %s; delete that, or give this Grid another name", what, owner.Kind, owner.Name)
	case names.Adopted(g):
		return nil
	case owner == nil && w.UID != "":
		return nil
	case owner == nil:
		why = what + " was left by a Grid of this name with statefulSetRef; delete it to begin a new mesh"
	default:
		why = fmt.Sprintf("%s belongs to another %s of the name %s; if that was deleted, this one goes on once the object is gone", what, owner.Kind, owner.Name)
	}
	return &Problem{Reason: ReasonNameConflict, Message: why}
}

// owners of an object of the Grid. Those of an adopted one have none: they
// outlive the Grid, so that its pods can restart and a Grid made again goes on.
//
// BlockOwnerDeletion stays unset, as in package controllers: some API servers ask
// for a right to the Grid's finalizers with it.
func owners(g *v1alpha1.Grid) []metav1.OwnerReference {
	if names.Adopted(g) {
		return nil
	}
	controller := true
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Grid", Name: g.Name, UID: g.UID, Controller: &controller,
	}}
}
