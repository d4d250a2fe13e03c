package controllers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

func TestWhatSomebodyChangedIsPutBack(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	update(w, set, func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "evil" })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool {
		return s.Spec.Template.Spec.Containers[0].Image == "gridmesh/node:v1"
	})
	w.waitEvent(g, "DriftRepaired")
	if got := testutil.ToFloat64(w.grids.Metrics.repairs.WithLabelValues("StatefulSet")); got != 1 {
		t.Errorf("%v repairs are counted", got)
	}

	update(w, set, func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 7 })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return *s.Spec.Replicas == 2 })

	policy := waitFor(w, "demo", new(networkingv1.NetworkPolicy), there)
	update(w, policy, func(p *networkingv1.NetworkPolicy) {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
	})
	waitFor(w, "demo", policy, func(p *networkingv1.NetworkPolicy) bool { return len(p.Spec.Ingress) == 2 })

	service := waitFor(w, "demo", new(corev1.Service), there)
	update(w, service, func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = false })
	waitFor(w, "demo", service, func(s *corev1.Service) bool { return s.Spec.PublishNotReadyAddresses })

	budget := waitFor(w, "demo", new(policyv1.PodDisruptionBudget), there)
	uid := budget.UID
	if err := w.kube.Client.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	waitFor(w, "demo", new(policyv1.PodDisruptionBudget), func(b *policyv1.PodDisruptionBudget) bool { return b.UID != uid })
}

// TestLostLabelsArePutBack: an object is a Grid's by its owner, whatever becomes
// of its labels; and without them the cache does not have it.
func TestLostLabelsArePutBack(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	w.running(g)
	objects := map[client.Object]string{
		new(appsv1.StatefulSet): "demo", new(corev1.Service): "demo", new(policyv1.PodDisruptionBudget): "demo", new(networkingv1.NetworkPolicy): "demo",
		new(corev1.Secret): "demo-grid-tls", new(corev1.Secret): "demo-grid-ca",
	}
	data := make(map[string]map[string][]byte)
	for o, name := range objects {
		w.get(name, o)
		if s, ok := o.(*corev1.Secret); ok {
			data[name] = s.Data
		}
		update(w, o, func(o client.Object) { o.SetLabels(nil) })
	}
	for o, name := range objects {
		waitFor(w, name, o, func(o client.Object) bool { return names.Ours(o, "demo") })
		if s, ok := o.(*corev1.Secret); ok && !reflect.DeepEqual(s.Data, data[name]) {
			t.Errorf("Secret %s has other keys now", name)
		}
	}
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
}

// TestWhatWasOrphanedIsTakenBack: objects that lost their owner, be it all of them
// by kubectl delete --cascade=orphan.
func TestWhatWasOrphanedIsTakenBack(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	w.running(g)
	w.stop()
	objects := map[client.Object]string{
		new(appsv1.StatefulSet): "demo", new(corev1.Service): "demo", new(policyv1.PodDisruptionBudget): "demo", new(networkingv1.NetworkPolicy): "demo",
		new(corev1.Secret): "demo-grid-tls", new(corev1.Secret): "demo-grid-ca",
	}
	for o, name := range objects {
		w.get(name, o)
		update(w, o, func(o client.Object) { o.SetOwnerReferences(nil) })
	}
	if err := w.kube.Client.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	g = w.demo(1)
	w.create(g)
	w.start()
	for o, name := range objects {
		before := o.GetUID()
		waitFor(w, name, o, func(o client.Object) bool { return metav1.IsControlledBy(o, g) })
		if o.GetUID() != before {
			t.Errorf("%s was made anew", name)
		}
	}
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
}

// TestWhatOthersAddStays: kubectl rollout restart, and whoever else adds to an
// object without changing what is ours.
func TestWhatOthersAddStays(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	if out, err := w.kube.Kubectl(t, "rollout", "restart", "statefulset/demo", "-n", w.namespace); err != nil {
		t.Fatal(out, err)
	}
	update(w, set, func(s *appsv1.StatefulSet) { s.Labels["example.org/team"] = "storage" })
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Image = "gridmesh/node:v2" })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool {
		return s.Spec.Template.Spec.Containers[0].Image == "gridmesh/node:v2"
	})
	if set.Labels["example.org/team"] == "" || set.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
		t.Errorf("labels %v, annotations of the template %v", set.Labels, set.Spec.Template.Annotations)
	}
}

