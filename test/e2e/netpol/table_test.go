package main

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(namespace, name, ip string, set map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 7701}}}}},
		Status:     corev1.PodStatus{PodIP: ip},
	}
}

func tiny() *world {
	return &world{
		namespaces: map[string]labels.Set{"a": {"team": "x"}, "b": {}},
		pods: []*corev1.Pod{
			pod("a", "node-0", "198.18.0.2", map[string]string{"app": "node"}),
			pod("a", "client", "198.18.0.3", nil),
			pod("b", "operator", "198.18.0.4", map[string]string{"app": "operator"}),
		},
	}
}

func selector(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

// TestTable: the rules that a policy for node-0 gives, which is isolated by it
// in one direction and no other pod in any.
func TestTable(t *testing.T) {
	t.Parallel()
	port := func(port intstr.IntOrString, end *int32) []networkingv1.NetworkPolicyPort {
		return []networkingv1.NetworkPolicyPort{{Port: &port, EndPort: end}}
	}
	for _, c := range []struct {
		name    string
		ingress []networkingv1.NetworkPolicyIngressRule
		egress  []networkingv1.NetworkPolicyEgressRule
		want    []string
	}{
		{name: "nothing"},
		{name: "all", ingress: []networkingv1.NetworkPolicyIngressRule{{}}, want: []string{"meta l4proto != 255"}},
		{
			name: "pods of the namespace",
			ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}},
				Ports: port(intstr.FromInt32(7700), nil),
			}},
			want: []string{"ip saddr { 198.18.0.2, 198.18.0.3 } tcp dport 7700"},
		},
		{
			name: "a pod elsewhere, by the port's name",
			ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: selector("app", "operator")}},
				Ports: port(intstr.FromString("admin"), nil),
			}},
			want: []string{"ip saddr { 198.18.0.4 } ip daddr 198.18.0.2 tcp dport 7701"},
		},
		{
			name:    "nobody is meant",
			ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: selector("app", "none")}}}},
		},
		{
			name: "a block",
			ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "198.18.0.0/16", Except: []string{"198.18.0.3/32"}}}},
				Ports: port(intstr.FromInt32(1), new(int32(9))),
			}},
			want: []string{"ip saddr 198.18.0.0/16 ip saddr != { 198.18.0.3/32 } tcp dport 1-9"},
		},
		{
			name: "out to a namespace, by the port's name there",
			egress: []networkingv1.NetworkPolicyEgressRule{{
				To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: selector("team", "x")}},
				Ports: port(intstr.FromString("admin"), nil),
			}},
			want: []string{
				"ip daddr { 198.18.0.2, 198.18.0.3 } ip daddr 198.18.0.2 tcp dport 7701",
				"ip daddr { 198.18.0.2, 198.18.0.3 } ip daddr 198.18.0.3 tcp dport 7701",
			},
		},
		{
			name:   "out, a protocol",
			egress: []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{{Protocol: new(corev1.ProtocolUDP)}}}},
			want:   []string{"meta l4proto udp"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := tiny()
			kind, way := networkingv1.PolicyTypeIngress, ingress
			if c.egress != nil {
				kind, way = networkingv1.PolicyTypeEgress, egress
			}
			w.policies = []*networkingv1.NetworkPolicy{{
				ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"},
				Spec: networkingv1.NetworkPolicySpec{
					PodSelector: *selector("app", "node"), PolicyTypes: []networkingv1.PolicyType{kind}, Ingress: c.ingress, Egress: c.egress,
				},
			}}
			if got, isolated := w.rulesOf(w.pods[0], way); !isolated || !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			table := w.table()
			if strings.Count(table, "drop") != 1 || !strings.Contains(table, "jump "+strings.ToLower(string(kind))+"_198_18_0_2\n") {
				t.Errorf("more or less than node-0 is isolated:\n%s", table)
			}
			check(t, table)
		})
	}
}

// check has nft read the table, where it may.
func check(t *testing.T, table string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		return // the end-to-end tests load it
	}
	cmd := exec.CommandContext(context.Background(), "nft", "--check", "-f", "-")
	cmd.Stdin = strings.NewReader(table)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft: %v: %s\n%s", err, output, table)
	}
}
