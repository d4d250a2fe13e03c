package feed

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// TestPublishTwoOperators: operators that both think they lead, each with its own
// idea of the pods, never commit two lists of one epoch; whoever is refused goes
// on from what the other has committed.
func TestPublishTwoOperators(t *testing.T) {
	g := newGrid(t, 40, false)
	g.makeSet(40)
	grid := g.grid()
	wish := WishOf(grid, g.set)

	var mu sync.Mutex
	byEpoch := make(map[uint64][]byte)
	var wg sync.WaitGroup
	refused := 0
	for operator := range 3 {
		wg.Go(func() {
			p := g.publisher(g.kube)
			for n := range 12 {
				// Each sees pods that the others have yet to see.
				var all []Pod
				for i := range n + 1 {
					all = append(all, Pod{Name: fmt.Sprintf("demo-%d", 3*i+operator), Owner: g.set.UID, IP: "10.0.0.1"})
				}
				for {
					out, err := p.publish(t.Context(), grid, wish, all, nil)
					if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
						mu.Lock()
						refused++
						mu.Unlock()
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if had := byEpoch[out.list.Epoch]; had != nil && !slices.Equal(had, out.list.Raw()) {
						t.Errorf("two lists of epoch %d", out.list.Epoch)
					}
					byEpoch[out.list.Epoch] = out.list.Raw()
					mu.Unlock()
					break
				}
			}
		})
	}
	wg.Wait()
	_, list := g.configMap()
	if len(list.Names) != 36 || !slices.Equal(byEpoch[list.Epoch], list.Raw()) {
		t.Errorf("at the end: epoch %d of %d names, want 36", list.Epoch, len(list.Names))
	}
	for _, raw := range byEpoch {
		one, err := peers.Verify(raw, peers.Trust{Grid: list.Grid, MeshID: list.MeshID, Keys: trusted(t, g)})
		if err != nil {
			t.Error(err)
		}
		// No list lacks whom an earlier one had: nobody was wished away.
		for epoch, other := range byEpoch {
			if epoch != one.Epoch-1 {
				continue
			}
			before, err := peers.Verify(other, peers.Trust{Grid: list.Grid, Keys: trusted(t, g)})
			if err != nil {
				t.Error(err)
			}
			for _, name := range before.Names {
				if !one.Contains(name) {
					t.Errorf("epoch %d lost %s", one.Epoch, name)
				}
			}
		}
	}
	t.Logf("%d lists, %d commits refused", len(byEpoch), refused)
	if refused == 0 {
		t.Error("the operators never met: this test shows nothing")
	}
}

