package controllers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func TestMain(m *testing.M) { os.Exit(envtestkit.Run(m)) }

// fakeFeed is a peer feed that says what the test tells it to.
type fakeFeed struct {
	changes chan event.GenericEvent

	mu     sync.Mutex // protects what follows
	states map[types.NamespacedName]feed.State
	asked  map[types.NamespacedName]int // once for each reconciliation
}

func newFakeFeed() *fakeFeed {
	return &fakeFeed{changes: make(chan event.GenericEvent, 100), states: make(map[types.NamespacedName]feed.State), asked: make(map[types.NamespacedName]int)}
}

// reconciled is how often a Grid was reconciled so far.
func (f *fakeFeed) reconciled(g *v1alpha1.Grid) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[client.ObjectKeyFromObject(g)]
}

func (f *fakeFeed) State(grid types.NamespacedName) feed.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[grid]++
	s := f.states[grid]
	s.Acks = maps.Clone(s.Acks)
	return s
}

func (f *fakeFeed) Changes() <-chan event.GenericEvent { return f.changes }

func (f *fakeFeed) set(g *v1alpha1.Grid, change func(*feed.State)) {
	key := client.ObjectKeyFromObject(g)
	f.mu.Lock()
	s := f.states[key]
	s.Acks = maps.Clone(s.Acks)
	if s.Acks == nil {
		s.Acks = make(map[string]feed.Ack)
	}
	change(&s)
	f.states[key] = s
	f.mu.Unlock()
	f.changes <- event.GenericEvent{Object: &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}} // g is its test's
}

// world is one namespace of an API server with an operator at work in it.
type world struct {
	*testing.T

	kube      *envtestkit.Kube
	namespace string
	feed      *fakeFeed
	grids     *GridReconciler
	registry  *prometheus.Registry
	stop      func()

	// broken, if set, is asked before each apply, and fails it with its answer.
	broken atomic.Pointer[func(runtime.ApplyConfiguration) error]
}

// brittle is a client whose applies the test can fail.
type brittle struct {
	client.Client

	w *world
}

func (b brittle) Apply(ctx context.Context, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	if fails := b.w.broken.Load(); fails != nil {
		if err := (*fails)(o); err != nil {
			return err
		}
	}
	return b.Client.Apply(ctx, o, options...)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kube := envtestkit.Start(t)
	w := &world{T: t, kube: kube, namespace: kube.Namespace(t), feed: newFakeFeed()}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// start starts an operator, as after a restart.
func (w *world) start() {
	w.Helper()
	keep := Cache()
	keep.DefaultNamespaces = map[string]cache.Config{w.namespace: {}}
	skip := true
	manager, err := ctrl.NewManager(w.kube.Config, ctrl.Options{
		Scheme: Scheme(), Cache: keep, Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.registry = prometheus.NewRegistry()
	counts, err := NewMetrics(w.registry)
	if err != nil {
		w.Fatal(err)
	}
	w.grids = &GridReconciler{
		Client: brittle{manager.GetClient(), w}, Reader: manager.GetAPIReader(), Recorder: manager.GetEventRecorder("gridmesh-operator"),
		Feed: w.feed, Metrics: counts,
	}
	if err := w.grids.SetupWithManager(manager); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
}

// demo is a Grid with its own StatefulSet.
func (w *world) demo(replicas int32) *v1alpha1.Grid {
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "demo"},
		Spec:       v1alpha1.GridSpec{Image: "gridmesh/node:v1", Replicas: &replicas},
	}
}

// create makes an object, and its list if it is a Grid.
func (w *world) create(o client.Object) {
	w.Helper()
	if err := w.kube.Client.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
	if g, ok := o.(*v1alpha1.Grid); ok {
		w.feed.set(g, func(s *feed.State) { s.Committed, s.MeshID = true, "mesh" })
	}
}

// update changes an object as a user would, from what the server has.
func update[T client.Object](w *world, o T, change func(T)) {
	w.Helper()
	w.wait("an update without conflict", func() (string, bool) {
		if err := w.kube.Client.Get(w.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error(), false
		}
		change(o)
		err := w.kube.Client.Update(w.Context(), o)
		return fmt.Sprint(err), err == nil
	})
}

func (w *world) wait(what string, look func() (string, bool)) {
	w.Helper()
	envtestkit.Wait(w.T, what, look)
}

// get reads an object of the namespace; false if there is none.
func (w *world) get(name string, o client.Object) bool {
	w.Helper()
	err := w.kube.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, o)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatal(err)
	}
	return err == nil
}

// waitFor waits until the object is there and is as wished for.
func waitFor[T client.Object](w *world, name string, o T, is func(T) bool) T {
	w.Helper()
	w.wait(fmt.Sprintf("%T %s", o, name), func() (string, bool) {
		if !w.get(name, o) {
			return "there is none", false
		}
		return fmt.Sprintf("%+v", o), is(o)
	})
	return o
}

func there[T any](T) bool { return true }

