package controllers

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// reviewTemplate merges the user's template into ours, and looks whether its pods
// could work with what the spec says of log and audit.
func (s *scope) reviewTemplate(ctx context.Context) error {
	if err := s.reviewTelemetry(ctx); err != nil {
		return err
	}
	if refused := reviewStorage(s.grid); refused != nil {
		return refused
	}
	merged, refused := mergeTemplate(s.grid)
	if refused != nil {
		return refused
	}
	s.template = merged
	return nil
}

// reconcileStatefulSet sees to an own StatefulSet: its template, and its size.
func (s *scope) reconcileStatefulSet(ctx context.Context) error {
	if s.template == nil {
		return nil // refused, and said so
	}
	live := s.set
	if live == nil {
		var err error // there may be another's
		if live, err = cached[appsv1.StatefulSet](ctx, s, s.grid.Name); err != nil {
			return err
		}
	}
	if live == nil && !s.mayStart() {
		return nil
	}
	next, wake := nextScale(s.sizes())
	set, err := statefulSetOf(s.grid, s.template, next)
	if err != nil {
		return err
	}
	// The size follows from the one that was read: where there is another by now,
	// pods would go that are in the mesh.
	if err := s.applyOver(ctx, set, live); err != nil {
		return err
	}
	s.applied, s.generation = true, set.GetGeneration()
	s.wakeAt(wake)
	s.tellScale(next)
	return nil
}

// mayStart reports whether pods may be started: not before their ConfigMap is
// there, of which the feed tells, and not while something that they mount or
// that shields them cannot be made. For a Secret of the user's they may wait.
func (s *scope) mayStart() bool {
	return s.feed.Committed && !slices.ContainsFunc(s.problems, func(p *problem) bool { return p.reason != reasonSecretMissing })
}

func (s *scope) sizes() sizes {
	in := sizes{wish: s.wish(), now: s.now, drain: drainTimeout(s.grid)}
	if s.set == nil {
		return in
	}
	in.exists = true
	in.is = scale{names.Replicas(s.set), names.ShrinkOf(s.set)}
	if in.is.shrink != nil {
		first := names.Start(s.set) + int(in.is.shrink.To)
		for _, p := range s.pods {
			in.beyond = in.beyond || s.ordinal(p) >= first
		}
		in.drained = drained(&s.feed, s.set.Name, s.pods, first, names.Start(s.set)+int(in.is.replicas))
	}
	return in
}

// drained reports whether every pod with an ordinal from first up to end has
// said that nothing runs on it any more. The feed knows of pods once it has
// looked at them: one that is there and that it does not know has said nothing.
func drained(state *feed.State, set string, pods []*corev1.Pod, first, end int) bool {
	if !state.Committed {
		return false
	}
	for _, p := range pods {
		n, ok := names.Ordinal(set, p.Name)
		if _, known := state.Acks[p.Name]; ok && n >= first && n < end && feed.Address(p) != "" && !known {
			return false
		}
	}
	all, _ := state.Drained(set, first, end)
	return all
}

// tellScale says as an event what happens to the size of the StatefulSet.
func (s *scope) tellScale(next scale) {
	switch {
	case s.set == nil:
		s.eventf("Normal", "Created", "Create", "made StatefulSet %s with %d pods", s.grid.Name, next.replicas)
	case next.shrink != nil && (names.ShrinkOf(s.set) == nil || names.ShrinkOf(s.set).To != next.shrink.To):
		s.eventf("Normal", "ScalingDown", "Scale", "taking pods out of the peer list, from %d to %d; they have %s to drain",
			next.replicas, next.shrink.To, drainTimeout(s.grid))
	case next.replicas < names.Replicas(s.set):
		s.eventf("Normal", "ScaledDown", "Scale", "removed pods have drained or had their time: StatefulSet %s goes from %d to %d",
			s.grid.Name, names.Replicas(s.set), next.replicas)
	case next.replicas > names.Replicas(s.set):
		s.eventf("Normal", "ScaledUp", "Scale", "StatefulSet %s goes from %d to %d pods", s.grid.Name, names.Replicas(s.set), next.replicas)
	}
}
