package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// healthy is a Grid of n pods of which nothing is wrong.
func healthy(t *testing.T, n int) *scope {
	t.Helper()
	g := gridOf(t, fmt.Sprintf("replicas: %d", n))
	replicas := int32(n)
	s := &scope{
		GridReconciler: new(GridReconciler), now: noon, grid: g, applied: true,
		set: &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo", Generation: 1},
			Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, ServiceName: "demo"},
			Status:     appsv1.StatefulSetStatus{ObservedGeneration: 1, CurrentRevision: "a", UpdateRevision: "a", UpdatedReplicas: replicas},
		},
		feed: feed.State{Committed: true, Epoch: 7, MeshID: "m", Acks: make(map[string]feed.Ack)},
	}
	for i := range n {
		s.addPod(i)
	}
	return s
}

func (s *scope) addPod(ordinal int) {
	name := fmt.Sprintf("demo-%d", ordinal)
	s.pods = append(s.pods, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	})
	s.feed.Names = append(s.feed.Names, names.Peer(name, "demo", "ns", 7700))
	expires := noon.Add(20 * 24 * time.Hour)
	s.feed.Acks[name] = feed.Ack{Heard: noon.Add(-3 * time.Second), Verified: true, Ack: adminapi.Ack{
		MeshID: "m", Epoch: 7, Ready: true, Contains: true, Version: "v1", CertificateExpires: &expires,
	}}
	for pod, a := range s.feed.Acks {
		a.Links = adminapi.Links{Up: len(s.pods) - 1, Expected: len(s.pods) - 1}
		s.feed.Acks[pod] = a
	}
}

