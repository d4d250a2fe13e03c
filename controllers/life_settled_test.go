package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// settle lets all come to rest, and looks whether it is as it should be.
func (l *life) settle() {
	l.Helper()
	l.tellf("settle")
	l.garbage = false
	var pods corev1.PodList
	l.list(&pods)
	for i := range pods.Items { // those who keep a StatefulSet from its pods, and those without the consent of their user
		p := &pods.Items[i]
		if owner := metav1.GetControllerOfNoCopy(p); owner == nil || owner.Kind == "ReplicaSet" || p.Labels[names.LabelGrid] == "" {
			l.may(l.kube.Client.Delete(l.Context(), p, client.GracePeriodSeconds(0)))
		}
	}
	last := time.Now()
	envtestkit.Wait(l.T, "all Grids to come to rest", func() (string, bool) {
		l.machinery(true)
		for _, g := range l.grids {
			if why := l.restless(g); why != "" {
				if time.Since(last) > time.Second {
					last = time.Now()
					l.tellf("not yet: %s: %s", g.name, why)
				}
				return g.name + ": " + why, l.Failed()
			}
		}
		return "", true
	})
	l.mu.Lock()
	clear(l.lost)
	for _, g := range l.grids {
		if l.forgotten[g.name] && !g.gone {
			l.remember(g)
		}
	}
	for _, g := range l.grids {
		l.least[g.name] = g.replicas
		if g.paused && !g.adopted {
			l.least[g.name] = 0 // its StatefulSet has its own mind
		}
	}
	l.mu.Unlock()
	before, made := l.versions(), looks(l.T)
	l.pass(quietTime)
	if made = looks(l.T) - made; made > 2*quietLooks*len(l.grids) {
		l.Errorf("settled Grids were looked at %d times in %v", made, quietTime)
	}
	after := l.versions()
	for _, g := range l.grids {
		if g.rotating { // goes on at its own pace
			for _, name := range []string{names.ConfigMap(g.name), names.SigningSecret(g.name)} {
				maps.DeleteFunc(after, func(key, _ string) bool { return strings.HasSuffix(key, " "+name) })
			}
			continue
		}
		if why := l.restless(g); why != "" {
			l.Errorf("settled, and then %s: %s", g.name, why)
		}
	}
	for key, version := range after {
		if before[key] != version {
			l.Errorf("settled, and %s is written", key)
		}
	}
}

// remember ends what followed on the loss of a Grid with its list: all its pods use
// the list there is now. It may be lower than one of before, if none of those who
// had that was left to tell. l.mu is held.
func (l *life) remember(g *living) {
	l.Helper()
	delete(l.forgotten, g.name)
	var c corev1.ConfigMap
	if !l.get(names.ConfigMap(g.name), &c) {
		l.Errorf("%s has settled without a ConfigMap", g.name)
		return
	}
	if list, err := l.read(&c); err == nil && l.lists[list.MeshID] != nil && list.Epoch <= l.lists[list.MeshID].epoch {
		l.lists[list.MeshID] = &lifeLists{grid: g.name, epoch: list.Epoch, names: list.Names, all: map[uint64]*corev1.ConfigMap{list.Epoch: &c}}
	}
}

// versions are those of all objects but pods.
func (l *life) versions() map[string]string {
	l.Helper()
	all := make(map[string]string)
	l.each(func(o client.Object) {
		if _, isPod := o.(*corev1.Pod); !isPod {
			all[fmt.Sprintf("%T %s", o, o.GetName())] = o.GetResourceVersion()
		}
	})
	return all
}

// restless says what is not yet as it should be with a Grid; "" if nothing.
func (l *life) restless(g *living) string {
	l.Helper()
	key := types.NamespacedName{Namespace: l.namespace, Name: g.name}
	state := l.operators[0].feed.State(key)
	if g.gone {
		if left := l.left(g); len(left) > 0 {
			return fmt.Sprintf("deleted, and there are %v", left)
		}
		if state.Committed || len(state.Acks) > 0 {
			return "deleted, and the feed knows of it"
		}
		return ""
	}
	var o v1alpha1.Grid
	var set appsv1.StatefulSet
	var c corev1.ConfigMap
	if !l.get(g.name, &o) || !l.get(names.ConfigMap(g.name), &c) {
		return "there is no Grid, or no ConfigMap"
	}
	hasSet := l.get(g.name, &set)
	var list peers.List
	if len(c.BinaryData[names.KeyDocument]) > 0 {
		var err error
		if list, err = l.read(&c); err != nil {
			return err.Error()
		}
	}
	l.mu.Lock()
	newest := list.Epoch
	if lists := l.lists[list.MeshID]; lists != nil && !l.forgotten[g.name] {
		newest = lists.epoch
	}
	l.mu.Unlock()
	if list.Epoch < newest {
		return fmt.Sprintf("its list has epoch %d, and there was %d", list.Epoch, newest)
	}
	if why := l.unlisted(g, &set, list.Names); why != "" {
		return why
	}
	for _, node := range l.nodes {
		node.mu.Lock()
		behind := node.grid == key && node.list.Epoch != list.Epoch
		node.mu.Unlock()
		if behind {
			return node.name + " has another list"
		}
	}
	g.rotating = state.Rotation != "" && !l.patient
	if why := l.unmended(g, &c, state.Rotation); why != "" {
		return why
	}
	if why := wrongly(&o, g); why != "" {
		return why
	}
	s := &o.Status
	if g.paused {
		wished := names.Wished(&set)
		if g.adopted {
			wished = names.Replicas(&set)
		}
		if hasSet && len(list.Names) != int(wished) {
			return fmt.Sprintf("the list has %d of %d names", len(list.Names), wished)
		}
		if now := sayings(&set); g.frozen != now && !g.adopted {
			l.Errorf("%s is paused, and its StatefulSet has changed from %s to %s", g.name, g.frozen, now)
		}
		return ""
	}
	wish := int(g.replicas)
	switch {
	case !hasSet:
		return "there is no StatefulSet"
	case int(names.Replicas(&set)) != wish || names.ShrinkOf(&set) != nil:
		return fmt.Sprintf("its StatefulSet has %d of %d", names.Replicas(&set), wish)
	case !g.adopted && !strings.HasSuffix(set.Spec.Template.Spec.Containers[0].Image, fmt.Sprint(":", g.image)):
		return "its StatefulSet has the image " + set.Spec.Template.Spec.Containers[0].Image
	case len(list.Names) != wish:
		return fmt.Sprintf("the list has %d of %d names", len(list.Names), wish)
	case s.PeerListEpoch != int64(list.Epoch) || int(s.Peers) != wish || s.Ready != fmt.Sprintf("%d/%d", wish, wish) ||
		s.Links != fmt.Sprintf("%d/%d", wish*(wish-1), wish*(wish-1)) || len(s.Members) != wish || int(s.Replicas) != wish:
		return fmt.Sprintf("its status: epoch %d of %d, peers %d, ready %s, links %s, members %d, replicas %d of %d",
			s.PeerListEpoch, list.Epoch, s.Peers, s.Ready, s.Links, len(s.Members), s.Replicas, wish)
	}
	for _, m := range s.Members {
		if m.Epoch != int64(list.Epoch) || !m.Ready || m.Message != "" {
			return fmt.Sprintf("its member %+v", m)
		}
	}
	return ""
}

