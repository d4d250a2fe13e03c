//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// callsBetweenAllPairs: a Grid of nodes, looked at and used as a user does.
func callsBetweenAllPairs(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-calls")
	s.create(t, s.grid(namespace, "demo", 3))
	s.formed(t, namespace, "demo", 3)

	columns := strings.Split(strings.TrimSpace(s.kubectl(t, "get", "grid", "demo", "--namespace", namespace)), "\n")
	if len(columns) != 2 {
		t.Fatalf("kubectl get grid says %q", columns)
	}
	want := []string{"demo", "3/3", "3", "6/6", "True", "0", s.version} // and its age
	if got := strings.Fields(columns[1]); len(got) != len(want)+1 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("kubectl get grid says\n%s\n%s\nwant %q", columns[0], columns[1], want)
	}
	for from := range 3 {
		for to := range 3 {
			said := fmt.Sprintf("from %d to %d", from, to)
			got, err := s.exec(t.Context(), namespace, fmt.Sprintf("demo-%d", from), "/node", "call", peerName(namespace, "demo", to), "echo", "--data", said)
			if err != nil || strings.TrimSpace(got) != said {
				t.Errorf("%s: got %q and %v", said, got, err)
			}
		}
	}
	for _, pod := range s.pods(t, namespace, "demo") {
		for _, volume := range pod.Spec.Volumes {
			if volume.Projected != nil {
				t.Errorf("%s mounts a projected volume, perhaps a token of the API server: %s", pod.Name, volume.Name)
			}
		}
	}
}

// autoscaled: a HorizontalPodAutoscaler changes the number of nodes, through the
// scale subresource, and so does kubectl scale.
func autoscaled(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-autoscaled")
	s.create(t, s.grid(namespace, "demo", 2))
	s.formed(t, namespace, "demo", 2)
	s.kubectl(t, "scale", "grid/demo", "--replicas=3", "--namespace", namespace)
	s.formed(t, namespace, "demo", 3)
	// Below its least number it acts at once, without asking for metrics.
	s.create(t, autoscaler(namespace, "demo", 4, 5))
	s.formed(t, namespace, "demo", 4)
	eventually(t, "the autoscaler to know the pods", func(ctx context.Context) error {
		hpa := autoscaler(namespace, "demo", 4, 5)
		if err := s.get(ctx, hpa); err != nil {
			return err
		}
		if hpa.Status.CurrentReplicas != 4 || hpa.Status.DesiredReplicas != 4 {
			return fmt.Errorf("it sees %d and wants %d", hpa.Status.CurrentReplicas, hpa.Status.DesiredReplicas)
		}
		return nil
	})
}