func (s *scope) changeAck(ordinal int, change func(*feed.Ack)) {
	name := fmt.Sprintf("demo-%d", ordinal)
	a := s.feed.Acks[name]
	change(&a)
	s.feed.Acks[name] = a
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "node", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// TestConditions: what is wrong, and what the conditions say of it. Conditions
// that are not named are those of a healthy Grid, those that are "" are not set.
func TestConditions(t *testing.T) {
	good := map[string]string{
		"Accepted": "True Valid", "Ready": "True AllMembersReady", "Progressing": "False Complete", "Degraded": "False AsWished",
		"PeersSynced": "True Synced", "Congested": "False None", "Paused": "False NotPaused",
	}
	for _, c := range []struct {
		name   string
		change func(*scope)
		want   map[string]string
		says   string // somewhere in the messages of those
	}{
		{"nothing", func(*scope) {}, nil, ""},
		{"a pod is not ready", func(s *scope) { unready(s.pods[1]) }, map[string]string{"Ready": "False MembersNotReady"}, "2 of 3 pods are ready"},
		{"no such image", func(s *scope) {
			unready(s.pods[1])
			s.pods[1].Status.ContainerStatuses = []corev1.ContainerStatus{waiting("ImagePullBackOff", "Back-off pulling image x")}
		}, map[string]string{"Ready": "False MembersNotReady", "Degraded": "True MemberFailing"}, "demo-1: ImagePullBackOff: Back-off pulling image x"},
		{"a node that ends", func(s *scope) {
			unready(s.pods[0])
			c := waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
			c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Message: "starting\nlisten :7700: address already in use\n"}
			s.pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{c}
		}, map[string]string{"Ready": "False MembersNotReady", "Degraded": "True MemberFailing"}, "demo-0: CrashLoopBackOff: node: listen :7700: address already in use"},
		{"no place for a pod", func(s *scope) {
			s.pods[2].Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"},
			}}
		}, map[string]string{"Ready": "False MembersNotReady", "Degraded": "True MemberFailing"}, "Unschedulable: 0/1 nodes"},
		{"a list on its way", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.Epoch = 6 }) },
			map[string]string{"PeersSynced": "False WaitingForAcks", "Ready": "False PeersNotSynced"}, "demo-1: peer list 7 is not in use yet"},
		{"a list that is refused", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.Epoch, a.ListError = 6, "no valid signature" }) },
			map[string]string{"PeersSynced": "False ListRejected", "Ready": "False PeersNotSynced"}, "no valid signature"},
		{"a stranger's list that is refused", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.ListError = "foreign" }) }, nil, ""},
		{"a list of another mesh", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.MeshID = "other" }) },
			map[string]string{"PeersSynced": "False OtherMesh", "Ready": "False PeersNotSynced"}, "demo-1: in a mesh that was here before"},
		{"nobody's list", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.MeshID, a.Epoch = "", 0 }) },
			map[string]string{"PeersSynced": "False WaitingForAcks", "Ready": "False PeersNotSynced"}, ""},
		{"a push that does not get through", func(s *scope) {
			for i := range 3 {
				s.changeAck(i, func(a *feed.Ack) { *a = feed.Ack{Err: "i/o timeout"} })
			}
		}, map[string]string{
			"PeersSynced": "Unknown PushUnreachable", "Ready": "Unknown PeersNotSynced", "Degraded": "True MemberSilent", "Congested": "Unknown MembersSilent",
		}, "does not reach the admin port"},
		{"a node that fell silent", func(s *scope) {
			s.changeAck(2, func(a *feed.Ack) { a.Heard, a.Err = noon.Add(-silence), "i/o timeout" })
		},
			map[string]string{"PeersSynced": "Unknown PushUnreachable", "Ready": "Unknown PeersNotSynced", "Degraded": "True MemberSilent"}, "demo-2"},
		{"a node that has just failed to answer", func(s *scope) { s.changeAck(2, func(a *feed.Ack) { a.Err = "i/o timeout" }) }, nil, ""},
		{"a link is down", func(s *scope) { s.changeAck(0, func(a *feed.Ack) { a.Links.Up-- }) }, map[string]string{"Degraded": "True LinkDown"}, "demo-0: not linked with all peers"},
		{"a node refuses where log and audit go", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.TelemetryError = "audit.targets[0].x: no" }) },
			map[string]string{"Degraded": "True TelemetryRefused"}, "demo-1: refused"},
		{"a target fails", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.TargetsFailing = []string{"audit/trail"} }) },
			map[string]string{"Degraded": "True TargetsFailing"}, "demo-1: log or audit cannot be delivered"},
		{"a link is congested", func(s *scope) { s.changeAck(0, func(a *feed.Ack) { a.Links.Congested = 1 }) }, map[string]string{"Congested": "True LinksCongested"}, "demo-0"},
		{"a certificate is not renewed", func(s *scope) {
			soon := noon.Add(certExpiring - time.Second)
			s.changeAck(0, func(a *feed.Ack) { a.CertificateExpires = &soon })
		}, map[string]string{"Degraded": "True CertExpiring"}, "ends within 5 days"},
		{"no list can be made", func(s *scope) {
			s.feed.Problem = &feed.Problem{Reason: "SigningKeyInvalid", Message: "the key is broken"}
		},
			map[string]string{
				"Accepted": "False SigningKeyInvalid", "PeersSynced": "False SigningKeyInvalid", "Ready": "False SigningKeyInvalid",
				"Progressing": "False NotAccepted", "Degraded": "True PeersNotPublished",
			}, "the key is broken"},
		{"the API server takes no list", func(s *scope) { s.feed.Failure = "make ConfigMap demo-grid: exceeded quota" },
			map[string]string{"PeersSynced": "False PublishFailed", "Ready": "False PeersNotSynced", "Degraded": "True PeersNotPublished"}, "exceeded quota"},
		{"a ConfigMap that is another's", func(s *scope) {
			s.set, s.pods, s.applied, s.feed = nil, nil, false, feed.State{Problem: &feed.Problem{Reason: reasonNameConflict, Message: "ConfigMap demo-grid is another's"}}
		}, map[string]string{
			"Accepted": "False NameConflict", "PeersSynced": "False NameConflict", "Ready": "False NameConflict",
			"Progressing": "False NotAccepted", "Degraded": "True PeersNotPublished",
		}, "is another's"},
		{"a mistake in the spec", func(s *scope) { s.note(refuse("PodTemplateRefused", "no such port")) },
			map[string]string{"Accepted": "False PodTemplateRefused", "Ready": "False PodTemplateRefused", "Progressing": "False NotAccepted"}, "no such port"},
		{"the API server says no", func(s *scope) { s.note(errors.New("apply Service demo: quota exceeded")) }, map[string]string{"Degraded": "True ApplyFailed"}, "quota exceeded"},
		{"paused", func(s *scope) { s.grid.Spec.Paused = true }, map[string]string{"Paused": "True UserRequest"}, "nothing is changed but the peer list"},
		{"before anything", func(s *scope) { s.set, s.pods, s.feed = nil, nil, feed.State{} },
			map[string]string{"Ready": "False MembersNotReady", "Progressing": "True Preparing", "PeersSynced": "Unknown NotPublished"}, ""},
		{"too few pods", func(s *scope) { s.pods = s.pods[:2] }, map[string]string{"Ready": "False MembersNotReady", "Progressing": "True ScalingUp"}, "2 pods, 3 are wished for"},
		{"too many pods", func(s *scope) { *s.grid.Spec.Replicas = 2 }, map[string]string{"Progressing": "True ScalingDown"}, "3 pods, 2 are wished for"},
		{"shrinking", func(s *scope) {
			s.set.Annotations = map[string]string{names.AnnotationShrinkTo: "1"}
		}, map[string]string{"Progressing": "True ScalingDown"}, "pods from ordinal 1 on"},
		{"a new template that nobody has seen", func(s *scope) { s.set.Generation = 2 }, map[string]string{"Progressing": "True RollingOut", "Ready": ""}, ""},
		{"a new template that the cache does not have yet", func(s *scope) { s.generation = 2 }, map[string]string{"Progressing": "True RollingOut", "Ready": ""}, ""},
		{"a new template that was not taken", func(s *scope) {
			s.applied = false
			s.note(errors.New("apply StatefulSet demo: quota exceeded"))
		}, map[string]string{"Progressing": "True RollingOut", "Ready": "", "Degraded": "True ApplyFailed"}, "quota exceeded"},
		{"a new template on its way", func(s *scope) { s.set.Status.UpdateRevision, s.set.Status.UpdatedReplicas = "b", 1 },
			map[string]string{"Progressing": "True RollingOut", "Ready": "False RollingOut"}, "1 of 3 pods"},
		{"a new template that a user has held back", func(s *scope) {
			s.set.Status.UpdateRevision, s.set.Status.UpdatedReplicas = "b", 1
			s.set.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(2))}
		}, nil, ""},
		{"one that is not held back as far", func(s *scope) {
			s.set.Status.UpdateRevision, s.set.Status.UpdatedReplicas = "b", 1
			s.set.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(1))}
		}, map[string]string{"Progressing": "True RollingOut", "Ready": "False RollingOut"}, "1 of 3 pods"},
		{"one for pods that a user deletes himself", func(s *scope) {
			s.set.Status.UpdateRevision, s.set.Status.UpdatedReplicas = "b", 0
			s.set.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		}, nil, ""},
		{"a new authority", func(s *scope) { s.rotating = "announcing" }, map[string]string{"Progressing": "True RotatingAuthority"}, "announcing"},
		{"a new signing key", func(s *scope) { s.feed.Rotation = "waits for 1 member" }, map[string]string{"Progressing": "True RotatingSigningKey"}, "waits for 1"},
		{"nobody wished for", func(s *scope) {
			zero := int32(0)
			s.pods, s.feed.Names, s.grid.Spec.Replicas, s.set.Status.UpdatedReplicas = nil, nil, &zero, 0
		}, nil, ""},
	} {
		s := healthy(t, 3)
		c.change(s)
		status := s.statusOf()
		var said strings.Builder
		for kind, fine := range good {
			want := fine
			if w, ok := c.want[kind]; ok {
				want = w
			}
			got := meta.FindStatusCondition(status.Conditions, kind)
			if want == "" { // what was said before stays: here, nothing
				if got != nil {
					t.Errorf("%s: %s is %+v, want it as it was", c.name, kind, got)
				}
				continue
			}
			if got == nil || string(got.Status)+" "+got.Reason != want {
				t.Errorf("%s: %s is %+v, want %s", c.name, kind, got, want)
				continue
			}
			if got.ObservedGeneration != 1 || got.Message == "" {
				t.Errorf("%s: %s of generation %d says %q", c.name, kind, got.ObservedGeneration, got.Message)
			}
			if want != fine {
				said.WriteString(got.Message + "\n")
			}
		}
		if !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: the conditions say %q, want %q", c.name, said.String(), c.says)
		}
	}
}