// waitCondition waits until a condition of the Grid has a status and a reason.
func (w *world) waitCondition(g *v1alpha1.Grid, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.Helper()
	var found metav1.Condition
	w.wait(fmt.Sprintf("%s=%s %s", kind, status, reason), func() (string, bool) {
		w.get(g.Name, g)
		c := meta.FindStatusCondition(g.Status.Conditions, kind)
		if c == nil {
			return "no such condition", false
		}
		found = *c
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message),
			c.Status == status && c.Reason == reason && c.ObservedGeneration == g.Generation
	})
	return found
}

// runPods does what the controller of StatefulSets and kubelets do: makes the
// pods that the StatefulSet asks for, and removes the others.
func (w *world) runPods(set *appsv1.StatefulSet) {
	w.Helper()
	w.get(set.Name, set)
	var pods corev1.PodList
	if err := w.kube.Client.List(w.Context(), &pods, client.InNamespace(w.namespace), client.MatchingLabels(set.Spec.Selector.MatchLabels)); err != nil {
		w.Fatal(err)
	}
	have := make(map[string]bool)
	for i := range pods.Items {
		p := &pods.Items[i]
		if n, _ := names.Ordinal(set.Name, p.Name); n >= int(names.Replicas(set)) {
			if err := w.kube.Client.Delete(w.Context(), p, client.GracePeriodSeconds(0)); err != nil {
				w.Fatal(err)
			}
			continue
		}
		have[p.Name] = true
	}
	for n := range int(names.Replicas(set)) {
		name := fmt.Sprintf("%s-%d", set.Name, n)
		if have[name] {
			continue
		}
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.namespace, Name: name, Labels: set.Spec.Template.Labels, Annotations: set.Spec.Template.Annotations,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
			},
			Spec: *set.Spec.Template.Spec.DeepCopy(),
		}
		for _, claim := range set.Spec.VolumeClaimTemplates {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + name},
			}})
		}
		if err := w.kube.Client.Create(w.Context(), p); err != nil {
			w.Fatal(err)
		}
		w.setReady(p, true, fmt.Sprintf("10.0.0.%d", n+1))
	}
	set.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: names.Replicas(set), ReadyReplicas: names.Replicas(set),
		CurrentRevision: "one", UpdateRevision: "one", UpdatedReplicas: names.Replicas(set),
	}
	if err := w.kube.Client.Status().Update(w.Context(), set); err != nil {
		w.Fatal(err)
	}
}

func (w *world) setReady(p *corev1.Pod, ready bool, ip string) {
	w.Helper()
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	if ready {
		p.Status.Conditions[0].Status = corev1.ConditionTrue
	}
	if err := w.kube.Client.Status().Update(w.Context(), p); err != nil {
		w.Fatal(err)
	}
}

// running makes a Grid with all that makes it ready.
func (w *world) running(g *v1alpha1.Grid) *appsv1.StatefulSet {
	w.Helper()
	w.create(g)
	set := waitFor(w, g.Name, new(appsv1.StatefulSet), there)
	w.runPods(set)
	w.publish(g, set, int(*g.Spec.Replicas))
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	return set
}

// events are the reasons of what happened to a Grid.
func (w *world) events(g *v1alpha1.Grid) map[string]string {
	w.Helper()
	var all eventsv1.EventList
	if err := w.kube.Client.List(w.Context(), &all, client.InNamespace(w.namespace)); err != nil {
		w.Fatal(err)
	}
	notes := make(map[string]string)
	for i := range all.Items {
		if e := &all.Items[i]; e.Regarding.UID == g.UID {
			notes[e.Reason] = e.Note
		}
	}
	return notes
}

func (w *world) waitEvent(g *v1alpha1.Grid, reason string) {
	w.Helper()
	w.wait("event "+reason, func() (string, bool) {
		notes := w.events(g)
		_, ok := notes[reason]
		return fmt.Sprint(notes), ok
	})
}

// publish has the feed publish a list of the first n pods, which all take it.
func (w *world) publish(g *v1alpha1.Grid, set *appsv1.StatefulSet, n int) {
	w.Helper()
	expires := time.Now().Add(20 * 24 * time.Hour)
	var secret corev1.Secret
	if w.get(names.TLSSecret(g.Name), &secret) {
		if leaf, _, _ := tlsIn(&secret); leaf != nil {
			expires = leaf.NotAfter
		}
	}
	w.feed.set(g, func(s *feed.State) {
		s.Committed, s.Epoch, s.Names, s.Acks = true, s.Epoch+1, nil, make(map[string]feed.Ack)
		for i := range n {
			s.Names = append(s.Names, names.Peer(fmt.Sprintf("%s-%d", set.Name, i), set.Spec.ServiceName, g.Namespace, g.Spec.Port))
		}
		slices.Sort(s.Names)
		for i := range n {
			s.Acks[fmt.Sprintf("%s-%d", set.Name, i)] = feed.Ack{
				Heard: time.Now(), Verified: true,
				Ack: adminapi.Ack{
					MeshID: s.MeshID, Epoch: s.Epoch, Contains: true, Ready: true, Version: "v1",
					Links: adminapi.Links{Up: n - 1, Expected: n - 1}, CertificateExpires: &expires,
				},
			}
		}
	})
}
