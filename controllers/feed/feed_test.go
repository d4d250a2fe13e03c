package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// TestFeedLife: from a Grid without a StatefulSet to pods that come, stay, go and
// come back, each with the list committed; nothing that does not matter makes
// another one.
func TestFeedLife(t *testing.T) {
	g := newGrid(t, 3, false)
	f, stop := g.feed()
	committed := func(epoch uint64, ordinals ...int) {
		t.Helper()
		eventually(t, fmt.Sprintf("epoch %d of %v", epoch, ordinals), func() bool {
			s := f.State(g.key)
			return s.Committed && s.Epoch == epoch && slices.Equal(s.Names, g.peers(ordinals...)) && s.Problem == nil
		})
		if _, list := g.configMap(); list.Epoch != epoch || !slices.Equal(list.Names, g.peers(ordinals...)) {
			t.Fatalf("the ConfigMap has epoch %d of %v", list.Epoch, list.Names)
		}
	}
	// Pods can start before there is a StatefulSet, or anybody to list.
	committed(0)
	c, _ := g.configMap()
	if !metav1.IsControlledBy(c, g.grid()) || !names.Ours(c, "demo") || c.Data["grid.json"] == "" {
		t.Errorf("got %+v", c.ObjectMeta)
	}
	g.makeSet(3)
	g.pod(0, "127.0.0.2")
	committed(1, 0)
	g.pod(1, "127.0.0.3")
	committed(2, 0, 1)

	// A pod without an address, one that restarts, a label: no list.
	g.pod(2, "")
	pod := get(g, "demo-0", &corev1.Pod{})
	change(g, pod, func(p *corev1.Pod) { p.Labels["x"] = "y" })
	if err := g.kube.Delete(t.Context(), get(g, "demo-1", &corev1.Pod{}), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool knows of one pod", func() bool { return len(f.State(g.key).Acks) == 1 })
	committed(2, 0, 1)
	g.pod(1, "127.0.0.9")
	eventually(t, "the pool knows of two pods", func() bool { return len(f.State(g.key).Acks) == 2 })
	committed(2, 0, 1)
	setIP(t, g.kube, get(g, "demo-2", &corev1.Pod{}), "127.0.0.4")
	committed(3, 0, 1, 2)

	// Paused or not.
	change(g, g.grid(), func(o *v1alpha1.Grid) { o.Spec.Paused = true })
	// On their way out while they still run; the pool goes on telling them.
	change(g, get(g, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) {
		s.Annotations = map[string]string{names.AnnotationShrinkTo: "1"}
	})
	committed(4, 0)
	if acks := f.State(g.key).Acks; len(acks) != 3 {
		t.Errorf("the pool has %d pods", len(acks))
	}
	change(g, get(g, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(0)) })
	committed(5)

	// Another operator goes on where this one was.
	stop()
	g.pod(4, "127.0.0.5") // meanwhile
	f, _ = g.feed()
	committed(5)
	change(g, get(g, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) { s.Spec.Replicas, s.Annotations = new(int32(5)), nil })
	committed(6, 0, 1, 2, 4)

	// The Grid goes; who owned it along takes the rest.
	if err := g.kube.Delete(t.Context(), g.grid()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is forgotten", func() bool { s := f.State(g.key); return !s.Committed && s.Acks == nil })
}

// TestFeedMendsDrift: what somebody changes in the ConfigMap is put back; a list
// that was lost is followed by a higher one of the same mesh.
func TestFeedMendsDrift(t *testing.T) {
	g := newGrid(t, 2, false)
	g.makeSet(2)
	g.pod(0, "127.0.0.2")
	g.pod(1, "127.0.0.3")
	f, _ := g.feed()
	eventually(t, "a list of both", func() bool { return len(f.State(g.key).Names) == 2 })
	before, list := g.configMap()
	mended := func(what string, epoch uint64) {
		t.Helper()
		eventually(t, what+" is mended", func() bool {
			c := new(corev1.ConfigMap)
			err := g.kube.Get(t.Context(), client.ObjectKeyFromObject(before), c)
			return err == nil && c.Data["grid.json"] == before.Data["grid.json"] && c.Data["peers.pub"] == before.Data["peers.pub"] &&
				len(c.BinaryData["peers.signed"]) > 100 && within(before.Labels, c.Labels) && f.State(g.key).Epoch == epoch
		})
		if _, now := g.configMap(); now.Epoch != epoch || now.MeshID != list.MeshID || !slices.Equal(now.Names, list.Names) {
			t.Errorf("%s: got epoch %d of mesh %s, %v", what, now.Epoch, now.MeshID, now.Names)
		}
	}
	epoch := list.Epoch
	change(g, before.DeepCopy(), func(c *corev1.ConfigMap) {
		c.Data["grid.json"] = "{}"
		delete(c.Data, "peers.pub")
		c.Data["more"] = "x"
	})
	mended("data", epoch)
	if c, _ := g.configMap(); c.Data["more"] != "x" {
		t.Error("what is not ours was taken away")
	}
	c, _ := g.configMap()
	change(g, c, func(c *corev1.ConfigMap) { c.BinaryData["peers.signed"] = []byte("gone") })
	mended("a broken list", epoch+epochSkip)
	c, _ = g.configMap()
	change(g, c, func(c *corev1.ConfigMap) { c.Labels = nil })
	mended("labels", epoch+epochSkip)

	// The StatefulSet is orphaned, too: it is the Grid's still, and so are its pods.
	change(g, get(g, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) { s.OwnerReferences = nil })
	c, _ = g.configMap()
	change(g, c, func(c *corev1.ConfigMap) { c.OwnerReferences = nil })
	eventually(t, "the ConfigMap has its owner again", func() bool { c, _ := g.configMap(); return metav1.IsControlledBy(c, g.grid()) })
	mended("an owner", epoch+epochSkip)
	if s := f.State(g.key); len(s.Acks) != 2 {
		t.Errorf("the pool has %d pods", len(s.Acks))
	}
	if err := g.kube.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	mended("a deleted ConfigMap", epoch+epochSkip+1) // this operator remembers

	grid := g.grid()
	grid.Status.PeerListEpoch = 5000
	if err := g.kube.Status().Update(t.Context(), grid); err != nil {
		t.Fatal(err)
	}
	if err := g.kube.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	mended("one deleted after the status was written", 5000+epochSkip)
}

// TestFeedFails: what keeps a list from being published is told once it lasts,
// and what is known stays.
func TestFeedFails(t *testing.T) {
	fail := ""
	g := newGrid(t, 2, false)
	g.makeSet(2)
	g.pod(0, "127.0.0.2")
	f, err := New(Options{Client: failing(t, &fail), Reader: g.kube, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	look := func() error {
		_, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: g.key})
		return err
	}
	defer func() {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_ = f.pool.Start(over) // waits for its members, and never fails
	}()
	if err := look(); err != nil {
		t.Fatal(err)
	}
	fail = "before"
	g.pod(1, "127.0.0.3")
	if err := look(); err == nil {
		t.Fatal("the commit did not fail")
	}
	if s := f.State(g.key); s.Failure != "" {
		t.Errorf("told at once: %s", s.Failure)
	}
	f.mu.Lock()
	k := f.grids[g.key]
	k.failing = k.failing.Add(-failureShown)
	f.grids[g.key] = k
	f.mu.Unlock()
	_, _ = f.notifier.next() // of the list
	if err := look(); err == nil {
		t.Fatal("the commit did not fail")
	}
	if s := f.State(g.key); s.Failure != "commit ConfigMap demo-grid: connection lost" || !s.Committed || len(s.Names) != 1 {
		t.Errorf("got %+v", s)
	}
	if grid, ok := f.notifier.next(); !ok || grid != g.key {
		t.Error("nobody is told")
	}
	fail = ""
	if err := look(); err != nil {
		t.Fatal(err)
	}
	if s := f.State(g.key); s.Failure != "" || len(s.Names) != 2 {
		t.Errorf("afterwards: %+v", s)
	}
}

// TestFeedOfANamespaceThatGoes: nothing can be made there any more, which is no
// error: the Grid goes with it.
func TestFeedOfANamespaceThatGoes(t *testing.T) {
	g := newGrid(t, 1, false)
	f, err := New(Options{Client: g.kube, Reader: g.kube, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.kube.Delete(t.Context(), get(g, g.key.Namespace, &corev1.Namespace{})); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing can be made", func() bool {
		err := g.kube.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: g.key.Namespace, GenerateName: "x-"}})
		return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
	})
	if _, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: g.key}); err != nil {
		t.Error(err)
	}
}

