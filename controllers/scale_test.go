package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/adminapi"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

func TestNextScale(t *testing.T) {
	const drain = 30 * time.Second
	shrink := func(to int32, ago time.Duration) *names.Shrink { return &names.Shrink{To: to, Since: noon.Add(-ago)} }
	for _, c := range []struct {
		name string
		in   sizes
		want scale
		wake time.Time
	}{
		{name: "nothing there", in: sizes{wish: 3}, want: scale{replicas: 3}},
		{name: "as wished", in: sizes{wish: 3, exists: true, is: scale{replicas: 3}}, want: scale{replicas: 3}},
		{name: "more", in: sizes{wish: 5, exists: true, is: scale{replicas: 3}}, want: scale{replicas: 5}},
		{
			name: "fewer: first out of the list", in: sizes{wish: 1, exists: true, is: scale{replicas: 3}},
			want: scale{3, shrink(1, 0)}, wake: noon.Add(drain),
		},
		{
			name: "to none", in: sizes{wish: 0, exists: true, is: scale{replicas: 3}},
			want: scale{3, shrink(0, 0)}, wake: noon.Add(drain),
		},
		{
			name: "waiting", in: sizes{wish: 1, exists: true, is: scale{3, shrink(1, 10*time.Second)}, beyond: true},
			want: scale{3, shrink(1, 10*time.Second)}, wake: noon.Add(20 * time.Second),
		},
		{
			name: "drained", in: sizes{wish: 1, exists: true, is: scale{3, shrink(1, 10*time.Second)}, beyond: true, drained: true},
			want: scale{1, shrink(1, 10*time.Second)},
		},
		{
			name: "a moment before the time is over", in: sizes{wish: 1, exists: true, is: scale{3, shrink(1, drain-time.Nanosecond)}, beyond: true},
			want: scale{3, shrink(1, drain-time.Nanosecond)}, wake: noon.Add(time.Nanosecond),
		},
		{
			name: "time is over", in: sizes{wish: 1, exists: true, is: scale{3, shrink(1, drain)}, beyond: true},
			want: scale{1, shrink(1, drain)},
		},
		{
			name: "dropped, pods still there", in: sizes{wish: 1, exists: true, is: scale{1, shrink(1, drain)}, beyond: true},
			want: scale{1, shrink(1, drain)},
		},
		{name: "pods gone", in: sizes{wish: 1, exists: true, is: scale{1, shrink(1, drain)}}, want: scale{replicas: 1}},
		{
			name: "more while it waits", in: sizes{wish: 9, exists: true, is: scale{3, shrink(1, time.Second)}, beyond: true},
			want: scale{3, shrink(1, time.Second)}, wake: noon.Add(29 * time.Second),
		},
		{
			name: "more, drained", in: sizes{wish: 9, exists: true, is: scale{3, shrink(1, time.Second)}, beyond: true, drained: true},
			want: scale{1, shrink(1, time.Second)},
		},
		{
			name: "more, dropped, pods still there", in: sizes{wish: 9, exists: true, is: scale{1, shrink(1, time.Second)}, beyond: true},
			want: scale{1, shrink(1, time.Second)},
		},
		{name: "more, pods gone", in: sizes{wish: 9, exists: true, is: scale{1, shrink(1, time.Second)}}, want: scale{replicas: 9}},
		{
			name: "fewer still while it waits: all have their whole time",
			in:   sizes{wish: 1, exists: true, is: scale{4, shrink(2, 20*time.Second)}, beyond: true, drained: true},
			want: scale{4, shrink(1, 0)}, wake: noon.Add(drain),
		},
		{
			name: "fewer still after it was dropped",
			in:   sizes{wish: 1, exists: true, is: scale{2, shrink(2, 20*time.Second)}, beyond: true},
			want: scale{2, shrink(1, 0)}, wake: noon.Add(drain),
		},
		{
			name: "no time to drain", in: sizes{wish: 1, exists: true, is: scale{3, shrink(1, 0)}, beyond: true},
			want: scale{3, shrink(1, 0)}, wake: noon.Add(drain),
		},
		{
			name: "begun by a clock that is ahead: they have their time from now on, and no more",
			in:   sizes{wish: 1, exists: true, is: scale{3, shrink(1, -time.Hour)}, beyond: true},
			want: scale{3, shrink(1, 0)}, wake: noon.Add(drain),
		},
		{
			name: "since when cannot be read", in: sizes{wish: 1, exists: true, is: scale{3, &names.Shrink{To: 1}}, beyond: true},
			want: scale{1, &names.Shrink{To: 1}},
		},
	} {
		c.in.now, c.in.drain = noon, drain
		got, wake := nextScale(c.in)
		same := got.replicas == c.want.replicas && (got.shrink == nil) == (c.want.shrink == nil) &&
			(got.shrink == nil || got.shrink.To == c.want.shrink.To && got.shrink.Since.Equal(c.want.shrink.Since))
		if !same || !wake.Equal(c.wake) {
			t.Errorf("%s: %+v %+v at %v, want %+v %+v at %v", c.name, got, got.shrink, wake, c.want, c.want.shrink, c.wake)
		}
	}
}

