package controllers

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// networkPolicyOf lets only pods of the Grid reach the port of the mesh. The
// admin port is for probes, metrics, pages and the operator, and so is open, as
// is every further port that the user's template declares: a policy that names
// some ports closes all others.
func networkPolicyOf(g *v1alpha1.Grid, pod *corev1.PodTemplateSpec) *networkingv1ac.NetworkPolicyApplyConfiguration {
	open := networkingv1ac.NetworkPolicyIngressRule().WithPorts(policyPort(corev1.ProtocolTCP, g.Spec.AdminPort))
	for _, port := range furtherPorts(g, pod) {
		open.WithPorts(policyPort(port.Protocol, port.ContainerPort))
	}
	return networkingv1ac.NetworkPolicy(g.Name, g.Namespace).
		WithLabels(names.Labels(g.Name)).
		WithOwnerReferences(ownedBy(g)).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(names.Selector(g.Name))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(
				networkingv1ac.NetworkPolicyIngressRule().
					WithPorts(policyPort(corev1.ProtocolTCP, g.Spec.Port)).
					WithFrom(networkingv1ac.NetworkPolicyPeer().
						WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(names.Selector(g.Name)))),
				open,
			))
}

func policyPort(protocol corev1.Protocol, port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(port))
}

// furtherPorts are those of the template that are not the node's, each once.
func furtherPorts(g *v1alpha1.Grid, pod *corev1.PodTemplateSpec) []corev1.ContainerPort {
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	seen := map[key]bool{{corev1.ProtocolTCP, g.Spec.Port}: true, {corev1.ProtocolTCP, g.Spec.AdminPort}: true}
	var ports []corev1.ContainerPort
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			for _, p := range containers[i].Ports {
				if p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
				if k := (key{p.Protocol, p.ContainerPort}); !seen[k] {
					seen[k] = true
					ports = append(ports, p)
				}
			}
		}
	}
	return ports
}
