package feed

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// listening is a Grid whose pods have nodes.
type listening struct {
	*kubeGrid
	nodes []*fakeNode
}

// withNodes makes a Grid of that many pods, each with a node on an address of its
// own and a certificate of the authority.
func withNodes(t *testing.T, count int, authority *certs.Authority, adopted bool) *listening {
	t.Helper()
	g := &listening{kubeGrid: newGrid(t, int32(count), adopted)}
	g.makeSet(int32(count))
	g.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.key.Namespace, Name: "demo-grid-tls", Labels: names.Labels("demo")},
		Data:       map[string][]byte{names.KeyCA: authority.PEM},
	})
	for i := range count {
		ip := fmt.Sprintf("127.%d.0.%d", 64+os.Getpid()%128, i+1)
		pod := fmt.Sprintf("demo-%d", i)
		n := startNodeAt(t, fmt.Sprintf("%s:%d", ip, testAdminPort), pod, authority, names.Host(pod, "demo", g.key.Namespace))
		n.set(func(n *fakeNode) {
			n.target.Name = g.peers(i)[0]
			n.ack.Name, n.ack.Grid = n.target.Name, g.key.Namespace+"/demo"
			n.trust = peers.Trust{Grid: n.ack.Grid}
		})
		g.nodes = append(g.nodes, n)
		g.pod(i, ip)
	}
	return g
}

// mount brings the keys in the ConfigMap to the nodes, as kubelets do.
func (g *listening) mount() {
	g.t.Helper()
	c, _ := g.configMap()
	keys, err := peers.ParsePublicKeys([]byte(c.Data["peers.pub"]))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, n := range g.nodes {
		n.set(func(n *fakeNode) {
			n.trust.Keys, n.ack.Keys = keys, nil
			for _, key := range keys {
				n.ack.Keys = append(n.ack.Keys, peers.KeyID(key))
			}
		})
	}
}

// TestFeedPushes: what is committed reaches the pods, and what they answer is
// believed; those taken out say so, and drain; another authority counts at once.
func TestFeedPushes(t *testing.T) {
	authority := newAuthority(t)
	g := withNodes(t, 3, authority, false)
	f, _ := g.feed()
	eventually(t, "a list is committed", func() bool { return f.State(g.key).Epoch > 0 })
	g.mount()
	synced := func() bool {
		s := f.State(g.key)
		for i := range g.nodes {
			if a := s.Acks[fmt.Sprintf("demo-%d", i)]; !a.Verified || a.Epoch != s.Epoch || a.Err != "" || len(s.Names) == 0 {
				return false
			}
		}
		return true
	}
	eventually(t, "all have it", func() bool { return synced() && len(f.State(g.key).Names) == 3 })

	change(g.kubeGrid, get(g.kubeGrid, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) {
		s.Annotations = map[string]string{names.AnnotationShrinkTo: "1"}
	})
	eventually(t, "those taken out have drained", func() bool {
		s := f.State(g.key)
		all, _ := s.Drained("demo", 1, 3)
		return all
	})
	s := f.State(g.key)
	if all, waiting := s.Drained("demo", 0, 3); all || len(waiting) != 1 || waiting[0] != "demo-0" {
		t.Errorf("one that stays: %v, waiting for %v", all, waiting)
	}
	if a := s.Acks["demo-0"]; !a.Contains || a.Epoch != s.Epoch && a.Epoch+1 != s.Epoch {
		t.Errorf("the one that stays says %+v", a)
	}

	// Certificates are of another authority now, as far as the operator knows.
	change(g.kubeGrid, get(g.kubeGrid, "demo-grid-tls", &corev1.Secret{}), func(s *corev1.Secret) { s.Data[names.KeyCA] = newAuthority(t).PEM })
	eventually(t, "nobody is believed", func() bool { return strings.Contains(f.State(g.key).Acks["demo-0"].Err, "certificate") })
	change(g.kubeGrid, get(g.kubeGrid, "demo-grid-tls", &corev1.Secret{}), func(s *corev1.Secret) { s.Data[names.KeyCA] = authority.PEM })
	eventually(t, "they are again", synced)
}

// TestFeedRotates: an annotation is all it takes; every node uses every list.
func TestFeedRotates(t *testing.T) {
	g := withNodes(t, 2, newAuthority(t), false)
	f, _ := g.feed()
	eventually(t, "a list is committed", func() bool { return f.State(g.key).Epoch > 0 })
	g.mount()
	c, _ := g.configMap()
	before := signers(c.BinaryData["peers.signed"])[0]
	change(g.kubeGrid, g.grid(), func(o *v1alpha1.Grid) { o.Annotations = map[string]string{AnnotationRotate: "now"} })
	said := make(map[string]bool)
	eventually(t, "it is over", func() bool {
		g.mount()
		s := f.State(g.key)
		said[strings.SplitN(s.Rotation+" ", " ", 2)[0]] = true
		c, _ := g.configMap()
		ids := signers(c.BinaryData["peers.signed"])
		return s.Rotation == "" && len(ids) == 1 && ids[0] != before
	})
	if !said["announcing"] || !said["signing"] {
		t.Errorf("people were told %v", said)
	}
	g.mount() // it may have ended after the last time
	eventually(t, "all have the last list", func() bool {
		s := f.State(g.key)
		return s.Acks["demo-0"].Epoch == s.Epoch && s.Acks["demo-1"].Epoch == s.Epoch && s.Acks["demo-0"].Err == ""
	})
	for _, n := range g.nodes {
		n.set(func(n *fakeNode) {
			if len(n.trust.Keys) != 1 {
				t.Errorf("%s trusts %d keys", n.target.Pod, len(n.trust.Keys))
			}
		})
	}
}

