package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// lifePort is where nodes of a life listen, each on an address of its own.
const lifePort = 17703

// revision is the label by which the controller of StatefulSets tells pods of one
// template from those of another.
const revision = "controller-revision-hash"

// machinery does what the rest of a cluster does, one step of it: collects
// garbage, runs StatefulSets, starts and stops what pods are of. Not all of it
// happens each time but with full.
func (l *life) machinery(full bool) {
	l.Helper()
	some := func(percent int) bool { return full || l.rnd.IntN(100) < percent }
	if full || !l.garbage {
		l.collect()
	}
	var sets appsv1.StatefulSetList
	l.list(&sets)
	for i := range sets.Items {
		if some(70) {
			l.runSet(&sets.Items[i], full)
		}
	}
	var pods corev1.PodList
	l.list(&pods)
	alive := make(map[types.UID]bool)
	for i := range pods.Items {
		p := &pods.Items[i]
		if node := l.nodes[p.UID]; node != nil {
			alive[p.UID] = p.Status.Phase == corev1.PodRunning
			if some(50) {
				node.mount()
			}
			if full {
				l.setPod(p, node.ip, true)
			}
			continue
		}
		if some(60) {
			alive[p.UID] = l.startPod(p, some(60))
		}
	}
	for uid, node := range l.nodes {
		if !alive[uid] {
			node.stop()
			delete(l.nodes, uid)
		}
	}
}

// startPod has a kubelet start a pod, if what it mounts is there.
func (l *life) startPod(p *corev1.Pod, ready bool) bool {
	l.Helper()
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil || owner.Kind != "StatefulSet" || p.Status.Phase != corev1.PodPending {
		return false
	}
	var set appsv1.StatefulSet
	if !l.get(owner.Name, &set) || set.UID != owner.UID {
		return false
	}
	g := l.living(p.Labels[names.LabelGrid])
	if g == nil {
		return false
	}
	if !l.get(names.ConfigMap(g.name), new(corev1.ConfigMap)) || g.secure && !l.get(names.TLSSecret(g.name), new(corev1.Secret)) {
		l.mu.Lock()
		lost := l.lost[g.name]
		l.mu.Unlock()
		if !g.adopted && !lost {
			l.Errorf("pod %s was started before what it mounts is there", p.Name)
		}
		return false
	}
	l.addresses++
	ip := fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()%128, l.addresses/250, l.addresses%250+1)
	node := l.startNode(p, types.NamespacedName{Namespace: l.namespace, Name: g.name}, set.Spec.ServiceName, ip, 7700, g.secure)
	l.nodes[p.UID] = node
	l.mayJoin(lifeKey(g.adopted, g.name, &set), node.name)
	l.setPod(p, ip, ready)
	return true
}

// lifeKey names those who may be in one mesh.
func lifeKey(adopted bool, grid string, owned metav1.Object) string {
	if adopted {
		return grid
	}
	if owner := metav1.GetControllerOfNoCopy(owned); owner != nil {
		return string(owner.UID)
	}
	return ""
}

func (l *life) setPod(p *corev1.Pod, ip string, ready bool) {
	l.Helper()
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	if p.Status.PodIP == ip && p.Status.Phase == corev1.PodRunning && podReady(p) == ready {
		return
	}
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	l.may(l.kube.Client.Status().Update(l.Context(), p))
}