// TestNothingIsWrittenForNothing: an operator that starts finds all as it is.
func TestNothingIsWrittenForNothing(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	w.running(g)
	versions := func() (all []string) {
		for name, o := range map[string]client.Object{
			"demo": new(appsv1.StatefulSet), "demo-grid-tls": new(corev1.Secret), "demo-grid-ca": new(corev1.Secret),
		} {
			w.get(name, o)
			all = append(all, name+" "+o.GetResourceVersion())
		}
		for _, o := range []client.Object{new(corev1.Service), new(policyv1.PodDisruptionBudget), new(networkingv1.NetworkPolicy)} {
			w.get("demo", o)
			all = append(all, fmt.Sprintf("%T %s", o, o.GetResourceVersion()))
		}
		return all
	}
	before := make(map[string]bool)
	for _, v := range versions() {
		before[v] = true
	}
	w.stop()
	seen := w.feed.reconciled(g)
	w.start()
	w.wait("a look at the grid", func() (string, bool) { return "", w.feed.reconciled(g) > seen })
	w.stop()
	for _, v := range versions() {
		if !before[v] {
			t.Errorf("%s is new, before: %v", v, before)
		}
	}
	if got := testutil.ToFloat64(w.grids.Metrics.repairs.WithLabelValues("StatefulSet")); got != 0 {
		t.Errorf("%v repairs are counted", got)
	}
}

func TestPausedChangesNothingButTheStatus(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Paused, g.Spec.Image = true, "gridmesh/node:v2" })
	w.waitCondition(g, v1alpha1.ConditionPaused, metav1.ConditionTrue, "UserRequest")
	update(w, set, func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 5 })
	w.feed.set(g, func(s *feed.State) { s.Epoch = 77 })
	w.waitCondition(g, v1alpha1.ConditionPeersSynced, metav1.ConditionFalse, "WaitingForAcks")
	w.get("demo", set)
	if *set.Spec.Replicas != 5 || set.Spec.Template.Spec.Containers[0].Image != "gridmesh/node:v1" || g.Status.PeerListEpoch != 77 {
		t.Errorf("%d pods of %s, epoch %d", *set.Spec.Replicas, set.Spec.Template.Spec.Containers[0].Image, g.Status.PeerListEpoch)
	}
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Valid")
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Paused = false })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool {
		return s.Spec.Template.Spec.Containers[0].Image == "gridmesh/node:v2"
	})
}

func TestAnotherOperatorFinishesAShrink(t *testing.T) {
	w := newWorld(t)
	g := w.demo(3)
	g.Spec.DrainTimeout = &metav1.Duration{Duration: 2 * time.Second}
	set := w.running(g)
	update(w, g, func(g *v1alpha1.Grid) { *g.Spec.Replicas = 1 })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Wished(s) == 1 })
	w.stop()
	w.feed = newFakeFeed()
	w.start()
	w.feed.set(g, func(s *feed.State) { s.Committed, s.MeshID = true, "mesh" }) // it has heard of nobody yet
	// Nobody says that they have drained, so it takes their time.
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Replicas(s) == 1 })
	if shrink := names.ShrinkOf(set); shrink == nil || time.Since(shrink.Since) < 2*time.Second {
		t.Errorf("shrunk after less than the time to drain: %+v", shrink)
	}
	w.runPods(set)
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.ShrinkOf(s) == nil })
}

// TestAStaleCacheDropsNoPods: an operator that has a StatefulSet as it was, such
// as one that led before and does not know yet that it no longer does, takes no
// pods away that are in the mesh by now.
func TestAStaleCacheDropsNoPods(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	stale := set.DeepCopy()
	update(w, g, func(g *v1alpha1.Grid) { *g.Spec.Replicas = 4 })
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool { return names.Replicas(s) == 4 })
	w.runPods(set)
	w.publish(g, set, 4)
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	w.stop()

	update(w, g, func(g *v1alpha1.Grid) { *g.Spec.Replicas, g.Spec.Image = 2, "gridmesh/node:v2" })
	old := &GridReconciler{Reader: w.kube.Client, Recorder: w.grids.Recorder, Feed: w.feed, Metrics: w.grids.Metrics}
	old.Client = interceptor.NewClient(w.kube.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if s, ok := o.(*appsv1.StatefulSet); ok {
				stale.DeepCopyInto(s)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	result, err := old.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(g)})
	if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > cacheLag {
		t.Errorf("got %v and %v, want another look in a moment", result, err)
	}
	if w.get("demo", set); names.Replicas(set) != 4 {
		t.Errorf("the StatefulSet has gone to %d; nobody has drained", names.Replicas(set))
	}
}

