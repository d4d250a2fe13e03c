package controllers

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	// silence is after how long without an answer a node counts as silent. It
	// is asked every 10 s.
	silence = 30 * time.Second

	maxMembers = 50 // in a status, as the API allows
)

// member is one pod, as Kubernetes sees it and as it said itself.
type member struct {
	pod     *corev1.Pod
	ordinal int
	ready   bool
	trouble string // why it does not run
	ack     feed.Ack
	heard   bool // recently
	listed  bool // in the published list
	current bool // it uses the published list
	linked  bool // with all peers, as far as it said
}

// membersOf puts together what is known of each pod.
func (s *scope) membersOf() []member {
	listed := make(map[string]bool, len(s.feed.Names))
	for _, name := range s.feed.Names {
		listed[name] = true
	}
	members := make([]member, 0, len(s.pods))
	for _, p := range s.pods {
		ack := s.feed.Acks[p.Name]
		m := member{
			pod: p, ordinal: s.ordinal(p), ready: podReady(p), trouble: podTrouble(p), ack: ack,
			heard:  !ack.Heard.IsZero() && s.now.Sub(ack.Heard) < silence,
			listed: listed[names.Peer(p.Name, s.set.Spec.ServiceName, p.Namespace, s.grid.Spec.Port)],
		}
		m.current = m.heard && ack.Epoch == s.feed.Epoch && ack.MeshID == s.feed.MeshID
		m.linked = m.heard && ack.Links.Up >= ack.Links.Expected
		if m.heard && ack.Err != "" {
			s.wakeAt(ack.Heard.Add(silence))
		}
		members = append(members, m)
	}
	return members
}

func (s *scope) readyPods() int {
	n := 0
	for _, p := range s.pods {
		if podReady(p) {
			n++
		}
	}
	return n
}

// worst orders members: what a person has to look at comes first.
func worst(a, b member) int {
	bad := func(m member) int {
		switch {
		case m.trouble != "":
			return 0
		case !m.ready:
			return 1
		case !m.heard:
			return 2
		case !m.current || m.ack.ListError != "" || m.ack.TelemetryError != "" || len(m.ack.TargetsFailing) > 0:
			return 3
		case !m.linked:
			return 4
		case m.ack.Links.Congested > 0:
			return 5
		}
		return 6
	}
	return cmp.Or(cmp.Compare(bad(a), bad(b)), cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.pod.Name, b.pod.Name))
}

// memberStatus is what the status says of the worst of them.
func memberStatus(members []member) []v1alpha1.Member {
	order := slices.Clone(members)
	slices.SortFunc(order, worst)
	var list []v1alpha1.Member
	for i := range order[:min(len(order), maxMembers)] {
		list = append(list, order[i].status())
	}
	return list
}

func (m *member) status() v1alpha1.Member {
	said := v1alpha1.Member{Name: m.pod.Name, Ready: m.ready, Message: m.message()}
	if m.ack.Heard.IsZero() {
		return said
	}
	said.Epoch, said.Version = int64(m.ack.Epoch), clipTo(m.ack.Version, maxVersion)
	if m.ack.CertificateExpires != nil {
		expires := metav1.NewTime(m.ack.CertificateExpires.UTC().Truncate(time.Second))
		said.CertificateExpires = &expires
	}
	if m.heard {
		up := int32(m.ack.Links.Up)
		said.LinksUp = &up
	} else {
		heard := metav1.NewTime(m.ack.Heard.UTC().Truncate(time.Second))
		said.LastHeard = &heard
	}
	return said
}

// message says what is wrong; "" if nothing is.
func (m *member) message() string {
	switch {
	case m.trouble != "":
		return m.trouble
	case m.pod.DeletionTimestamp != nil:
		return "on its way out"
	case m.heard && m.ack.ListError != "":
		return clip("refuses a peer list: " + m.ack.ListError)
	case m.heard && m.ack.TelemetryError != "":
		return clip("refuses where log and audit go: " + m.ack.TelemetryError)
	case m.heard && len(m.ack.TargetsFailing) > 0:
		return clip("cannot deliver to " + strings.Join(m.ack.TargetsFailing, ", "))
	case !m.heard && m.ack.Err != "":
		return clip("silent: " + m.ack.Err)
	case m.ack.Err != "":
		return clip(m.ack.Err)
	}
	return ""
}
