package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	maxVersion      = 128
	maxVersions     = 256
	maxCondition    = 1024 // bytes of a condition's message; the API allows 32 KiB
	maxNamed        = 3    // pods that a message names
	wordUnknown     = "unknown"
	versionsBetween = ".."
)

// statusOf says what was observed. It keeps from the last status what cannot be
// known at the moment.
func (s *scope) statusOf() *v1alpha1.GridStatus {
	last := &s.grid.Status
	members := s.membersOf()
	status := &v1alpha1.GridStatus{
		ObservedGeneration: s.grid.Generation,
		Replicas:           int32(len(s.pods)),
		ReadyReplicas:      int32(s.readyPods()),
		Selector:           names.SelectorText(s.grid.Name),
		Peers:              int32(len(s.feed.Names)),
		// Nodes take no list with a lower epoch, so whoever has to make one
		// after the ConfigMap was lost needs the highest.
		PeerListEpoch: max(last.PeerListEpoch, int64(s.feed.Epoch)),
		Members:       memberStatus(members),
	}
	status.Ready = fmt.Sprintf("%d/%d", status.ReadyReplicas, s.wish())
	status.Links, status.Congested = links(members, len(s.feed.Names))
	status.Version = versions(members)
	for _, c := range last.Conditions {
		status.Conditions = append(status.Conditions, *c.DeepCopy())
	}
	if s.settling() {
		status.Peers, status.Links, status.Congested = last.Peers, last.Links, last.Congested
		status.Version, status.Members = last.Version, last.Members
	}
	if s.set != nil && s.problem() == nil && !s.caughtUp() {
		status.ObservedGeneration = last.ObservedGeneration
	}
	s.setConditions(status, members)
	return status
}

// settling: this process has only just begun to ask the nodes, and the last
// status is truer than that nobody has answered yet.
func (s *scope) settling() bool {
	if s.grid.Status.ObservedGeneration == 0 || s.now.After(s.writes.begun().Add(settleTime)) {
		return false
	}
	unsettled := !s.feed.Committed && s.feed.Problem == nil
	for _, p := range s.pods {
		ack, known := s.feed.Acks[p.Name]
		unsettled = unsettled || feed.Address(p) != "" && (!known || ack.Heard.IsZero() && ack.Err == "")
	}
	if unsettled {
		s.wakeAt(s.writes.begun().Add(settleTime))
	}
	return unsettled
}

// links counts links at both their ends: "up/expected".
func links(members []member, peers int) (text string, congested int32) {
	expected := peers * (peers - 1)
	up, heard := 0, 0
	for i := range members {
		if m := &members[i]; m.heard && m.listed {
			heard++
			up += min(m.ack.Links.Up, peers-1)
			congested += int32(m.ack.Links.Congested)
		}
	}
	if heard == 0 && peers > 0 {
		return fmt.Sprintf("%s/%d", wordUnknown, expected), 0
	}
	return fmt.Sprintf("%d/%d", up, expected), congested
}

// versions is what the pods run, during an upgrade from the lowest to the
// highest.
func versions(members []member) string {
	var all []string
	for i := range members {
		if v := members[i].ack.Version; v != "" && members[i].heard && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	switch len(all) {
	case 0:
		return ""
	case 1:
		return clipTo(all[0], maxVersions)
	}
	return clipTo(all[0], maxVersion-1) + versionsBetween + clipTo(all[len(all)-1], maxVersion-1)
}

// naming says of which pods something is true: the first few by name.
func naming(members []member, is func(*member) bool) (named []string, count int) {
	for i := range members {
		if is(&members[i]) {
			if count++; count <= maxNamed {
				named = append(named, members[i].pod.Name)
			}
		}
	}
	return named, count
}

// list writes names for a sentence.
func list(named []string, count int) string {
	text := strings.Join(named, ", ")
	if count > len(named) {
		text += fmt.Sprintf(" and %d more", count-len(named))
	}
	return text
}

func clipTo(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
