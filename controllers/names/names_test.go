package names

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

func TestPeerIsAValidName(t *testing.T) {
	got := Peer("demo-12", "demo", "default", 7700)
	if want := "demo-12.demo.default.svc:7700"; got != want {
		t.Errorf("Peer = %q, want %q", got, want)
	}
	if err := peers.ValidName(got); err != nil {
		t.Error(err)
	}
	if got, want := Wildcard("demo", "default"), "*.demo.default.svc"; got != want {
		t.Errorf("Wildcard = %q, want %q", got, want)
	}
}

func TestOrdinal(t *testing.T) {
	for _, c := range []struct {
		pod  string
		want int
		ok   bool
	}{
		{"demo-0", 0, true},
		{"demo-12", 12, true},
		{"demo-2147483647", 2147483647, true},
		{"demo-2147483648", 0, false},
		{"demo-00", 0, false},
		{"demo-012", 0, false},
		{"demo--1", 0, false},
		{"demo-", 0, false},
		{"demo", 0, false},
		{"demo-a-1", 0, false},
		{"other-1", 0, false},
	} {
		if got, ok := Ordinal("demo", c.pod); got != c.want || ok != c.ok {
			t.Errorf("Ordinal(demo, %s) = %d, %v, want %d, %v", c.pod, got, ok, c.want, c.ok)
		}
	}
}

func TestOursNeedsBothLabels(t *testing.T) {
	for _, c := range []struct {
		labels map[string]string
		want   bool
	}{
		{Labels("demo"), true},
		{Labels("other"), false},
		{Selector("demo"), false},
		{map[string]string{LabelManagedBy: FieldManager}, false},
		{nil, false},
	} {
		if got := Ours(&metav1.ObjectMeta{Labels: c.labels}, "demo"); got != c.want {
			t.Errorf("Ours(%v) = %v, want %v", c.labels, got, c.want)
		}
	}
}

func TestMine(t *testing.T) {
	yes := true
	g := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "1"}}
	for _, c := range []struct {
		name   string
		labels map[string]string
		owner  types.UID
		want   bool
	}{
		{"ours", Labels("demo"), "1", true},
		{"without labels", nil, "1", true},
		{"without owner", Labels("demo"), "", true},
		{"another's labels, without owner", Labels("other"), "", false},
		{"neither", nil, "", false},
		{"of the Grid before", Labels("demo"), "0", false},
	} {
		o := &metav1.ObjectMeta{Labels: c.labels}
		if c.owner != "" {
			o.OwnerReferences = []metav1.OwnerReference{{UID: c.owner, Controller: &yes}}
		}
		if got := Mine(o, g); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAdoptedStatefulSet(t *testing.T) {
	own := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo"}}
	adopted := own.DeepCopy()
	adopted.Spec.StatefulSetRef = &v1alpha1.StatefulSetReference{Name: "web"}
	if Adopted(own) || StatefulSet(own) != "demo" || !Adopted(adopted) || StatefulSet(adopted) != "web" || ID(own) != "ns/demo" {
		t.Errorf("own: %v %s, adopted: %v %s", Adopted(own), StatefulSet(own), Adopted(adopted), StatefulSet(adopted))
	}
}

func TestWished(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name     string
		replicas *int32
		to       string
		want     int32
		shrinks  bool
	}{
		{"not said", nil, "", 1, false},
		{"as asked for", new(int32(5)), "", 5, false},
		{"shrinking", new(int32(5)), "2", 2, true},
		{"shrunk, pods still there", new(int32(2)), "2", 2, true},
		{"to nobody", new(int32(2)), "0", 0, true},
		{"never more than asked for", new(int32(1)), "2", 1, true},
		{"nonsense", new(int32(5)), "x", 5, false},
		{"negative", new(int32(5)), "-1", 5, false},
	} {
		s := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: c.replicas}}
		if c.to != "" {
			s.Annotations = map[string]string{AnnotationShrinkTo: c.to, AnnotationShrinkSince: since.Format(time.RFC3339)}
		}
		if got := Wished(s); got != c.want {
			t.Errorf("%s: Wished = %d, want %d", c.name, got, c.want)
		}
		shrink := ShrinkOf(s)
		if (shrink != nil) != c.shrinks || shrink != nil && !shrink.Since.Equal(since) {
			t.Errorf("%s: ShrinkOf = %+v", c.name, shrink)
		}
	}
}
