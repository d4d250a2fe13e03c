package controllers

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

func TestAGridBecomesReady(t *testing.T) {
	w := newWorld(t)
	g := w.demo(3)
	w.create(g)
	set := waitFor(w, "demo", new(appsv1.StatefulSet), there)
	for name, o := range map[string]client.Object{
		"demo":          new(corev1.Service),
		"demo-grid-tls": new(corev1.Secret),
		"demo-grid-ca":  new(corev1.Secret),
	} {
		if !w.get(name, o) {
			t.Errorf("the StatefulSet is there before %T %s", o, name)
		}
	}
	waitFor(w, "demo", new(policyv1.PodDisruptionBudget), there)
	waitFor(w, "demo", new(networkingv1.NetworkPolicy), there)
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionFalse, "MembersNotReady")
	w.runPods(set)
	w.publish(g, set, 3)
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionFalse, "Complete")
	w.waitCondition(g, v1alpha1.ConditionDegraded, metav1.ConditionFalse, "AsWished")
	w.waitCondition(g, v1alpha1.ConditionPeersSynced, metav1.ConditionTrue, "Synced")
	s := g.Status
	if s.Ready != "3/3" || s.Links != "6/6" || s.Peers != 3 || s.Replicas != 3 || s.ReadyReplicas != 3 || s.Version != "v1" ||
		s.Selector != "gridmesh.io/grid=demo" || s.PeerListEpoch != 1 || len(s.Members) != 3 {
		t.Errorf("status %+v", s)
	}
}

// TestANewTemplateIsNotCalledDone: whoever waits for a change of the spec, by the
// generation that a status is about, does not see the status of before it.
func TestANewTemplateIsNotCalledDone(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	seen, err := w.kube.Client.Watch(t.Context(), new(v1alpha1.GridList), client.InNamespace(w.namespace))
	if err != nil {
		t.Fatal(err)
	}
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Image = "gridmesh/node:v2" })
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "RollingOut")

	// The controller of StatefulSets goes to work, and replaces the pods.
	w.get("demo", set)
	set.Status.ObservedGeneration, set.Status.UpdateRevision, set.Status.UpdatedReplicas = set.Generation, "two", 1
	if err := w.kube.Client.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionFalse, "RollingOut")
	w.runPods(set)
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionFalse, "Complete")
	seen.Stop()

	rolled := false // by what was written so far
	for e := range seen.ResultChan() {
		now, ok := e.Object.(*v1alpha1.Grid)
		if !ok || now.Generation < g.Generation {
			continue
		}
		ready := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady)
		progressing := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionProgressing)
		rolled = rolled || ready.Reason == "RollingOut"
		if !rolled && (ready.Status == metav1.ConditionTrue && (now.Status.ObservedGeneration == now.Generation || ready.ObservedGeneration == now.Generation) ||
			progressing.Status == metav1.ConditionFalse && progressing.ObservedGeneration == now.Generation) {
			t.Errorf("before any pod was replaced: generation %d of %d, %+v, %+v", now.Status.ObservedGeneration, now.Generation, ready, progressing)
		}
	}
}

func TestNoPodStartsBeforeTheConfigMap(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	if err := w.kube.Client.Create(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "Preparing")
	if w.get("demo", new(appsv1.StatefulSet)) {
		t.Error("there is a StatefulSet")
	}
	w.feed.set(g, func(s *feed.State) { s.Committed = true })
	waitFor(w, "demo", new(appsv1.StatefulSet), there)
}

func TestScaleDownWaitsForThePodsThatGo(t *testing.T) {
	w := newWorld(t)
	g := w.demo(3)
	set := w.running(g)

	update(w, g, func(g *v1alpha1.Grid) { *g.Spec.Replicas = 1 })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Wished(s) == 1 })
	if names.Replicas(set) != 3 {
		t.Fatalf("%d pods before any has drained", names.Replicas(set))
	}
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "ScalingDown")

	// Meanwhile somebody wishes for more: it must wait.
	update(w, g, func(g *v1alpha1.Grid) { *g.Spec.Replicas = 4 })
	drain := func(pod string) {
		w.feed.set(g, func(s *feed.State) {
			s.Names = s.Names[:1]
			a := s.Acks[pod]
			a.Removed, a.Drained, a.Links.Expected, a.Links.Up = true, true, 0, 0
			s.Acks[pod] = a
		})
	}
	drain("demo-2")
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "ScalingDown")
	if w.get("demo", set); names.Replicas(set) != 3 {
		t.Fatalf("%d pods before all have drained", names.Replicas(set))
	}
	drain("demo-1")
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Replicas(s) == 1 })
	if names.Wished(set) != 1 {
		t.Fatal("pods that have not gone yet are back in the list")
	}
	w.runPods(set)
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Replicas(s) == 4 && names.ShrinkOf(s) == nil })
}

// TestANamespaceThatGoes: what cannot be made in it any more is no failure.
func TestANamespaceThatGoes(t *testing.T) {
	s := &scope{}
	s.note(fmt.Errorf("apply Secret x: %w", &apierrors.StatusError{ErrStatus: metav1.Status{
		Reason: metav1.StatusReasonForbidden, Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
	}}))
	if len(s.failures) != 0 || len(s.problems) != 0 {
		t.Errorf("%v %v", s.failures, s.problems)
	}
	s.note(fmt.Errorf("apply Secret x: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden}}))
	if len(s.failures) != 1 {
		t.Error("what is forbidden is a failure")
	}
}