func trusted(t *testing.T, g *kubeGrid) []ed25519.PublicKey {
	t.Helper()
	c, _ := g.configMap()
	keys, err := peers.ParsePublicKeys([]byte(c.Data["peers.pub"]))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// failing is a client whose writes of ConfigMaps go wrong: before they are done,
// or after.
func failing(t *testing.T, fail *string) client.Client {
	t.Helper()
	kube := envtestkit.Start(t).Client
	lost := errors.New("connection lost")
	do := func(write func() error) error {
		switch *fail {
		case "before":
			return lost
		case "after":
			return errors.Join(write(), lost)
		}
		return write()
	}
	return interceptor.NewClient(kube, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, ok := o.(*corev1.ConfigMap); !ok {
				return c.Create(ctx, o, opts...)
			}
			return do(func() error { return c.Create(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return do(func() error { return c.Apply(ctx, o, opts...) })
		},
	})
}

// TestPublishUnknownCommit: where nobody knows whether a commit was done, the list
// that was perhaps committed is never followed by another one of its epoch.
func TestPublishUnknownCommit(t *testing.T) {
	fail := ""
	g := newGrid(t, 9, false)
	g.makeSet(9)
	p := g.publisher(failing(t, &fail))
	byEpoch := make(map[uint64]peers.List)
	for i, how := range []string{"after", "", "before", "", "after", "before", "after", "", ""} {
		fail = how
		g.pod(i, fmt.Sprintf("10.0.0.%d", i+1))
		out, err := g.publish(p, nil)
		if (err != nil) != (how != "") || how != "" && (out.fresh || out.list.Contains(g.peers(i)[0])) {
			t.Fatalf("%d, %q: got %v; handed out: %v", i, how, err, out.list.Names)
		}
		if how == "before" && i == 0 {
			continue
		}
		_, list := g.configMap()
		if had, ok := byEpoch[list.Epoch]; ok && !slices.Equal(had.Raw(), list.Raw()) {
			t.Fatalf("two lists of epoch %d", list.Epoch)
		}
		byEpoch[list.Epoch] = list
	}
	if _, list := g.configMap(); len(list.Names) != 9 {
		t.Errorf("at the end: %v", list.Names)
	}
}

// TestPublishConflict: what is somebody else's is told of and not touched, and all
// goes on once it is gone.
func TestPublishConflict(t *testing.T) {
	for name, test := range map[string]struct {
		object  client.Object
		adopted bool
	}{
		"a user's ConfigMap": {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "demo-grid"}, Data: map[string]string{"x": "y"}}, false},
		"another Grid's ConfigMap": {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "demo-grid", Labels: names.Labels("other"),
		}}, true},
		"a Grid's before this one": {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "demo-grid", Labels: names.Labels("demo"),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "gridmesh.io/v1alpha1", Kind: "Grid", Name: "demo", UID: "before", Controller: new(true), BlockOwnerDeletion: new(true)}},
		}}, false},
		"an own Grid's, for an adopted one": {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "demo-grid", Labels: names.Labels("demo"),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "gridmesh.io/v1alpha1", Kind: "Grid", Name: "demo", UID: "before", Controller: new(true), BlockOwnerDeletion: new(true)}},
		}}, true},
		"a user's Secret": {&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "demo-grid-signing"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(t, 1, test.adopted)
			g.makeSet(1)
			g.pod(0, "10.0.0.1")
			test.object.SetNamespace(g.key.Namespace)
			g.create(test.object)
			version := test.object.GetResourceVersion()
			p := g.publisher(g.kube)
			_, err := g.publish(p, nil)
			if problem := (*Problem)(nil); !errors.As(err, &problem) || problem.Reason != ReasonNameConflict {
				t.Fatalf("got %v", err)
			}
			if now := get(g, test.object.GetName(), test.object); now.GetResourceVersion() != version {
				t.Error("it was written to")
			}
			if err := g.kube.Delete(t.Context(), test.object); err != nil {
				t.Fatal(err)
			}
			if out, err := g.publish(p, nil); err != nil || out.list.Epoch != 1 {
				t.Errorf("after it is gone: epoch %d and %v", out.list.Epoch, err)
			}
		})
	}
}

// TestPublishLeftBehind: what an adopted Grid has left is not an own Grid's, as
// long as that has no StatefulSet: pods may mount it still. What was orphaned
// together with the StatefulSet goes on, and has an owner again.
func TestPublishLeftBehind(t *testing.T) {
	g := newGrid(t, 2, false)
	g.makeSet(2)
	g.pod(0, "10.0.0.1")
	p := g.publisher(g.kube)
	before, err := g.publish(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}}
	for i, name := range []string{"demo-grid", "demo-grid-signing"} {
		change(g, get(g, name, objects[i]), func(o client.Object) { o.SetOwnerReferences(nil) })
	}
	wish := WishOf(g.grid(), g.set)
	wish.UID = ""
	_, err = p.publish(t.Context(), g.grid(), wish, nil, nil)
	if problem := (*Problem)(nil); !errors.As(err, &problem) || problem.Reason != ReasonNameConflict {
		t.Errorf("without a StatefulSet: got %v", err)
	}
	g.pod(1, "10.0.0.2")
	after, err := g.publish(p, nil)
	if err != nil || after.list.MeshID != before.list.MeshID || after.list.Epoch != 2 {
		t.Errorf("with it: epoch %d of mesh %s, want 2 of %s; %v", after.list.Epoch, after.list.MeshID, before.list.MeshID, err)
	}
	for i, name := range []string{"demo-grid", "demo-grid-signing"} {
		if !metav1.IsControlledBy(get(g, name, objects[i]), g.grid()) {
			t.Errorf("%s has no owner", name)
		}
	}
}

