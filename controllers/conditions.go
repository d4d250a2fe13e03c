package controllers

import (
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/controllers/pki"
)

// certExpiring is how long before its end a certificate counts as expiring: the
// operator renews at a third of its life, so something is wrong by then.
const certExpiring = pki.LeafLife / 6

// verdict is a condition without its type.
type verdict struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

func yes(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func no(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionUnknown, reason, fmt.Sprintf(format, args...)}
}

// setConditions writes all conditions into status.
func (s *scope) setConditions(status *v1alpha1.GridStatus, members []member) {
	set := func(kind string, v verdict) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: v.status, Reason: v.reason, Message: clipTo(v.message, maxCondition),
			ObservedGeneration: s.grid.Generation,
		})
	}
	accepted, synced := s.accepted(), s.peersSynced(members)
	set(v1alpha1.ConditionAccepted, accepted)
	set(v1alpha1.ConditionPaused, s.paused())
	set(v1alpha1.ConditionProgressing, s.progressing())
	if s.settling() {
		return // the rest stays as it was
	}
	set(v1alpha1.ConditionPeersSynced, synced)
	if ready := s.ready(accepted, synced, members); ready.status != metav1.ConditionTrue || s.caughtUp() {
		set(v1alpha1.ConditionReady, ready)
	} // else what was said of an earlier spec stays, and says of which it was
	set(v1alpha1.ConditionDegraded, s.degraded(members))
	set(v1alpha1.ConditionCongested, congested(members))
}

func (s *scope) accepted() verdict {
	if p := s.problem(); p != nil {
		return no(p.reason, "%s", p.message)
	}
	if last := meta.FindStatusCondition(s.grid.Status.Conditions, v1alpha1.ConditionAccepted); last != nil && s.grid.Spec.Paused {
		return verdict{last.Status, last.Reason, last.Message} // nothing was looked at
	}
	return yes(reasonValid, "the spec can be carried out")
}

func (s *scope) paused() verdict {
	if s.grid.Spec.Paused {
		return yes("UserRequest", "spec.paused is set: nothing is changed but the peer list")
	}
	return no("NotPaused", "changes are carried out")
}

func (s *scope) ready(accepted, synced verdict, members []member) verdict {
	ready, wish := s.readyPods(), int(s.wish())
	switch {
	case accepted.status != metav1.ConditionTrue:
		return no(accepted.reason, "%s", accepted.message)
	case s.set == nil:
		return no("MembersNotReady", "there is no StatefulSet yet")
	case ready < wish:
		message := fmt.Sprintf("%d of %d pods are ready", ready, wish)
		for i := range members {
			if m := &members[i]; m.trouble != "" {
				return no("MembersNotReady", "%s; %s: %s", message, m.pod.Name, m.trouble)
			}
		}
		return no("MembersNotReady", "%s", message)
	case synced.status != metav1.ConditionTrue:
		return verdict{synced.status, "PeersNotSynced", synced.message}
	case !names.Adopted(s.grid) && s.rollingOut():
		return no("RollingOut", "%d of %d pods are of the newest template", s.set.Status.UpdatedReplicas, wish)
	}
	return yes("AllMembersReady", "%d of %d pods are ready and use peer list %d", ready, wish, s.feed.Epoch)
}

func (s *scope) peersSynced(members []member) verdict {
	switch {
	case s.feed.Problem != nil:
		return no(s.feed.Problem.Reason, "%s", s.feed.Problem.Message)
	case s.feed.Failure != "":
		return no("PublishFailed", "the newest peer list cannot be published, which is tried again: %s", s.feed.Failure)
	case !s.feed.Committed:
		return unknown("NotPublished", "no peer list is published yet")
	}
	if others, n := naming(members, func(m *member) bool { return m.heard && m.ack.MeshID != "" && m.ack.MeshID != s.feed.MeshID }); n > 0 {
		return no("OtherMesh", "%s: in a mesh that was here before, whose ConfigMap and signing key are gone, and takes no list of this one; "+
			"restart all pods, as by kubectl rollout restart statefulset/%s --namespace %s", list(others, n), names.StatefulSet(s.grid), s.grid.Namespace)
	}
	ready := func(m *member) bool { return m.ready }
	rejects, n := naming(members, func(m *member) bool { return m.ready && m.heard && !m.current && m.ack.ListError != "" })
	if n > 0 {
		why := ""
		for i := range members {
			if m := &members[i]; m.pod.Name == rejects[0] {
				why = m.ack.ListError
			}
		}
		return no("ListRejected", "%s: peer list %d is not in use: %s", list(rejects, n), s.feed.Epoch, why)
	}
	if behind, n := naming(members, func(m *member) bool { return m.ready && m.heard && !m.current }); n > 0 {
		return no("WaitingForAcks", "%s: peer list %d is not in use yet", list(behind, n), s.feed.Epoch)
	}
	if silent, n := naming(members, func(m *member) bool { return m.ready && !m.heard }); n > 0 {
		return unknown("PushUnreachable",
			"%s: the operator does not reach the admin port, so they read peer list %d from their mounted ConfigMap, within a minute or two",
			list(silent, n), s.feed.Epoch)
	}
	if _, n := naming(members, ready); n == 0 && s.wish() > 0 {
		return unknown("WaitingForMembers", "no pod is ready yet")
	}
	return yes("Synced", "every ready pod uses peer list %d", s.feed.Epoch)
}

