package feed

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// Wish says which pods belong to a Grid.
type Wish struct {
	Namespace   string
	StatefulSet string
	UID         types.UID // of the StatefulSet: pods of an earlier one of its name are others; "" before there is one
	Service     string
	Port        int32
	Start       int // the lowest ordinal
	Count       int // how many, from Start on
}

// WishOf reads the wish off the StatefulSet, which alone says how many pods
// there are to be.
func WishOf(g *v1alpha1.Grid, s *appsv1.StatefulSet) Wish {
	count := names.Wished(s)
	if names.Adopted(g) {
		count = names.Replicas(s) // annotations of ours on a user's were copied from somewhere
	}
	return Wish{
		Namespace:   g.Namespace,
		StatefulSet: s.Name,
		UID:         s.UID,
		Service:     s.Spec.ServiceName,
		Port:        g.Spec.Port,
		Start:       names.Start(s),
		Count:       int(count),
	}
}

// has reports whether the pod of that name is wished for.
func (w Wish) has(pod string) bool {
	n, ok := names.Ordinal(w.StatefulSet, pod)
	return ok && n >= w.Start && n-w.Start < w.Count
}

// owns reports whether the pod is one of the StatefulSet's. Before there is one,
// none is: not even a pod that nobody owns.
func (w Wish) owns(p *Pod) bool { return w.UID != "" && p.Owner == w.UID }

// peer is a pod's name in the list, and pod the way back.
func (w Wish) peer(pod string) string { return names.Peer(pod, w.Service, w.Namespace, w.Port) }

func (w Wish) pod(peer string) (string, bool) { return strings.CutSuffix(peer, w.peer("")) }

// Pod is what membership looks at in a pod.
type Pod struct {
	Name    string
	UID     types.UID
	IP      string    // of Address
	Owner   types.UID // its controller
	Leaving bool      // it has been deleted and is on its way out
	Version string    // changes when containers start, end or get ready
}

// Address is where a pod may answer; "" until it has an address, and of one that
// has ended, such as an evicted one: it keeps the address, and another pod may
// have that by now.
func Address(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return ""
	}
	return p.Status.PodIP
}

// PodOf reads a pod.
func PodOf(p *corev1.Pod) Pod {
	pod := Pod{Name: p.Name, UID: p.UID, IP: Address(p), Leaving: p.DeletionTimestamp != nil}
	for i := range p.Status.ContainerStatuses {
		c := &p.Status.ContainerStatuses[i]
		pod.Version += fmt.Sprintf("%d %t %t,", c.RestartCount, c.State.Running != nil, c.Ready)
	}
	if owner := metav1.GetControllerOfNoCopy(p); owner != nil {
		pod.Owner = owner.UID
	}
	return pod
}

// Members says who is in the list: whoever was in the one before, and each pod
// of the StatefulSet that has an address, as far as they are wished for. Whether
// a pod is ready or restarts does not matter: its name stays. A pod on its way
// out does not join; it would be gone before the others have dialled it.
//
// The names are sorted by byte. hints are addresses by name, for names that the
// resolvers may not know yet; a name gets its hint when it joins, keeps that of
// hintsBefore, and loses it once its pod has another address. A change of hints
// alone is no reason for another list.
func Members(before []string, hintsBefore map[string]string, pods []Pod, w Wish) (list []string, hints map[string]string) {
	was := make(map[string]bool, len(before))
	hints = make(map[string]string)
	for _, name := range before {
		if pod, ok := w.pod(name); !ok || !w.has(pod) || was[name] {
			continue
		}
		was[name] = true
		list = append(list, name)
		if hint, ok := hintsBefore[name]; ok {
			hints[name] = hint
		}
	}
	for i := range pods {
		pod := &pods[i]
		if !w.owns(pod) || !w.has(pod.Name) {
			continue
		}
		name, address := w.peer(pod.Name), shortest(pod.IP)
		switch {
		case was[name]:
			if hints[name] != address {
				delete(hints, name)
			}
		case !pod.Leaving && pod.IP != "":
			was[name] = true // a pod that stands here twice joins once
			list = append(list, name)
			if address != "" {
				hints[name] = address
			}
		}
	}
	slices.Sort(list)
	return list, hints
}

// shortest writes an address as lists have it; "" if it is none.
func shortest(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return ""
	}
	return addr.String()
}