// TestPublishBadKeys: a Secret that holds no keys is told of, the list that is
// there stays in use, and both mending and deleting it help.
func TestPublishBadKeys(t *testing.T) {
	g := newGrid(t, 3, false)
	g.makeSet(3)
	g.pod(0, "10.0.0.1")
	p := g.publisher(g.kube)
	if _, err := g.publish(p, nil); err != nil {
		t.Fatal(err)
	}
	g.pod(1, "10.0.0.2")
	s := get(g, "demo-grid-signing", &corev1.Secret{})
	good := s.DeepCopy().Data
	change(g, s, func(s *corev1.Secret) { s.Data[keyActive] = []byte("not a key, but a secret") })
	out, err := g.publish(p, nil)
	problem := (*Problem)(nil)
	if !errors.As(err, &problem) || problem.Reason != ReasonSigningKey || out.list.Epoch != 1 || !out.there {
		t.Fatalf("got %v, epoch %d", err, out.list.Epoch)
	}
	if msg := problem.Message; !containsAll(msg, "demo-grid-signing", "signing.key", "delete it") || containsAll(msg, "not a key, but") {
		t.Errorf("the message is %q", msg)
	}
	change(g, s, func(s *corev1.Secret) { s.Data = good })
	if out, err := g.publish(p, nil); err != nil || out.list.Epoch != 2 {
		t.Fatalf("mended: epoch %d and %v", out.list.Epoch, err)
	}
	mesh := out.list.MeshID
	if mesh == "" {
		t.Fatal("no mesh")
	}
	if err := g.kube.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	out, err = g.publish(p, nil)
	if err != nil || out.list.Epoch != 3 || out.list.MeshID != mesh || len(out.list.Names) != 2 {
		t.Errorf("deleted: epoch %d of mesh %s, %v and %v", out.list.Epoch, out.list.MeshID, out.list.Names, err)
	}
	if _, list := g.configMap(); list.Epoch != 3 {
		t.Errorf("the ConfigMap has epoch %d, or does not trust it", list.Epoch)
	}
}

// TestPublishRotation: from one key to the next, and every list that is about at
// any time verifies on every node, whichever ConfigMap it has read last.
func TestPublishRotation(t *testing.T) {
	g := newGrid(t, 2, false)
	g.makeSet(2)
	g.pod(0, "10.0.0.1")
	g.pod(1, "10.0.0.2")
	p := g.publisher(g.kube)
	out, err := g.publish(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := keyID(out.keys.Active)
	change[client.Object](g, g.grid(), func(o client.Object) { o.SetAnnotations(map[string]string{AnnotationRotate: "2026-11"}) })

	// Two members: one reads each ConfigMap and each list at once, the other one
	// is a step behind. said is what they report.
	type reader struct {
		trust []ed25519.PublicKey
		list  peers.List
	}
	var fast, slow reader
	said := func(r *reader, list peers.List) Ack {
		if next, err := peers.Verify(list.Raw(), peers.Trust{Grid: list.Grid, Keys: r.trust}); err != nil {
			t.Errorf("epoch %d does not verify: %v", list.Epoch, err)
		} else {
			r.list = next
		}
		var a Ack
		a.MeshID, a.Epoch, a.Verified = r.list.MeshID, r.list.Epoch, true
		for _, key := range r.trust {
			a.Keys = append(a.Keys, peers.KeyID(key))
		}
		return a
	}
	fast.trust, slow.trust = trusted(t, g), trusted(t, g)
	phases := []Phase{}
	for range 40 {
		_, list := g.configMap()
		fast.trust = trusted(t, g)
		acks := map[string]Ack{"demo-0": said(&fast, list), "demo-1": said(&slow, list)}
		slow.trust = fast.trust
		if out, err = g.publish(p, acks); err != nil {
			t.Fatal(err)
		}
		if n := len(phases); n == 0 || phases[n-1] != out.keys.Phase {
			phases = append(phases, out.keys.Phase)
		}
		if len(phases) == 4 && out.keys.Phase == PhaseIdle {
			break
		}
	}
	if !slices.Equal(phases, []Phase{PhaseAnnounce, PhaseBoth, PhaseAlone, PhaseIdle}) {
		t.Fatalf("phases: %q", phases)
	}
	if _, err := g.publish(p, nil); err != nil {
		t.Fatal(err)
	}
	c, list := g.configMap()
	now := signers(c.BinaryData["peers.signed"])
	keys := trusted(t, g)
	if len(now) != 1 || now[0] == old || len(keys) != 1 || peers.KeyID(keys[0]) != now[0] || list.Epoch != 3 {
		t.Errorf("at the end: signed by %v, %d keys trusted, epoch %d", now, len(keys), list.Epoch)
	}
	s := get(g, "demo-grid-signing", &corev1.Secret{})
	if s.Data[keyNext] != nil || s.Annotations[notePhase] != "" || s.Annotations[noteAsked] != "2026-11" {
		t.Errorf("the Secret still has %v and %v", len(s.Data[keyNext]), s.Annotations)
	}
}

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s, part) })
}