// TestDrained: pods that will never say so are not waited for, those that have
// yet to say so are.
func TestDrained(t *testing.T) {
	pod := func(name string, phase corev1.PodPhase, ip string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Phase: phase, PodIP: ip}}
	}
	gone := feed.Ack{Verified: true, Ack: adminapi.Ack{MeshID: "mesh", Epoch: 2, Name: "demo-1", Removed: true, Drained: true}}
	for _, c := range []struct {
		name string
		pods []*corev1.Pod
		acks map[string]feed.Ack
		want bool
	}{
		{"nobody is there", nil, nil, true},
		{"one that stays", []*corev1.Pod{pod("demo-0", corev1.PodRunning, "10.0.0.1")}, nil, true},
		{"it has drained", []*corev1.Pod{pod("demo-1", corev1.PodRunning, "10.0.0.2")}, map[string]feed.Ack{"demo-1": gone}, true},
		{"nobody has asked it yet", []*corev1.Pod{pod("demo-1", corev1.PodRunning, "10.0.0.2")}, nil, false},
		{"it does not answer", []*corev1.Pod{pod("demo-1", corev1.PodRunning, "10.0.0.2")}, map[string]feed.Ack{"demo-1": {Err: "refused"}}, false},
		{"it has no address", []*corev1.Pod{pod("demo-1", corev1.PodPending, "")}, nil, true},
		{"it was evicted", []*corev1.Pod{pod("demo-1", corev1.PodFailed, "10.0.0.2")}, nil, true},
	} {
		state := &feed.State{Committed: true, MeshID: "mesh", Epoch: 2, Names: []string{"demo-0"}, Acks: c.acks}
		if got := drained(state, "demo", c.pods, 1, 3); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestScaleAlwaysArrives walks from every size to every other, through every
// wish meanwhile, and ends at the last one.
func TestScaleAlwaysArrives(t *testing.T) {
	const most = 4
	for from := range int32(most) {
		for via := range int32(most) {
			for to := range int32(most) {
				is, pods, now := scale{replicas: from}, from, noon
				lowest := from // pods of this ordinal and above were taken out, and must go
				for step := range 40 {
					wish := to
					if step < 3 {
						wish = via
					}
					in := sizes{wish: wish, now: now, drain: 30 * time.Second, exists: true, is: is}
					if is.shrink != nil {
						in.beyond = pods > is.shrink.To
					}
					is, _ = nextScale(in)
					if is.shrink != nil {
						lowest = min(lowest, is.shrink.To)
					} else if pods > lowest {
						t.Fatalf("%d by %d to %d: %d pods are back in the list; from %d on they had been taken out", from, via, to, pods, lowest)
					}
					pods = is.replicas // at once; a slow one is in the table above
					if is.shrink == nil {
						lowest = pods
					} else {
						lowest = min(lowest, max(pods, is.shrink.To))
					}
					now = now.Add(11 * time.Second)
				}
				if is.replicas != to || is.shrink != nil {
					t.Errorf("%d by %d to %d: ends at %+v", from, via, to, is)
				}
			}
		}
	}
}
