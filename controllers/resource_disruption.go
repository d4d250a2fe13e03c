package controllers

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// disruptionBudgetOf lets machines be emptied one pod at a time. A pod that is
// not ready may always go: one that cannot start must not keep a machine from
// being emptied.
func disruptionBudgetOf(g *v1alpha1.Grid) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(g.Name, g.Namespace).
		WithLabels(names.Labels(g.Name)).
		WithOwnerReferences(ownedBy(g)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(names.Selector(g.Name))))
}