func TestNumbersOfAStatus(t *testing.T) {
	for _, c := range []struct {
		name                  string
		change                func(*scope)
		ready, links, version string
		peers, congested      int32
		epoch                 int64
	}{
		{"all is well", func(*scope) {}, "3/3", "6/6", "v1", 3, 0, 7},
		{"nobody", func(s *scope) { *s = *healthy(t, 0) }, "0/0", "0/0", "", 0, 0, 7},
		{"one", func(s *scope) { *s = *healthy(t, 1) }, "1/1", "0/0", "v1", 1, 0, 7},
		{"one is silent", func(s *scope) { s.changeAck(0, func(a *feed.Ack) { a.Heard = time.Time{} }) }, "3/3", "4/6", "v1", 3, 0, 7},
		{"all are silent", func(s *scope) {
			for i := range 3 {
				s.changeAck(i, func(a *feed.Ack) { a.Heard = noon.Add(-time.Hour) })
			}
		}, "3/3", "unknown/6", "", 3, 0, 7},
		{"an upgrade", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { a.Version = "v2" }) }, "3/3", "6/6", "v1..v2", 3, 0, 7},
		{"congestion", func(s *scope) {
			s.changeAck(0, func(a *feed.Ack) { a.Links.Congested = 2 })
			s.changeAck(1, func(a *feed.Ack) { a.Links.Congested = 1 })
		}, "3/3", "6/6", "v1", 3, 3, 7},
		{"a removed node has links still", func(s *scope) { s.feed.Names = s.feed.Names[:2] }, "3/3", "2/2", "v1", 2, 0, 7},
		{"the list was lost", func(s *scope) { s.grid.Status.PeerListEpoch = 9; s.feed.Epoch = 0 }, "3/3", "6/6", "v1", 3, 0, 9},
		{"a pod on its way out", func(s *scope) { s.pods[2].DeletionTimestamp = &metav1.Time{Time: noon} }, "2/3", "6/6", "v1", 3, 0, 7},
	} {
		s := healthy(t, 3)
		c.change(s)
		got := s.statusOf()
		if got.Ready != c.ready || got.Links != c.links || got.Version != c.version || got.Peers != c.peers || got.Congested != c.congested || got.PeerListEpoch != c.epoch {
			t.Errorf("%s: ready %s links %s version %s peers %d congested %d epoch %d", c.name, got.Ready, got.Links, got.Version, got.Peers, got.Congested, got.PeerListEpoch)
		}
	}
}

