package feed

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

const setUID = types.UID("set")

// demo is a wish for that many pods of the StatefulSet demo.
func demo(start, count int) Wish {
	return Wish{Namespace: "shop", StatefulSet: "demo", UID: setUID, Service: "demo", Port: 7700, Start: start, Count: count}
}

func peer(ordinal int) string { return fmt.Sprintf("demo-%d.demo.shop.svc:7700", ordinal) }

// pods: "0" has an address, "1-" has none, "2!" is on its way out, "3?" is of
// another StatefulSet of the name, "4*" of none, "5=fd00::1" has that address.
func pods(text string) (all []Pod) {
	for word := range strings.FieldsSeq(text) {
		ordinal, address, _ := strings.Cut(word, "=")
		number := strings.TrimRight(ordinal, "-!?*")
		if address == "" {
			address = "10.0.0." + number
		}
		p := Pod{Name: "demo-" + number, UID: types.UID("pod-" + number), IP: address, Owner: setUID}
		switch ordinal[len(number):] {
		case "-":
			p.IP = ""
		case "!":
			p.Leaving = true
		case "?":
			p.Owner = "another"
		case "*":
			p.Owner = ""
		}
		all = append(all, p)
	}
	return all
}

func peerList(ordinals ...int) (list []string) {
	for _, n := range ordinals {
		list = append(list, peer(n))
	}
	slices.Sort(list)
	return list
}