// unmended says which wish that stands in no spec has not been served, and what
// somebody has changed and was not put back.
func (l *life) unmended(g *living, c *corev1.ConfigMap, rotation string) string {
	l.Helper()
	var keys corev1.Secret
	var service corev1.Service
	switch {
	case rotation != "" && l.patient:
		return rotation
	case g.asked > 0 && (!l.get(names.SigningSecret(g.name), &keys) || keys.Annotations["gridmesh.io/rotated-for"] != strconv.Itoa(g.asked)):
		return "its signing key has not been rotated"
	case len(c.Data[names.KeySettings]) < 10 || !names.Ours(c, g.name):
		return "its ConfigMap is as somebody has changed it"
	case !g.adopted && l.get(g.name, &service) && !service.Spec.PublishNotReadyAddresses && !g.paused:
		return "its Service is as somebody has changed it"
	}
	return ""
}

// unlisted holds the list against what it has to be: each pod of the StatefulSet
// that is wished for and has an address, and nobody who is not wished for.
func (l *life) unlisted(g *living, set *appsv1.StatefulSet, listed []string) string {
	l.Helper()
	wished := names.Wished(set)
	if g.adopted {
		wished = names.Replicas(set)
	}
	if !slices.IsSorted(listed) {
		return "its list is not sorted"
	}
	for _, name := range listed {
		pod, _, _ := strings.Cut(name, ".")
		if n, ok := names.Ordinal(set.Name, pod); !ok || n >= int(wished) {
			return fmt.Sprintf("its list has %s, and %d are wished for", name, wished)
		}
	}
	var pods corev1.PodList
	l.list(&pods)
	for i := range pods.Items {
		p := &pods.Items[i]
		owner := metav1.GetControllerOfNoCopy(p)
		n, ok := names.Ordinal(set.Name, p.Name)
		if !ok || n >= int(wished) || owner == nil || owner.UID != set.UID || p.Status.PodIP == "" || p.Labels[names.LabelGrid] != g.name {
			continue
		}
		if name := names.Peer(p.Name, set.Spec.ServiceName, p.Namespace, 7700); !slices.Contains(listed, name) {
			return "its list lacks " + name
		}
	}
	return ""
}

// wrongly says which condition of the Grid does not say what it should.
func wrongly(o *v1alpha1.Grid, g *living) string {
	want := map[string]string{
		v1alpha1.ConditionAccepted: "True", v1alpha1.ConditionPaused: "False", v1alpha1.ConditionProgressing: "False",
		v1alpha1.ConditionPeersSynced: "True", v1alpha1.ConditionReady: "True", v1alpha1.ConditionDegraded: "False", v1alpha1.ConditionCongested: "False",
	}
	if g.paused {
		want = map[string]string{v1alpha1.ConditionPaused: "True"} // the rest says what there is
	}
	if o.Status.ObservedGeneration != o.Generation {
		return fmt.Sprintf("its status is about generation %d of %d", o.Status.ObservedGeneration, o.Generation)
	}
	for _, kind := range slices.Sorted(maps.Keys(want)) {
		c := meta.FindStatusCondition(o.Status.Conditions, kind)
		if kind == v1alpha1.ConditionProgressing && g.rotating && c != nil && c.Reason == "RotatingSigningKey" {
			continue // a step of it waits for what nodes say, every ten seconds
		}
		if c == nil || string(c.Status) != want[kind] || c.ObservedGeneration != o.Generation {
			return fmt.Sprintf("%s is %+v, and not %s", kind, c, want[kind])
		}
	}
	return ""
}

// left are the objects that a deleted Grid has left behind, but for what pods of
// an adopted one mount, and what is its user's.
func (l *life) left(g *living) (left []string) {
	l.Helper()
	l.each(func(o client.Object) {
		if !names.Ours(o, g.name) && o.GetLabels()[names.LabelGrid] != g.name {
			return
		}
		switch o.(type) {
		case *corev1.ConfigMap, *corev1.Secret, *corev1.Pod:
			if g.adopted {
				return
			}
		}
		left = append(left, fmt.Sprintf("%T %s", o, o.GetName()))
	})
	return left
}