// TestAStatusIsOfOneGrid: what was found out about a Grid is not written to one of
// its name that was made since.
func TestAStatusIsOfOneGrid(t *testing.T) {
	w := newWorld(t)
	before := w.demo(1)
	w.running(before)
	w.stop()
	w.feed.set(before, func(s *feed.State) { s.Epoch = 99 }) // so that there is something to write
	if err := w.kube.Client.Delete(t.Context(), before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	r := &GridReconciler{Client: w.kube.Client, Reader: w.kube.Client, Recorder: w.grids.Recorder, Feed: w.feed, Metrics: w.grids.Metrics}
	write := func() {
		t.Helper()
		s, err := r.newScope(t.Context(), before)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.reconcileStatus(t.Context()); err != nil {
			t.Error(err)
		}
	}
	write() // there is none
	after := w.demo(1)
	w.create(after)
	write()
	if w.get("demo", after); len(after.Status.Conditions) != 0 || after.Status.PeerListEpoch != 0 {
		t.Errorf("the new Grid has the status of the one before: %+v", after.Status)
	}
}

// TestNameConflicts: what somebody else has made under a name that a Grid needs
// is left alone, said, and taken into use by nobody; once it is gone the Grid
// goes on.
func TestNameConflicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		object func(client.ObjectKey) client.Object
		quick  bool // the cache tells when it is gone
	}{
		{"StatefulSet", func(k client.ObjectKey) client.Object {
			labels := map[string]string{"app": "other"}
			return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Spec: appsv1.StatefulSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}},
			}}
		}, true},
		{"Service", func(k client.ObjectKey) client.Object {
			return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
		}, true},
		{"Secret", func(k client.ObjectKey) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name + "-grid-tls"}, StringData: map[string]string{"a": "b"}}
		}, false},
		{"PodDisruptionBudget", func(k client.ObjectKey) client.Object {
			return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
		}, false},
		{"NetworkPolicy", func(k client.ObjectKey) client.Object {
			return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.demo(1)
			foreign := c.object(client.ObjectKeyFromObject(g))
			w.create(foreign)
			before := foreign.DeepCopyObject()
			w.create(g)
			said := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonNameConflict)
			w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionFalse, reasonNameConflict)
			w.waitEvent(g, reasonNameConflict)
			if now := foreign.DeepCopyObject().(client.Object); !w.get(foreign.GetName(), now) || now.GetResourceVersion() != before.(client.Object).GetResourceVersion() {
				t.Errorf("it was changed: %+v", now)
			}
			t.Log(said.Message)
			if set := new(appsv1.StatefulSet); w.get("demo", set) && names.Ours(set, "demo") {
				t.Error("pods start all the same")
			}
			if err := w.kube.Client.Delete(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			if !c.quick {
				// Nobody tells of it, so the operator looks again after a minute. It
				// does the same at any other occasion.
				w.feed.set(g, func(*feed.State) {})
			}
			w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
			waitFor(w, "demo", new(appsv1.StatefulSet), func(s *appsv1.StatefulSet) bool { return names.Ours(s, "demo") })
		})
	}
}

