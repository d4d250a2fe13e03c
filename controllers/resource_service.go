package controllers

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// serviceOf gives the pods of an own StatefulSet their names in DNS, ready or
// not: nodes link before they are ready, and so become it.
func serviceOf(g *v1alpha1.Grid) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(g.Name, g.Namespace).
		WithLabels(names.Labels(g.Name)).
		WithOwnerReferences(ownedBy(g)).
		WithSpec(corev1ac.ServiceSpec().
			WithClusterIP(corev1.ClusterIPNone).
			WithPublishNotReadyAddresses(true).
			WithSelector(names.Selector(g.Name)).
			WithPorts(
				corev1ac.ServicePort().WithName(names.PortGrid).WithPort(g.Spec.Port).WithProtocol(corev1.ProtocolTCP),
				corev1ac.ServicePort().WithName(names.PortAdmin).WithPort(g.Spec.AdminPort).WithProtocol(corev1.ProtocolTCP),
			))
}
