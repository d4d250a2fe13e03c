//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// labelGrid is on all that belongs to a Grid.
const labelGrid = "gridmesh.io/grid"

// grid is a Grid of nodes.
func (s *suite) grid(namespace, name string, replicas int32) *v1alpha1.Grid {
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.GridSpec{Image: "gridmesh/node:" + s.version, Replicas: new(replicas)},
	}
}

// formed waits until a Grid is whole, by its status, and returns it.
func (s *suite) formed(t *testing.T, namespace, name string, nodes int32) *v1alpha1.Grid {
	t.Helper()
	grid := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	eventually(t, fmt.Sprintf("Grid %s of %d", name, nodes), func(ctx context.Context) error {
		if err := s.get(ctx, grid); err != nil {
			return err
		}
		return whole(grid, nodes)
	})
	return grid
}

// whole says what a Grid's status lacks of n nodes that are all linked.
func whole(grid *v1alpha1.Grid, n int32) error {
	status := &grid.Status
	if status.ObservedGeneration != grid.Generation {
		return fmt.Errorf("the status is about generation %d of %d", status.ObservedGeneration, grid.Generation)
	}
	got := fmt.Sprintf("READY %s PEERS %d LINKS %s", status.Ready, status.Peers, status.Links)
	if want := fmt.Sprintf("READY %d/%d PEERS %d LINKS %d/%d", n, n, n, n*(n-1), n*(n-1)); got != want {
		return fmt.Errorf("got %s, want %s", got, want)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionPeersSynced} {
		if !meta.IsStatusConditionTrue(status.Conditions, kind) {
			return fmt.Errorf("%s is not true: %s", kind, said(grid, kind))
		}
	}
	return nil
}

// said is what a condition says.
func said(grid *v1alpha1.Grid, kind string) string {
	c := meta.FindStatusCondition(grid.Status.Conditions, kind)
	if c == nil {
		return "there is no such condition"
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// pods are a Grid's, by ordinal.
func (s *suite) pods(t *testing.T, namespace, grid string) []corev1.Pod {
	t.Helper()
	pods, err := s.podsOf(t.Context(), namespace, grid)
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

func (s *suite) podsOf(ctx context.Context, namespace, grid string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := s.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{labelGrid: grid})
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return list.Items, err
}

// peerName is a pod's name in the mesh.
func peerName(namespace, grid string, ordinal int) string {
	return fmt.Sprintf("%s-%d.%s.%s.svc:7700", grid, ordinal, grid, namespace)
}

// ask gets a page of a node's admin port, by way of the API server.
func (s *suite) ask(ctx context.Context, namespace, pod, path string, into any) error {
	body, err := s.kube.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").
		Name("https:" + pod + ":7701").SubResource("proxy").Suffix(path).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("%s of %s: %w: %s", path, pod, err, body)
	}
	return json.Unmarshal(body, into)
}

// ack is what a node says of its peer list.
func (s *suite) ack(ctx context.Context, namespace, pod string) (adminapi.Ack, error) {
	var ack adminapi.Ack
	err := s.ask(ctx, namespace, pod, adminapi.PathAck, &ack)
	return ack, err
}

// linked waits until n nodes say themselves that they are linked with each
// other, whatever an operator says.
func (s *suite) linked(t *testing.T, namespace, grid string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d nodes that are linked", n), func(ctx context.Context) error {
		for i := range n {
			ack, err := s.ack(ctx, namespace, fmt.Sprintf("%s-%d", grid, i))
			if err != nil {
				return err
			}
			if !ack.Ready || ack.Links.Up != n-1 || ack.Links.Expected != n-1 {
				return fmt.Errorf("%s: ready %t, links %d/%d, epoch %d: %s", ack.Name, ack.Ready, ack.Links.Up, ack.Links.Expected, ack.Epoch, ack.ListError)
			}
		}
		return nil
	})
}