// TestFeedGoesOnFromPods: where neither the Grid nor its ConfigMap is left to tell,
// or an older one was put back, the pods do: the next list is newer than what they
// have.
func TestFeedGoesOnFromPods(t *testing.T) {
	for name, lose := range map[string]func(g *listening, old *corev1.ConfigMap){
		"the ConfigMap is lost": func(*listening, *corev1.ConfigMap) {},
		"an old one is put back": func(g *listening, old *corev1.ConfigMap) {
			old.ObjectMeta = metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name, Labels: old.Labels, Annotations: old.Annotations}
			g.create(old)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := withNodes(t, 3, newAuthority(t), true)
			f, stop := g.feed()
			eventually(t, "a list is committed", func() bool { return f.State(g.key).Epoch > 0 })
			g.mount()
			synced := func() bool {
				s := f.State(g.key)
				for i := range g.nodes {
					if a := s.Acks[fmt.Sprintf("demo-%d", i)]; a.Epoch != s.Epoch || a.MeshID != s.MeshID || a.Err != "" {
						return false
					}
				}
				return s.Epoch > 0
			}
			eventually(t, "all have it", func() bool { return len(f.State(g.key).Names) == 3 && synced() })
			old, first := g.configMap()
			// Some lists later.
			for _, replicas := range []int32{2, 3} {
				epoch := f.State(g.key).Epoch
				change(g.kubeGrid, get(g.kubeGrid, "demo", &appsv1.StatefulSet{}), func(s *appsv1.StatefulSet) { s.Spec.Replicas = &replicas })
				eventually(t, "the next list is in use", func() bool { return f.State(g.key).Epoch > epoch && synced() })
			}
			before := f.State(g.key)
			stop()
			for _, o := range []client.Object{g.grid(), get(g.kubeGrid, "demo-grid", &corev1.ConfigMap{})} {
				if err := g.kube.Delete(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			lose(g, old)
			g.kubeGrid.make(0, true)
			f, _ = g.feed()
			eventually(t, "all have a newer one", func() bool { return f.State(g.key).Epoch > before.Epoch && synced() })
			if _, list := g.configMap(); list.MeshID != first.MeshID || list.Epoch < before.Epoch+epochSkip {
				t.Errorf("epoch %d of mesh %s, want %d or more of %s", list.Epoch, list.MeshID, before.Epoch+epochSkip, first.MeshID)
			}
		})
	}
}

// TestDrained: who counts as drained, and who does not.
func TestDrained(t *testing.T) {
	gone := func(change func(a *Ack)) Ack {
		a := Ack{Heard: time.Now(), Verified: true}
		a.Name, a.MeshID, a.Epoch, a.Removed, a.Drained = peer(5), testMesh, 8, true, true
		change(&a)
		return a
	}
	for name, test := range map[string]struct {
		acks map[string]Ack
		lost bool // nothing is committed
		want bool
	}{
		"no such pod":           {map[string]Ack{"demo-1": {}, "other-5": {}, "demo-7": {}}, false, true},
		"drained":               {map[string]Ack{"demo-5": gone(func(*Ack) {})}, false, true},
		"nothing is known":      {map[string]Ack{"demo-5": gone(func(*Ack) {})}, true, false},
		"not proven":            {map[string]Ack{"demo-5": gone(func(a *Ack) { a.Verified = false })}, false, false},
		"not heard":             {map[string]Ack{"demo-5": {}}, false, false},
		"still busy":            {map[string]Ack{"demo-5": gone(func(a *Ack) { a.Drained = false })}, false, false},
		"still in":              {map[string]Ack{"demo-5": gone(func(a *Ack) { a.Removed = false })}, false, false},
		"by an older list":      {map[string]Ack{"demo-5": gone(func(a *Ack) { a.Epoch = 7 })}, false, false},
		"by a list of another":  {map[string]Ack{"demo-5": gone(func(a *Ack) { a.MeshID = "x" })}, false, false},
		"in the committed list": {map[string]Ack{"demo-5": gone(func(a *Ack) { a.Name = peer(0) })}, false, false},
		"one of two": {map[string]Ack{
			"demo-5": gone(func(*Ack) {}), "demo-6": gone(func(a *Ack) { a.Drained = false }),
		}, false, false},
	} {
		s := State{Committed: !test.lost, Epoch: 8, MeshID: testMesh, Names: peerList(0, 1), Acks: test.acks}
		if got, waiting := s.Drained("demo", 5, 7); got != test.want || got && len(waiting) > 0 {
			t.Errorf("%s: got %v, waiting for %v", name, got, waiting)
		}
	}
}
