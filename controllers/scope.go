package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// scope is one reconciliation of one Grid: what there is, and what was found
// out on the way. One goroutine uses it.
type scope struct {
	*GridReconciler

	now  time.Time
	grid *v1alpha1.Grid // read only: it is the cache's
	set  *appsv1.StatefulSet
	pods []*corev1.Pod // those of set, by ordinal
	feed feed.State

	// applied: the own StatefulSet says what the spec says. generation is what it
	// has by now, 0 if nothing had to be written.
	applied    bool
	generation int64

	// template is what an own StatefulSet makes pods of; nil if it is refused.
	template *podTemplate

	problems []*problem
	failures []error
	wake     time.Time // zero: nothing to wait for
	rotating string    // for people: how far a change of authority is; "" if none
}

func (r *GridReconciler) newScope(ctx context.Context, g *v1alpha1.Grid) (*scope, error) {
	s := &scope{GridReconciler: r, now: time.Now(), grid: g, feed: r.Feed.State(client.ObjectKeyFromObject(g))}
	set := new(appsv1.StatefulSet)
	switch err := r.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: names.StatefulSet(g)}, set); {
	case apierrors.IsNotFound(err):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read StatefulSet %s: %w", names.StatefulSet(g), err)
	case !names.Adopted(g) && !s.mine(set):
		return s, nil // reconcileStatefulSet says so
	}
	s.set = set

	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(g.Namespace), client.MatchingLabels(names.Selector(g.Name)), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if owner := metav1.GetControllerOfNoCopy(&pods.Items[i]); owner != nil && owner.UID == set.UID {
			s.pods = append(s.pods, &pods.Items[i])
		}
	}
	slices.SortFunc(s.pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(s.ordinal(a), s.ordinal(b)), cmp.Compare(a.Name, b.Name))
	})
	return s, nil
}

// ordinal is the pod's number, -1 if it has none.
func (s *scope) ordinal(p *corev1.Pod) int {
	if n, ok := names.Ordinal(s.set.Name, p.Name); ok {
		return n
	}
	return -1
}

// mine reports whether the operator made the object for this very Grid. What has
// our labels and no owner was left by an adopted Grid of the name, for the next
// one, or orphaned together with an own StatefulSet.
func (s *scope) mine(o metav1.Object) bool {
	_, isSet := o.(*appsv1.StatefulSet)
	owned := metav1.GetControllerOfNoCopy(o) != nil
	return names.Mine(o, s.grid) && (owned || names.Adopted(s.grid) || isSet || s.set != nil)
}

// wish is how many pods there are to be.
func (s *scope) wish() int32 {
	switch {
	case !names.Adopted(s.grid) && s.grid.Spec.Replicas != nil:
		return *s.grid.Spec.Replicas
	case names.Adopted(s.grid) && s.set != nil:
		return names.Replicas(s.set)
	}
	return 0
}

// service is the headless Service that gives the pods their names; "" if it is
// not known yet.
func (s *scope) service() string {
	switch {
	case !names.Adopted(s.grid):
		return s.grid.Name
	case s.set != nil:
		return s.set.Spec.ServiceName
	}
	return ""
}

// note sorts what a phase returned: a problem is for the user to mend, any
// other error is tried again.
func (s *scope) note(err error) {
	if err == nil || errors.Is(err, errBehind) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return // nothing, or nothing for much longer: the namespace goes, and the Grid with it
	}
	if p := (*problem)(nil); errors.As(err, &p) {
		s.problems = append(s.problems, p)
		if p.unseen {
			s.wakeAt(s.now.Add(lookAgain))
		}
		return
	}
	s.failures = append(s.failures, err)
}

// problem is what the user has to mend first, be it that no peer list can be
// published; nil if there is nothing.
func (s *scope) problem() *problem {
	switch {
	case len(s.problems) > 0:
		return s.problems[0]
	case s.feed.Problem != nil:
		return &problem{reason: s.feed.Problem.Reason, message: s.feed.Problem.Message}
	}
	return nil
}

// wakeAt has the Grid looked at again at t, or before.
func (s *scope) wakeAt(t time.Time) {
	if !t.IsZero() && (s.wake.IsZero() || t.Before(s.wake)) {
		s.wake = t
	}
}
