package feed

import (
	"slices"

	"github.com/gridmesh/gridmesh/controllers/names"
)

// Drained says of the pods of a StatefulSet with the ordinals from, inclusive,
// to, exclusive, whether all have said that they are out of the list and that
// nothing runs on them any more, and if not, who has yet to. What nothing
// proves does not count, and neither does what was said of another mesh; how
// long to wait for that is for the caller to know. Pods that are not there have
// nothing to drain.
func (s *State) Drained(statefulSet string, from, to int) (all bool, waiting []string) {
	if !s.Committed {
		return false, nil // nothing is known yet
	}
	for pod, ack := range s.Acks {
		n, ok := names.Ordinal(statefulSet, pod)
		if !ok || n < from || n >= to {
			continue
		}
		// An older list may have lacked the pod because it was new.
		newest := ack.MeshID == s.MeshID && ack.Epoch >= s.Epoch && !slices.Contains(s.Names, ack.Name)
		if !ack.Verified || !newest || !ack.Removed || !ack.Drained {
			waiting = append(waiting, pod)
		}
	}
	slices.Sort(waiting)
	return len(waiting) == 0, waiting
}