// TestMistakesAreSaidAndCostNothing: a Grid that cannot be carried out has a
// condition that says why, does not keep the operator busy, and goes on by
// itself once it is mended.
func TestMistakesAreSaidAndCostNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason string
		change func(*v1alpha1.Grid)
		mend   func(*v1alpha1.Grid)
	}{
		{"a template that is refused", reasonTemplateRefused, func(g *v1alpha1.Grid) {
			g.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: []byte(`{"hostname": "x"}`)}}
		}, func(g *v1alpha1.Grid) { g.Spec.PodTemplate = nil }},
		{"a field that the server does not know", reasonObjectRefused, func(g *v1alpha1.Grid) {
			g.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: []byte(`{"containers": [{"name": "node", "imagePulPolicy": "Always"}]}`)}}
		}, func(g *v1alpha1.Grid) { g.Spec.PodTemplate = nil }},
		{"a value that the server refuses", reasonObjectRefused, func(g *v1alpha1.Grid) {
			g.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: []byte(`{"containers": [{"name": "Side Car", "image": "x"}]}`)}}
		}, func(g *v1alpha1.Grid) { g.Spec.PodTemplate = nil }},
		{"a volume that is none", reasonVolumeRefused, func(g *v1alpha1.Grid) {
			g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSVolume, Volume: &runtime.RawExtension{Raw: []byte(`{"csl": {}}`)}}
		}, func(g *v1alpha1.Grid) { g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSelf} }},
		{"no cert-manager", reasonNoCertManager, func(g *v1alpha1.Grid) {
			g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSCertManager, CertManager: &v1alpha1.CertManager{IssuerRef: v1alpha1.IssuerRef{Name: "x"}}}
		}, func(g *v1alpha1.Grid) { g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSelf} }},
		{"no secret", reasonSecretMissing, func(g *v1alpha1.Grid) {
			g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSecret, Secret: &v1alpha1.SecretTLS{Name: "mine"}}
		}, func(g *v1alpha1.Grid) { g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSelf} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.demo(1)
			c.change(g)
			w.create(g)
			said := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, c.reason)
			t.Log(said.Message)
			w.waitEvent(g, c.reason)
			if got := w.feed.reconciled(g); got > 25 {
				t.Errorf("reconciled %d times before it settled", got)
			}
			w.wait("calm", func() (string, bool) { // what it has brought about may take its time to come
				before := w.feed.reconciled(g)
				calm := time.NewTimer(2 * time.Second)
				<-calm.C
				got := w.feed.reconciled(g) - before
				return fmt.Sprintf("reconciled %d times in 2 s for nothing", got), got <= 3
			})
			update(w, g, c.mend)
			w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
		})
	}
}

// TestAFailureIsSaidAndTriedAgain: an API server that says no, for a while.
func TestAFailureIsSaidAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	fails := func(o runtime.ApplyConfiguration) error {
		if u, ok := o.(interface{ GetKind() string }); ok && u.GetKind() == "StatefulSet" {
			return apierrors.NewForbidden(appsv1.Resource("statefulsets"), "demo", errors.New("exceeded quota"))
		}
		return nil
	}
	w.broken.Store(&fails)
	w.create(g)
	said := w.waitCondition(g, v1alpha1.ConditionDegraded, metav1.ConditionTrue, "ApplyFailed")
	if !strings.Contains(said.Message, "exceeded quota") {
		t.Error(said.Message)
	}
	w.waitEvent(g, "ApplyFailed")
	waitFor(w, "demo", new(policyv1.PodDisruptionBudget), there) // one that fails does not keep the others from being made
	w.broken.Store(nil)
	waitFor(w, "demo", new(appsv1.StatefulSet), there)
	w.waitCondition(g, v1alpha1.ConditionDegraded, metav1.ConditionFalse, "AsWished")
}

// TestAStatusIsNotWrittenAllTheTime: numbers wait, a condition that flips does
// not.
func TestAStatusIsNotWrittenAllTheTime(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	w.running(g)
	w.wait("calm", func() (string, bool) { // all that the pods and the list have brought about
		w.get("demo", g)
		version := g.ResourceVersion
		calm := time.NewTimer(statusEvery + time.Second)
		<-calm.C
		w.get("demo", g)
		return g.ResourceVersion, g.ResourceVersion == version
	})
	writes := testutil.ToFloat64(w.grids.Metrics.status.WithLabelValues("ok"))
	upgrade := func(n int) {
		w.feed.set(g, func(s *feed.State) {
			a := s.Acks["demo-0"]
			a.Version = fmt.Sprint("v", n)
			s.Acks["demo-0"] = a
		})
	}
	begin := time.Now()
	for n := 2; time.Since(begin) < 3*time.Second; n++ {
		upgrade(n)
		tick := time.NewTimer(50 * time.Millisecond)
		<-tick.C
	}
	got := testutil.ToFloat64(w.grids.Metrics.status.WithLabelValues("ok")) - writes
	if took := time.Since(begin); got > 2+float64(took/statusEvery) { // the 3 s may have been longer
		t.Errorf("%v writes in %v", got, took)
	}
	w.feed.set(g, func(s *feed.State) { s.Problem = &feed.Problem{Reason: "ListInvalid", Message: "too many"} })
	begin = time.Now()
	w.waitCondition(g, v1alpha1.ConditionPeersSynced, metav1.ConditionFalse, "ListInvalid")
	t.Logf("a flip took %v", time.Since(begin))
}
