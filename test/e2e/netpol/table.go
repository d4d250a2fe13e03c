package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// world is what policies are about.
type world struct {
	pods       []*corev1.Pod
	namespaces map[string]labels.Set // labels by name
	policies   []*networkingv1.NetworkPolicy
}

// direction is one of the two ways in which a policy isolates a pod.
type direction struct {
	kind  networkingv1.PolicyType
	self  string // where the packet has the address of the pod
	other string // where it has that of the one it talks with
}

var (
	ingress = direction{networkingv1.PolicyTypeIngress, "daddr", "saddr"}
	egress  = direction{networkingv1.PolicyTypeEgress, "saddr", "daddr"}
)

// table writes all policies as one nftables table that replaces the one before.
// A pod has a chain for each direction in which it is isolated: a rule that
// matches returns, so that the other side's chain has its say, too; at the end
// is a drop. Answers always pass; what a connection's opener sends is looked at
// also when it was opened before the policy came.
func (w *world) table() string {
	var jumps, chains strings.Builder
	for _, d := range []direction{egress, ingress} {
		for _, pod := range w.reachable() {
			rules, isolated := w.rulesOf(pod, d)
			if !isolated {
				continue
			}
			chain := strings.ToLower(string(d.kind)) + "_" + strings.ReplaceAll(pod.Status.PodIP, ".", "_")
			fmt.Fprintf(&jumps, "\t\tip %s %s jump %s\n", d.self, pod.Status.PodIP, chain)
			fmt.Fprintf(&chains, "\tchain %s { # %s/%s\n", chain, pod.Namespace, pod.Name)
			for _, rule := range rules {
				fmt.Fprintf(&chains, "\t\t%s return\n", rule)
			}
			chains.WriteString("\t\tdrop\n\t}\n")
		}
	}
	const name = "ip gridmesh-e2e-netpol"
	return fmt.Sprintf("add table %[1]s\ndelete table %[1]s\ntable %[1]s {\n%[2]s\tchain forward {\n"+
		"\t\ttype filter hook forward priority 10\n\t\tct direction reply accept\n\t\tct state related accept\n%[3]s\t}\n}\n", name, chains.String(), jumps.String())
}

// reachable are the pods with a network of their own, in the order of names:
// the same world gives the same table.
func (w *world) reachable() []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range w.pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// rulesOf are the matches that let traffic of a pod pass, and whether any policy
// isolates it at all.
func (w *world) rulesOf(pod *corev1.Pod, d direction) (rules []string, isolated bool) {
	for _, policy := range w.policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, d.kind) || !selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		if d.kind == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				rules = append(rules, w.matches(pod, d, rule.From, rule.Ports)...)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				rules = append(rules, w.matches(pod, d, rule.To, rule.Ports)...)
			}
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules), isolated
}

// matches are all combinations of whom and of which port a rule allows.
func (w *world) matches(pod *corev1.Pod, d direction, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) []string {
	type party struct {
		match string
		pods  []*corev1.Pod // whose named ports are meant on the way out
	}
	var parties []party
	for _, peer := range peers {
		if block := peer.IPBlock; block != nil {
			match := fmt.Sprintf("ip %s %s ", d.other, block.CIDR)
			if len(block.Except) > 0 {
				match += fmt.Sprintf("ip %s != { %s } ", d.other, strings.Join(block.Except, ", "))
			}
			parties = append(parties, party{match: match})
			continue
		}
		if chosen := w.chosen(pod.Namespace, peer); len(chosen) > 0 {
			parties = append(parties, party{fmt.Sprintf("ip %s { %s } ", d.other, addresses(chosen)), chosen})
		}
	}
	if len(peers) == 0 {
		parties = []party{{"", w.reachable()}}
	}
	var all []string
	for _, p := range parties {
		targets := []*corev1.Pod{pod}
		if d.kind == networkingv1.PolicyTypeEgress {
			targets = p.pods
		}
		for _, port := range portMatches(ports, targets) {
			all = append(all, p.match+port)
		}
	}
	return all
}

// chosen are the pods that a peer of a policy in a namespace means.
func (w *world) chosen(namespace string, peer networkingv1.NetworkPolicyPeer) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range w.reachable() {
		there := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			there = selects(peer.NamespaceSelector, w.namespaces[pod.Namespace])
		}
		if there && (peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// portMatches are the ports of a rule; a name is looked up in the pods that
// listen, each of which may give it another number.
func portMatches(ports []networkingv1.NetworkPolicyPort, targets []*corev1.Pod) []string {
	if len(ports) == 0 {
		return []string{"meta l4proto != 255"} // any
	}
	var all []string
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			all = append(all, "meta l4proto "+protocol)
		case port.EndPort != nil:
			all = append(all, fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort))
		case port.Port.StrVal == "":
			all = append(all, fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal))
		default:
			for _, pod := range targets {
				for _, number := range named(pod, port.Port.StrVal) {
					all = append(all, fmt.Sprintf("ip daddr %s %s dport %d", pod.Status.PodIP, protocol, number))
				}
			}
		}
	}
	return all
}

func named(pod *corev1.Pod, name string) []int32 {
	var numbers []int32
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				numbers = append(numbers, port.ContainerPort)
			}
		}
	}
	return numbers
}

func addresses(pods []*corev1.Pod) string {
	var all []string
	for _, pod := range pods {
		all = append(all, pod.Status.PodIP)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// selects says whether a selector means what has these labels. One that cannot
// be read means nothing; the API server refuses such.
func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}