// runSet is a step of the controller of StatefulSets.
func (l *life) runSet(set *appsv1.StatefulSet, full bool) {
	l.Helper()
	text, err := json.Marshal(set.Spec.Template)
	if err != nil {
		l.Fatal(err)
	}
	sum := sha256.Sum256(text)
	newest := hex.EncodeToString(sum[:5])
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		l.Fatal(err)
	}
	var pods corev1.PodList
	l.list(&pods)
	taken := make(map[string]bool)
	var mine []*corev1.Pod
	for i := range pods.Items {
		p := &pods.Items[i]
		taken[p.Name] = true
		owner := metav1.GetControllerOf(p)
		n, numbered := names.Ordinal(set.Name, p.Name)
		switch {
		case owner == nil && numbered && selector.Matches(labelSet(p)):
			p.OwnerReferences = append(p.OwnerReferences, *metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet")))
			l.may(l.kube.Client.Update(l.Context(), p))
		case owner == nil || owner.UID != set.UID:
		case !selector.Matches(labelSet(p)):
			p.OwnerReferences = nil // let go of
			l.may(l.kube.Client.Update(l.Context(), p))
		case n >= int(names.Replicas(set)), p.Status.Phase == corev1.PodFailed:
			l.may(l.kube.Client.Delete(l.Context(), p, client.GracePeriodSeconds(0)))
		default:
			mine = append(mine, p)
		}
	}
	for n := range int(names.Replicas(set)) {
		name := fmt.Sprintf("%s-%d", set.Name, n)
		if taken[name] || !full && l.rnd.IntN(3) == 0 {
			continue
		}
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: set.Namespace, Name: name, Labels: map[string]string{revision: newest}, Annotations: set.Spec.Template.Annotations,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
			},
			Spec: set.Spec.Template.Spec,
		}
		maps.Copy(p.Labels, set.Spec.Template.Labels)
		l.may(l.kube.Client.Create(l.Context(), p))
	}
	slices.SortFunc(mine, func(a, b *corev1.Pod) int { return -slices.Compare([]byte(a.Name), []byte(b.Name)) })
	ready, updated := 0, 0
	for _, p := range mine {
		if podReady(p) {
			ready++
		}
		if p.Labels[revision] == newest {
			updated++
		}
	}
	if ready == int(names.Replicas(set)) {
		for _, p := range mine { // one after the other, from the last
			if p.Labels[revision] != newest {
				l.may(l.kube.Client.Delete(l.Context(), p, client.GracePeriodSeconds(0)))
				break
			}
		}
	}
	status := appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: int32(len(mine)), ReadyReplicas: int32(ready), UpdatedReplicas: int32(updated),
		CurrentRevision: set.Status.CurrentRevision, UpdateRevision: newest,
	}
	if status.CurrentRevision == "" || updated == len(mine) && ready == int(names.Replicas(set)) {
		status.CurrentRevision = newest
	}
	if before, after := fmt.Sprint(set.Status), fmt.Sprint(status); before != after {
		set.Status = status
		l.may(l.kube.Client.Status().Update(l.Context(), set))
	}
}

// owned are the kinds of which the operator makes objects, and pods.
func owned() []client.ObjectList {
	return []client.ObjectList{
		new(appsv1.StatefulSetList), new(corev1.ServiceList), new(corev1.SecretList), new(corev1.ConfigMapList),
		new(policyv1.PodDisruptionBudgetList), new(networkingv1.NetworkPolicyList), new(corev1.PodList),
	}
}

// each visits all objects of the kinds that the operator makes, and pods.
func (l *life) each(visit func(client.Object)) {
	l.Helper()
	for _, list := range owned() {
		l.list(list)
		switch list := list.(type) {
		case *appsv1.StatefulSetList:
			visitAll(list.Items, visit)
		case *corev1.ServiceList:
			visitAll(list.Items, visit)
		case *corev1.SecretList:
			visitAll(list.Items, visit)
		case *corev1.ConfigMapList:
			visitAll(list.Items, visit)
		case *policyv1.PodDisruptionBudgetList:
			visitAll(list.Items, visit)
		case *networkingv1.NetworkPolicyList:
			visitAll(list.Items, visit)
		case *corev1.PodList:
			visitAll(list.Items, visit)
		}
	}
}

func visitAll[T any, P interface {
	*T
	client.Object
}](items []T, visit func(client.Object)) {
	for i := range items {
		visit(P(&items[i]))
	}
}

// collect is the garbage collector: what is owned goes with its owner.
func (l *life) collect() {
	l.Helper()
	alive := make(map[types.UID]bool)
	var grids v1alpha1.GridList
	l.list(&grids)
	for i := range grids.Items {
		alive[grids.Items[i].UID] = true
	}
	var sets appsv1.StatefulSetList
	l.list(&sets)
	for i := range sets.Items {
		alive[sets.Items[i].UID] = true
	}
	l.each(func(o client.Object) {
		owner := metav1.GetControllerOfNoCopy(o)
		if owner != nil && (owner.Kind == "Grid" || owner.Kind == "StatefulSet") && !alive[owner.UID] {
			l.may(l.kube.Client.Delete(l.Context(), o, client.GracePeriodSeconds(0), client.Preconditions{UID: new(o.GetUID())}))
		}
	})
}

func (l *life) list(into client.ObjectList) {
	l.Helper()
	if err := l.kube.Client.List(l.Context(), into, client.InNamespace(l.namespace)); err != nil {
		l.Fatal(err)
	}
}

// get reads an object; false if there is none.
func (l *life) get(name string, o client.Object) bool {
	err := l.kube.Client.Get(context.WithoutCancel(l.Context()), client.ObjectKey{Namespace: l.namespace, Name: name}, o)
	if err != nil && !apierrors.IsNotFound(err) {
		l.Error(err)
	}
	return err == nil
}

// may fails the test but for what happens where several write: somebody was
// quicker.
func (l *life) may(err error) {
	l.Helper()
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
		l.Fatal(err)
	}
}