func (s *scope) progressing() verdict {
	wish := s.wish()
	switch {
	case s.set == nil && s.problem() != nil:
		return no("NotAccepted", "%s", s.problem().message)
	case s.set == nil:
		return yes("Preparing", "what pods mount is made first")
	}
	shrink := names.ShrinkOf(s.set)
	switch {
	case shrink != nil && !names.Adopted(s.grid):
		return yes("ScalingDown", "pods from ordinal %d on are out of the peer list and drain; then the StatefulSet goes to %d",
			names.Start(s.set)+int(shrink.To), shrink.To)
	case int32(len(s.pods)) > wish:
		return yes("ScalingDown", "%d pods, %d are wished for", len(s.pods), wish)
	case int32(len(s.pods)) < wish:
		return yes("ScalingUp", "%d pods, %d are wished for", len(s.pods), wish)
	case s.problem() != nil:
		return no("NotAccepted", "%s", s.problem().message)
	case !s.caughtUp():
		return yes("RollingOut", "the StatefulSet does not say yet what the spec says, or nobody has seen it there")
	case s.set.Status.ObservedGeneration < s.set.Generation, s.rollingOut():
		return yes("RollingOut", "%d of %d pods are of the newest template", s.set.Status.UpdatedReplicas, wish)
	case s.rotating != "":
		return yes("RotatingAuthority", "the authority of the Grid is being changed: %s", s.rotating)
	case s.feed.Rotation != "":
		return yes("RotatingSigningKey", "%s", s.feed.Rotation)
	}
	return no("Complete", "all is as the spec says")
}

// rollingOut: not all pods are of the newest template, or they are not ready yet.
// Where a user's StatefulSet holds some of them back, those are not waited for.
func (s *scope) rollingOut() bool {
	newest := s.set.Status.UpdateRevision
	if newest == "" || s.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return false
	}
	if rolling := s.set.Spec.UpdateStrategy.RollingUpdate; rolling != nil && rolling.Partition != nil && *rolling.Partition > 0 {
		return s.set.Status.UpdatedReplicas < s.wish()-*rolling.Partition
	}
	return s.set.Status.CurrentRevision != newest || s.set.Status.UpdatedReplicas < s.wish()
}

// caughtUp: what there is to be seen is about the newest spec. Right after a
// change the cache still has a StatefulSet that is as the one before asked, with
// all pods ready.
func (s *scope) caughtUp() bool {
	if names.Adopted(s.grid) || s.grid.Spec.Paused {
		return true // nothing is applied that would have to be seen
	}
	return s.set != nil && s.applied && s.set.Status.ObservedGeneration >= max(s.set.Generation, s.generation)
}

func (s *scope) degraded(members []member) verdict {
	if err := errors.Join(s.failures...); err != nil {
		return yes("ApplyFailed", "%v", err)
	}
	if s.feed.Problem != nil {
		return yes("PeersNotPublished", "%s", s.feed.Problem.Message)
	}
	if s.feed.Failure != "" {
		return yes("PeersNotPublished", "%s", s.feed.Failure)
	}
	if failing, n := naming(members, func(m *member) bool { return m.trouble != "" }); n > 0 {
		for i := range members {
			if m := &members[i]; m.pod.Name == failing[0] {
				return yes("MemberFailing", "%s: %s", list(failing, n), m.trouble)
			}
		}
	}
	if silent, n := naming(members, func(m *member) bool { return m.ready && !m.heard }); n > 0 {
		return yes("MemberSilent", "%s: no answer from the admin port for %s", list(silent, n), silence)
	}
	if expiring, n := naming(members, func(m *member) bool {
		return m.ack.CertificateExpires != nil && m.ack.CertificateExpires.Sub(s.now) < certExpiring
	}); n > 0 {
		return yes("CertExpiring", "%s: the certificate in use ends within %d days", list(expiring, n), certExpiring/(24*time.Hour))
	}
	if unlinked, n := naming(members, func(m *member) bool { return m.ready && m.heard && m.listed && !m.linked }); n > 0 {
		return yes("LinkDown", "%s: not linked with all peers", list(unlinked, n))
	}
	// A pod that is to be replaced may lack what the newest configuration needs.
	if refusing, n := naming(members, func(m *member) bool { return m.heard && m.ack.TelemetryError != "" }); n > 0 && (names.Adopted(s.grid) || !s.rollingOut()) {
		return yes("TelemetryRefused", "%s: refused where log and audit are to go; status.members says why", list(refusing, n))
	}
	if failing, n := naming(members, func(m *member) bool { return m.heard && len(m.ack.TargetsFailing) > 0 }); n > 0 {
		return yes("TargetsFailing", "%s: log or audit cannot be delivered, and waits; status.members says to whom", list(failing, n))
	}
	return no("AsWished", "nothing is known to be wrong")
}

func congested(members []member) verdict {
	heard := 0
	for i := range members {
		if members[i].heard {
			heard++
		}
	}
	if heard == 0 && len(members) > 0 {
		return unknown("MembersSilent", "no pod has said so far")
	}
	if jammed, n := naming(members, func(m *member) bool { return m.heard && m.ack.Links.Congested > 0 }); n > 0 {
		return yes("LinksCongested", "%s: links have been congested for a while", list(jammed, n))
	}
	return no("None", "no link is congested")
}