func TestMembers(t *testing.T) {
	for _, test := range []struct {
		name   string
		before []int
		pods   string
		wish   Wish
		want   []int
		hints  string // ordinals that have one
	}{
		{"nobody yet", nil, "", demo(0, 3), nil, ""},
		{"no address yet", nil, "0- 1-", demo(0, 3), nil, ""},
		{"those with an address join", nil, "0 1- 2", demo(0, 3), []int{0, 2}, "0 2"},
		{"a restart changes nothing", []int{0, 1, 2}, "0- 2", demo(0, 3), []int{0, 1, 2}, ""},
		{"no pod left is no reason", []int{0, 1, 2}, "", demo(0, 3), []int{0, 1, 2}, ""},
		{"shrink", []int{0, 1, 2}, "0 1 2", demo(0, 2), []int{0, 1}, ""},
		{"to nobody", []int{0, 1, 2}, "0 1 2", demo(0, 0), nil, ""},
		{"grow", []int{0, 1}, "0 1 2 3-", demo(0, 4), []int{0, 1, 2}, "2"},
		{"more pods than wished for", []int{0}, "0 1 2", demo(0, 2), []int{0, 1}, "1"},
		{"on its way out stays", []int{0, 1}, "0 1!", demo(0, 2), []int{0, 1}, ""},
		{"on its way out does not join", []int{0}, "0 1!", demo(0, 2), []int{0}, ""},
		{"pods of a StatefulSet before", nil, "0? 1", demo(0, 2), []int{1}, "1"},
		{"ordinals from 5", []int{0, 5}, "0 5 6 8", demo(5, 3), []int{5, 6}, "6"},
		{"sorted by byte", nil, "2 10 1", demo(0, 11), []int{1, 10, 2}, "1 2 10"},
		{"nobody's pods before there is a StatefulSet", nil, "0* 1", Wish{Namespace: "shop", StatefulSet: "demo", Service: "demo", Port: 7700, Count: 3}, nil, ""},
		{"nobody's pods", nil, "0* 1", demo(0, 2), []int{1}, "1"},
		{"a pod twice", nil, "0 0", demo(0, 1), []int{0}, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			listed, hints := Members(peerList(test.before...), nil, pods(test.pods), test.wish)
			if want := peerList(test.want...); !slices.Equal(listed, want) {
				t.Errorf("got %v, want %v", listed, want)
			}
			wantHints := make(map[string]string)
			for n := range strings.FieldsSeq(test.hints) {
				wantHints["demo-"+n+".demo.shop.svc:7700"] = "10.0.0." + n
			}
			if !maps.Equal(hints, wantHints) {
				t.Errorf("hints: got %v, want %v", hints, wantHints)
			}
			if _, err := peers.NewList(listed); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAddress: of pods that may answer.
func TestAddress(t *testing.T) {
	for phase, want := range map[corev1.PodPhase]string{
		corev1.PodPending: "10.0.0.1", corev1.PodRunning: "10.0.0.1", corev1.PodUnknown: "10.0.0.1", corev1.PodFailed: "", corev1.PodSucceeded: "",
	} {
		p := PodOf(&corev1.Pod{Status: corev1.PodStatus{Phase: phase, PodIP: "10.0.0.1"}})
		if p.IP != want {
			t.Errorf("%s: got %q, want %q", phase, p.IP, want)
		}
	}
}

// TestWishOfAnAdoptedSet: only the operator's own StatefulSet says by annotations
// whom it will lose; a user's says by its size.
func TestWishOfAnAdoptedSet(t *testing.T) {
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Annotations: map[string]string{names.AnnotationShrinkTo: "1"}}, // copied from another
		Spec:       appsv1.StatefulSetSpec{Replicas: new(int32(3))},
	}
	own := new(v1alpha1.Grid)
	adopted := &v1alpha1.Grid{Spec: v1alpha1.GridSpec{StatefulSetRef: &v1alpha1.StatefulSetReference{Name: "demo"}}}
	if a, b := WishOf(own, s).Count, WishOf(adopted, s).Count; a != 1 || b != 3 {
		t.Errorf("got %d and %d, want 1 and 3", a, b)
	}
}

func TestMembersHints(t *testing.T) {
	before := map[string]string{peer(0): "10.0.0.0", peer(1): "10.0.0.1", peer(2): "10.0.0.2", peer(3): "10.0.0.3"}
	_, hints := Members(peerList(0, 1, 2, 3), before, pods("0 1=10.9.9.9 2- 4=FD00:0::1 5=nonsense"), demo(0, 6))
	want := map[string]string{
		peer(0): "10.0.0.0", // still there
		peer(3): "10.0.0.3", // nothing is known of it
		peer(4): "fd00::1",  // in the form that lists have
		// 1 has another address, 2 is about to have one, 5 has none.
	}
	if !maps.Equal(hints, want) {
		t.Errorf("got %v, want %v", hints, want)
	}
}

// TestMembersStrangers: names in the list before that are not of this
// StatefulSet, whoever put them there, do not stay.
func TestMembersStrangers(t *testing.T) {
	before := []string{"demo-0.demo.elsewhere.svc:7700", "demo-0.demo.shop.svc:7701", "demo-00.demo.shop.svc:7700", "demo-1.other.shop.svc:7700", "evil:7700"}
	if listed, _ := Members(before, nil, nil, demo(0, 5)); len(listed) > 0 {
		t.Errorf("got %v, want none", listed)
	}
}

// TestMembersMany: 10,000 pods, and a wish beyond all measure.
func TestMembersMany(t *testing.T) {
	listed, hints := Members(nil, nil, manyPods(peers.MaxNames), demo(0, 1<<31-1))
	if len(listed) != peers.MaxNames || len(hints) != peers.MaxNames {
		t.Errorf("got %d names and %d hints", len(listed), len(hints))
	}
	again, _ := Members(listed, hints, nil, demo(0, 1<<31-1))
	if !slices.Equal(listed, again) {
		t.Error("the list changed though nothing did")
	}
}

// manyPods are pods 0 to n.
func manyPods(n int) (all []Pod) {
	for i := range n {
		all = append(all, Pod{Name: fmt.Sprintf("demo-%d", i), Owner: setUID, IP: fmt.Sprintf("10.1.%d.%d", i/256, i%256)})
	}
	return all
}