func TestTheWorstMembersComeFirst(t *testing.T) {
	s := healthy(t, 60)
	s.changeAck(10, func(a *feed.Ack) { a.Links.Congested = 1 })
	s.changeAck(20, func(a *feed.Ack) { a.Links.Up-- })
	s.changeAck(30, func(a *feed.Ack) { a.Epoch = 6 })
	s.changeAck(40, func(a *feed.Ack) { a.Heard, a.Err = noon.Add(-time.Hour), "refused" })
	unready(s.pods[50])
	unready(s.pods[59])
	s.pods[59].Status.ContainerStatuses = []corev1.ContainerStatus{waiting("ErrImagePull", "no such image")}
	got := s.statusOf().Members
	if len(got) != maxMembers {
		t.Fatalf("%d members", len(got))
	}
	for i, want := range []string{"demo-59", "demo-50", "demo-40", "demo-30", "demo-20", "demo-10", "demo-0", "demo-1"} {
		if got[i].Name != want {
			t.Errorf("place %d: %s, want %s", i, got[i].Name, want)
		}
	}
	if m := got[0]; m.Message != "ErrImagePull: no such image" || m.Ready {
		t.Errorf("%+v", m)
	}
	if m := got[2]; m.LastHeard == nil || m.LinksUp != nil || m.Message != "silent: refused" || !m.Ready {
		t.Errorf("%+v", m)
	}
	if m := got[6]; m.LastHeard != nil || *m.LinksUp != 59 || m.Message != "" || m.Epoch != 7 || m.CertificateExpires == nil || m.Version != "v1" {
		t.Errorf("%+v", m)
	}
}

