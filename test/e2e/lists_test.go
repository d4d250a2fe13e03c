//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// keyDocument is where the peer list stands in a Grid's ConfigMap.
const keyDocument = "peers.signed"

// document is the peer list of a Grid as it is published.
func (s *suite) document(t *testing.T, namespace, grid string) []byte {
	t.Helper()
	published := published(namespace, grid)
	if err := s.get(t.Context(), published); err != nil {
		t.Fatal(err)
	}
	if len(published.BinaryData[keyDocument]) == 0 {
		t.Fatalf("ConfigMap %s has no peer list", published.Name)
	}
	return published.BinaryData[keyDocument]
}

func published(namespace, grid string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: grid + "-grid"}}
}

// push brings a peer list to a node's admin port, as anybody may who reaches it.
func (s *suite) push(t *testing.T, namespace, pod string, document []byte) (status int, answer string) {
	t.Helper()
	result := s.kube.CoreV1().RESTClient().Put().Namespace(namespace).Resource("pods").Name("https:"+pod+":7701").SubResource("proxy").
		Suffix(adminapi.PathPeers).SetHeader("Content-Type", adminapi.TypeSigned).Body(document).Do(t.Context())
	result.StatusCode(&status)
	raw, err := result.Raw() // an error is a status that is none of success
	return status, fmt.Sprint(string(raw), errors.Join(err))
}

// falseLists: a peer list that was tampered with, is an old one, or another
// Grid's is refused by every node and reported, and the mesh goes on; one in the
// ConfigMap is replaced.
func falseLists(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-lists")
	s.create(t, s.grid(namespace, "demo", 2), s.grid(namespace, "other", 1))
	s.formed(t, namespace, "demo", 2)
	s.formed(t, namespace, "other", 1)
	old := s.document(t, namespace, "demo")
	grid := s.grid(namespace, "demo", 2)
	change(t, s, grid, func(g *v1alpha1.Grid) { g.Spec.Replicas = new(int32(3)) })
	grid = s.formed(t, namespace, "demo", 3)
	current := s.document(t, namespace, "demo")
	if bytes.Equal(old, current) {
		t.Fatal("the list of three nodes is that of two")
	}
	tampered := slices.Clone(current)
	tampered[len(tampered)-100] ^= 1

	if status, answer := s.push(t, namespace, "demo-0", current); status != http.StatusOK {
		t.Errorf("the list in use: got %d and %s, want it acknowledged", status, answer)
	}
	for _, c := range []struct {
		name     string
		document []byte
		status   int
		want     string // in what the node says of it
	}{
		{"tampered with", tampered, http.StatusForbidden, "without a valid signature"},
		{"another Grid's", s.document(t, namespace, "other"), http.StatusForbidden, "none of its 1 signatures is of a key that this node trusts"},
		{"old", old, http.StatusConflict, "stale peer list"},
	} {
		for _, pod := range s.pods(t, namespace, "demo") {
			if status, answer := s.push(t, namespace, pod.Name, c.document); status != c.status {
				t.Errorf("%s, to %s: got %d and %s, want %d", c.name, pod.Name, status, answer, c.status)
			}
			ack, err := s.ack(t.Context(), namespace, pod.Name)
			if err != nil || !strings.Contains(ack.ListError, c.want) || int64(ack.Epoch) != grid.Status.PeerListEpoch || ack.Links.Up != 2 {
				t.Errorf("%s, to %s: it says %+v and %v", c.name, pod.Name, ack, err)
			}
		}
	}
	// Whoever may write the ConfigMap has its contents put right.
	change(t, s, published(namespace, "demo"), func(m *corev1.ConfigMap) { m.BinaryData[keyDocument] = tampered })
	eventually(t, "a good list in the ConfigMap", func(ctx context.Context) error {
		now := published(namespace, "demo")
		if err := s.get(ctx, now); err != nil {
			return err
		}
		if bytes.Equal(now.BinaryData[keyDocument], tampered) {
			return errors.New("the list that was tampered with stays")
		}
		return nil
	})
	s.formed(t, namespace, "demo", 3)
}

// pushBlocked: where a NetworkPolicy keeps the operator from the nodes, the list
// comes by the mounted file, and the Grid says so.
func pushBlocked(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-blocked")
	pods := metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	s.create(t, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mesh-only"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: pods, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &pods}},
				Ports: []networkingv1.NetworkPolicyPort{{Port: new(intOrString(7700))}},
			}},
		},
	})
	s.startExample(t, namespace)
	s.linked(t, namespace, "web", 3)
	change(t, s, web(namespace), func(set *appsv1.StatefulSet) { set.Spec.Replicas = new(int32(4)) })
	s.linked(t, namespace, "web", 4)
	grid := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
	eventually(t, "PeersSynced to say so", func(ctx context.Context) error {
		if err := s.get(ctx, grid); err != nil {
			return err
		}
		c := meta.FindStatusCondition(grid.Status.Conditions, v1alpha1.ConditionPeersSynced)
		if grid.Status.Peers != 4 || c == nil || c.Status != metav1.ConditionUnknown || c.Reason != "PushUnreachable" || !strings.Contains(c.Message, "mounted ConfigMap") {
			return fmt.Errorf("PEERS %d, PeersSynced %s", grid.Status.Peers, said(grid, v1alpha1.ConditionPeersSynced))
		}
		return nil
	})
	for _, pod := range s.pods(t, namespace, "web")[:3] { // web-3 may have got it before the policy knew its address
		ack, err := s.ack(t.Context(), namespace, pod.Name)
		if err != nil || int64(ack.Epoch) != grid.Status.PeerListEpoch || ack.Source == adminapi.SourceAdmin {
			t.Errorf("%s: it says %+v and %v, want list %d by another road than a push", pod.Name, ack, err, grid.Status.PeerListEpoch)
		}
	}
}
