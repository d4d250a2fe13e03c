package feed

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// kubeGrid is a Grid on an API server, with a StatefulSet and pods that the test
// makes, as controllers and kubelets would.
type kubeGrid struct {
	t    *testing.T
	kube client.Client
	key  types.NamespacedName
	set  *appsv1.StatefulSet
}

// testAdminPort is where pods of tests listen, each on an address of its own.
const testAdminPort = 17702

// newGrid makes a Grid with an own StatefulSet, or an adopted one.
func newGrid(t *testing.T, replicas int32, adopted bool) *kubeGrid {
	t.Helper()
	kube := envtestkit.Start(t)
	g := &kubeGrid{t: t, kube: kube.Client, key: types.NamespacedName{Namespace: kube.Namespace(t), Name: "demo"}}
	g.make(replicas, adopted)
	return g
}

func (g *kubeGrid) make(replicas int32, adopted bool) {
	g.t.Helper()
	spec := v1alpha1.GridSpec{Image: "node:1", Replicas: &replicas, AdminPort: testAdminPort}
	if adopted {
		spec.Image, spec.Replicas, spec.StatefulSetRef = "", nil, &v1alpha1.StatefulSetReference{Name: "demo"}
	}
	g.create(&v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: g.key.Namespace, Name: g.key.Name}, Spec: spec})
}

func (g *kubeGrid) create(o client.Object) {
	g.t.Helper()
	if err := g.kube.Create(g.t.Context(), o); err != nil {
		g.t.Fatal(err)
	}
}

func (g *kubeGrid) grid() *v1alpha1.Grid {
	g.t.Helper()
	return get(g, g.key.Name, &v1alpha1.Grid{})
}

// get reads an object that is there.
func get[T client.Object](g *kubeGrid, name string, o T) T {
	g.t.Helper()
	if err := g.kube.Get(g.t.Context(), client.ObjectKey{Namespace: g.key.Namespace, Name: name}, o); err != nil {
		g.t.Fatal(err)
	}
	return o
}

// change changes an object that is there.
func change[T client.Object](g *kubeGrid, o T, by func(T)) {
	g.t.Helper()
	before := o.DeepCopyObject().(client.Object)
	by(o)
	if err := g.kube.Patch(g.t.Context(), o, client.MergeFrom(before)); err != nil {
		g.t.Fatal(err)
	}
}

// makeSet makes the StatefulSet.
func (g *kubeGrid) makeSet(replicas int32) {
	g.t.Helper()
	grid := g.grid()
	g.set = &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.key.Namespace, Name: "demo", Labels: names.Labels("demo"), OwnerReferences: owners(grid)},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: "demo", Selector: &metav1.LabelSelector{MatchLabels: names.Selector("demo")},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: names.Selector("demo")},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "node", Image: "node:1"}}},
			},
		},
	}
	g.create(g.set)
}

// pod makes the pod of an ordinal, and gives it an address unless that is "".
func (g *kubeGrid) pod(ordinal int, ip string) {
	g.t.Helper()
	makePod(g.t, g.kube, g.set, ordinal, ip)
}

func makePod(tb testing.TB, kube client.Client, set *appsv1.StatefulSet, ordinal int, ip string) {
	tb.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: fmt.Sprintf("%s-%d", set.Name, ordinal), Labels: set.Spec.Selector.MatchLabels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "node", Image: "node:1"}}},
	}
	if err := kube.Create(tb.Context(), p); err != nil {
		tb.Fatal(err)
	}
	if ip != "" {
		setIP(tb, kube, p, ip)
	}
}

func setIP(tb testing.TB, kube client.Client, p *corev1.Pod, ip string) {
	tb.Helper()
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if err := kube.Status().Update(tb.Context(), p); err != nil {
		tb.Fatal(err)
	}
}

// configMap is what is committed, checked as a node checks it; the zero list if
// there is none.
func (g *kubeGrid) configMap() (*corev1.ConfigMap, peers.List) {
	g.t.Helper()
	c := get(g, "demo-grid", &corev1.ConfigMap{})
	keys, err := peers.ParsePublicKeys([]byte(c.Data["peers.pub"]))
	if err != nil {
		g.t.Fatal(err)
	}
	if c.BinaryData["peers.signed"] == nil {
		return c, peers.List{}
	}
	list, err := peers.Verify(c.BinaryData["peers.signed"], peers.Trust{Keys: keys, Grid: g.key.Namespace + "/demo"})
	if err != nil {
		g.t.Fatal(err)
	}
	return c, list
}

func (g *kubeGrid) peers(ordinals ...int) (list []string) {
	for _, n := range ordinals {
		list = append(list, fmt.Sprintf("demo-%d.demo.%s.svc:7700", n, g.key.Namespace))
	}
	return list
}

// feed runs a Feed in a manager until the test, or stop, ends it.
func (g *kubeGrid) feed() (f *Feed, stop func()) {
	g.t.Helper()
	mgr, err := ctrl.NewManager(envtestkit.Start(g.t).Config, ctrl.Options{
		Scheme: g.kube.Scheme(), Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{g.key.Namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}: CachePods(), &corev1.ConfigMap{}: {Label: Labelled()}, &corev1.Secret{}: {Label: Labelled()},
			},
		},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	f, err = New(Options{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Log: log})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := f.SetupWithManager(mgr); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	drained := make(chan struct{})
	go func() { done <- mgr.Start(ctx) }()
	changes := f.Changes()
	go func() { // a reader of the changes, as there is always one
		defer close(drained)
		for {
			select {
			case <-changes:
			case <-ctx.Done():
				return
			}
		}
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-drained
		if err := <-done; err != nil {
			g.t.Error(err)
		}
	}
	g.t.Cleanup(stop)
	return f, stop
}

// publisher makes one that has no cache, so that a test need not wait for it.
func (g *kubeGrid) publisher(c client.Client) *publisher {
	return &publisher{client: c, live: c, signed: make(map[types.UID]uint64)}
}

// publish looks once, as a reconcile does.
func (g *kubeGrid) publish(p *publisher, acks map[string]Ack) (published, error) {
	g.t.Helper()
	var list corev1.PodList
	if err := g.kube.List(g.t.Context(), &list, client.InNamespace(g.key.Namespace)); err != nil {
		g.t.Fatal(err)
	}
	var pods []Pod
	for i := range list.Items {
		pods = append(pods, PodOf(&list.Items[i]))
	}
	grid := g.grid()
	return p.publish(g.t.Context(), grid, WishOf(grid, get(g, "demo", &appsv1.StatefulSet{})), pods, acks)
}

// eventually waits for a condition on the API server.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(hang)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for: %s", what)
		}
	}
}
