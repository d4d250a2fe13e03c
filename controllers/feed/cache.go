package feed

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/gridmesh/gridmesh/controllers/names"
)

// CachePods is how the manager's cache keeps pods: those with the label of a
// Grid, and of these what the controllers read. A pod's spec is the largest part
// of it.
func CachePods() cache.ByObject {
	return cache.ByObject{Label: Labelled(), Transform: func(o any) (any, error) {
		if p, ok := o.(*corev1.Pod); ok {
			p.ManagedFields, p.Annotations = nil, nil
			p.Spec = corev1.PodSpec{NodeName: p.Spec.NodeName}
			p.Status.EphemeralContainerStatuses = nil
		}
		return o, nil
	}}
}

// Labelled selects what carries the label of any Grid.
func Labelled() labels.Selector {
	has, err := labels.NewRequirement(names.LabelGrid, selection.Exists, nil)
	if err != nil { // a label of our own that is not one
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*has)
}
