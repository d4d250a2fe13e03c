//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// away is for how long something is missing.
const away = time.Minute

// operatorAway: pods restart while there is no operator, and the mesh forms all
// the same; when it is back, it says what is.
func operatorAway(s *suite, t *testing.T, namespace string) {
	grid := s.formed(t, namespace, "demo", 3)
	s.scaleOperator(t, 0)
	began := time.Now()
	before := make(map[string]bool)
	for _, pod := range s.pods(t, namespace, "demo") {
		before[string(pod.UID)] = true
		if err := s.client.Delete(t.Context(), &pod); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "three other pods", func(ctx context.Context) error {
		pods, err := s.podsOf(ctx, namespace, "demo")
		for _, pod := range pods {
			if before[string(pod.UID)] {
				return fmt.Errorf("%s is the old one", pod.Name)
			}
		}
		if err == nil && len(pods) != 3 {
			err = fmt.Errorf("%d pods", len(pods))
		}
		return err
	})
	s.linked(t, namespace, "demo", 3)
	t.Logf("three pods, all of them new, were linked %.1f s after they were deleted", time.Since(began).Seconds())
	passes(t, away-time.Since(began))
	s.linked(t, namespace, "demo", 3)

	s.scaleOperator(t, 1)
	eventually(t, "news of the new pods", func(ctx context.Context) error {
		if err := s.get(ctx, grid); err != nil {
			return err
		}
		for _, member := range grid.Status.Members {
			if member.LastHeard != nil {
				return fmt.Errorf("%s is said to be silent", member.Name)
			}
		}
		return whole(grid, 3)
	})
}

// apiServerAway: no call fails while there is no API server, and when it is back
// the operator goes on.
func apiServerAway(s *suite, t *testing.T) {
	control := s.needControl(t)
	namespace := s.namespace(t, "e2e-api-away")
	l := s.startLoad(t, namespace, 3)
	l.progress(t, 100)
	before, err := l.summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	control.do(t, "stop", "kube-apiserver")
	passes(t, away)
	control.do(t, "start", "kube-apiserver")
	var after int
	eventually(t, "the API server", func(ctx context.Context) error {
		summary, err := l.summary(ctx)
		after = summary.Started
		return err
	})
	if more := after - before.Started; more < 1000 { // of 64 callers with 1.5 s a call, in a minute, some 2,500
		t.Errorf("%d calls were made while the API server was away", more)
	}
	l.endUnharmed(t)

	// The operator has ended without its lease, and is at work again. To pods the
	// API server is a Service, and kube-proxy takes up to a minute to look again
	// whether there is one.
	control.do(t, "stop", "kube-proxy")
	control.do(t, "start", "kube-proxy")
	began := time.Now()
	grid := s.grid(namespace, "demo", 2)
	s.create(t, grid)
	eventually(t, "the operator to be at work again", func(ctx context.Context) error {
		if err := s.get(ctx, grid); err != nil {
			return err
		}
		if grid.Status.ObservedGeneration != grid.Generation || !meta.IsStatusConditionTrue(grid.Status.Conditions, v1alpha1.ConditionAccepted) {
			return fmt.Errorf("the status says %+v", grid.Status)
		}
		// Its pods come when the StatefulSet controller has noticed, a minute later.
		return s.get(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "demo"}})
	})
	t.Logf("the operator had seen to a Grid %.1f s after it was made", time.Since(began).Seconds())
}

// operatorUpgraded: a newer operator restarts no pod of any Grid, and goes on
// where the older one ended.
func operatorUpgraded(s *suite, t *testing.T, namespace string) {
	grid := s.formed(t, namespace, "demo", 3)
	processes := func() map[string]string {
		var pods corev1.PodList
		if err := s.client.List(t.Context(), &pods, client.HasLabels{labelGrid}); err != nil {
			t.Fatal(err)
		}
		all := make(map[string]string)
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil {
				all[pod.Namespace+"/"+pod.Name] = fmt.Sprintf("%s, restarts %d", pod.UID, pod.Status.ContainerStatuses[0].RestartCount)
			}
		}
		return all
	}
	before := processes()
	for range 2 { // the second one changes nothing at all
		helm(t, 3, append([]string{"upgrade", release, chart}, s.values(s.next)...)...)
	}
	change(t, s, grid, func(g *v1alpha1.Grid) { g.Annotations = map[string]string{"e2e": "look"} })
	s.kubectl(t, "scale", "grid/demo", "--replicas=4", "--namespace", namespace)
	s.formed(t, namespace, "demo", 4) // so the new one has worked on it
	after := processes()
	delete(after, namespace+"/demo-3")
	if !maps.Equal(after, before) {
		t.Errorf("pods before %v, and after %v", before, after)
	}
}