// TestRetries: an hour of failures, and no Grid waits for long when they are over.
func TestRetries(t *testing.T) {
	retries, grid := Retries(), reconcile.Request{}
	first := retries.When(grid)
	last := first
	for range 200 {
		next := retries.When(grid)
		if next < last || next > 30*time.Second {
			t.Fatalf("%v after %v", next, last)
		}
		last = next
	}
	if first > 10*time.Millisecond || last != retryLatest {
		t.Errorf("from %v to %v", first, last)
	}
	retries.Forget(grid)
	if again := retries.When(grid); again != first {
		t.Errorf("after success %v, want %v", again, first)
	}
}

// TestFeedAdopted: objects of an adopted Grid have no owner, and a Grid made again
// goes on with them.
func TestFeedAdopted(t *testing.T) {
	g := newGrid(t, 0, true)
	f, _ := g.feed()
	eventually(t, "the Grid is known", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.grids) == 1 })
	if f.State(g.key).Committed {
		t.Error("something is committed without a StatefulSet")
	}
	g.makeSet(2)
	change(g, g.set, func(s *appsv1.StatefulSet) { s.OwnerReferences = nil })
	g.pod(0, "127.0.0.2")
	eventually(t, "a list of one", func() bool { return f.State(g.key).Epoch == 1 })
	c, list := g.configMap()
	if len(c.OwnerReferences) != 0 || len(get(g, "demo-grid-signing", &corev1.Secret{}).OwnerReferences) != 0 {
		t.Error("they have owners")
	}
	if err := g.kube.Delete(t.Context(), g.grid()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is forgotten", func() bool { return !f.State(g.key).Committed })
	g.make(0, true)
	g.pod(1, "127.0.0.3")
	eventually(t, "a list of both", func() bool { return len(f.State(g.key).Names) == 2 })
	if _, now := g.configMap(); now.Epoch != 2 || now.MeshID != list.MeshID {
		t.Errorf("got epoch %d of mesh %s, want 2 of %s", now.Epoch, now.MeshID, list.MeshID)
	}
	// The StatefulSet goes: nobody knows who is wished for, so the list stays.
	if err := g.kube.Delete(t.Context(), g.set, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the StatefulSet is gone", func() bool {
		return apierrors.IsNotFound(g.kube.Get(t.Context(), client.ObjectKeyFromObject(g.set), &appsv1.StatefulSet{}))
	})
	if s := f.State(g.key); !s.Committed || len(s.Names) != 2 || len(s.Acks) != 2 {
		t.Errorf("got %+v", s)
	}
	// Its pods follow; nobody is asked any more who may have their addresses.
	if err := g.kube.Delete(t.Context(), get(g, "demo-1", &corev1.Pod{}), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool knows of one pod", func() bool { return len(f.State(g.key).Acks) == 1 })
}