// TestAStatusFitsTheAPI: whatever nodes and kubelets say.
func TestAStatusFitsTheAPI(t *testing.T) {
	s := healthy(t, 2)
	long := strings.Repeat("ä", 2000)
	s.pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{waiting("X", long)}
	s.changeAck(0, func(a *feed.Ack) { a.Version = "a" + long })
	s.changeAck(1, func(a *feed.Ack) { a.Version, a.ListError, a.Epoch = "b"+long, long, 1 })
	s.note(refuse("PodTemplateRefused", "%s", long))
	got := s.statusOf()
	if len(got.Version) > maxVersions {
		t.Errorf("version of %d bytes", len(got.Version))
	}
	for _, m := range got.Members {
		if len(m.Message) > maxMessage || len(m.Version) > maxVersion || m.Message == "" {
			t.Errorf("member %s: message of %d bytes, version of %d", m.Name, len(m.Message), len(m.Version))
		}
	}
	for _, c := range got.Conditions {
		if len(c.Message) > maxCondition {
			t.Errorf("%s: message of %d bytes", c.Type, len(c.Message))
		}
	}
}

func TestTheLastStatusHoldsUntilNodesHaveBeenAsked(t *testing.T) {
	before := healthy(t, 3).statusOf()
	for _, c := range []struct {
		name    string
		change  func(*scope)
		settles bool
	}{
		{"the feed has not looked yet", func(s *scope) { s.feed = feed.State{} }, true},
		{"nodes are being asked", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { *a = feed.Ack{} }) }, true},
		{"a node that is not known yet", func(s *scope) { delete(s.feed.Acks, "demo-2") }, true},
		{"all have been asked", func(*scope) {}, false},
		{"one has not answered", func(s *scope) { s.changeAck(1, func(a *feed.Ack) { *a = feed.Ack{Err: "refused"} }) }, false},
		{"it takes too long", func(s *scope) { s.feed, s.writes.start = feed.State{}, noon.Add(-settleTime-time.Nanosecond) }, false},
		{"a new grid", func(s *scope) { s.feed, s.grid.Status = feed.State{}, v1alpha1.GridStatus{} }, false},
	} {
		s := healthy(t, 3)
		s.grid.Status = *before.DeepCopy()
		s.writes.start = noon.Add(-time.Second)
		c.change(s)
		if got := s.settling(); got != c.settles {
			t.Errorf("%s: settling %v", c.name, got)
		}
		status := s.statusOf()
		if ready := meta.FindStatusCondition(status.Conditions, "Ready"); c.settles && (status.Links != "6/6" || ready.Status != metav1.ConditionTrue) {
			t.Errorf("%s: %+v", c.name, status)
		}
	}
}

func TestPodTrouble(t *testing.T) {
	for _, c := range []struct {
		name   string
		status corev1.PodStatus
		want   string
	}{
		{"nothing known", corev1.PodStatus{}, ""},
		{"starting", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", "")}}, ""},
		{"starting others first", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("PodInitializing", "")}}, ""},
		{"a secret that is missing a key", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("CreateContainerConfigError", "key x not found")}}, "CreateContainerConfigError: key x not found"},
		{"no message", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImagePull", "")}}, "ErrImagePull"},
		{"crashed, nothing said", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "node", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}},
		}}}, "node has ended: OOMKilled"},
		{"ended well", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}}, ""},
		{"evicted", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "disk"}, "Evicted: disk"},
		{"a first container that fails", corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{waiting("ImagePullBackOff", "x")}}, "ImagePullBackOff: x"},
	} {
		if got := podTrouble(&corev1.Pod{Status: c.status}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
