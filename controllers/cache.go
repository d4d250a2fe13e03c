package controllers

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// Cache says what the operator keeps of the API: what carries a Grid's label,
// and StatefulSets and Services, which users have for their adopted Grids,
// without what nobody here reads. Nothing but these kinds may be read from it.
func Cache() cache.Options {
	ours := cache.ByObject{Label: feed.Labelled()}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			new(corev1.Pod):                   feed.CachePods(),
			new(corev1.ConfigMap):             ours,
			new(corev1.Secret):                ours,
			new(policyv1.PodDisruptionBudget): ours,
			new(networkingv1.NetworkPolicy):   ours,
			new(appsv1.StatefulSet):           {Transform: stripStatefulSet},
			new(corev1.Service):               {Transform: stripService},
		},
	}
}

// stripStatefulSet drops what kubectl keeps for itself.
func stripStatefulSet(o any) (any, error) {
	if object, err := meta.Accessor(o); err == nil {
		object.SetManagedFields(nil)
		delete(object.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration")
	}
	return o, nil
}

// stripService leaves of a Service of the user's what an adopted Grid looks at.
func stripService(o any) (any, error) {
	s, ok := o.(*corev1.Service)
	if !ok {
		return o, nil
	}
	s.ManagedFields = nil
	if s.Labels[names.LabelManagedBy] == names.FieldManager {
		return s, nil
	}
	s.Annotations = nil
	s.Spec = corev1.ServiceSpec{
		Selector: s.Spec.Selector, ClusterIP: s.Spec.ClusterIP, PublishNotReadyAddresses: s.Spec.PublishNotReadyAddresses,
	}
	s.Status = corev1.ServiceStatus{}
	return s, nil
}
