package controllers

import (
	"context"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	defaultConcurrency = 4

	// reconcileTime bounds one reconciliation: one that hangs would keep its
	// Grid from being looked at again.
	reconcileTime = 30 * time.Second

	// gather is how long changes of pods, and of what nodes say, are gathered:
	// a large Grid has thousands of them in a few seconds.
	gather = 150 * time.Millisecond
)

// SetupWithManager has Grids reconciled when they, their objects, their pods or
// what their nodes say have changed.
func (r *GridReconciler) SetupWithManager(m ctrl.Manager) error {
	concurrency := r.Concurrency
	if concurrency <= 0 {
		concurrency = defaultConcurrency
	}
	labelled := handler.EnqueueRequestsFromMapFunc(byLabel)
	return ctrl.NewControllerManagedBy(m).
		Named("grid").
		For(new(v1alpha1.Grid), builder.WithPredicates(gridChanged())).
		// By name as well as by label: an object of another's under a name that
		// a Grid needs has no label of ours.
		Watches(new(appsv1.StatefulSet), handler.EnqueueRequestsFromMapFunc(r.byStatefulSet)).
		Watches(new(corev1.Service), handler.EnqueueRequestsFromMapFunc(r.byService)).
		Watches(new(corev1.Secret), labelled).
		Watches(new(corev1.ConfigMap), labelled, builder.WithPredicates(comesOrGoes())).
		Watches(new(policyv1.PodDisruptionBudget), labelled, builder.WithPredicates(specChanged())).
		Watches(new(networkingv1.NetworkPolicy), labelled).
		Watches(new(corev1.Pod), gathered(byLabel)).
		WatchesRawSource(source.Channel(r.Feed.Changes(), gathered(itself))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			ReconciliationTimeout:   reconcileTime,
			RateLimiter:             feed.Retries(),
		}).
		Complete(r)
}

// gridChanged passes what a user changes: the spec, and annotations, in which
// wishes stand. Our own writes of the status are no news.
func gridChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// specChanged passes changes but for those of the status.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
			!maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) ||
			!maps.Equal(e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations())
	}}
}

// comesOrGoes passes objects that come and go. What stands in them is another's work.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

// gathered has Grids looked at after a moment, once for all that changes until
// then. The queue keeps the first of several moments.
func gathered(grids handler.MapFunc) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	add := func(ctx context.Context, o client.Object, q queue) {
		for _, request := range grids(ctx, o) {
			q.AddAfter(request, gather)
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { add(ctx, e.Object, q) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { add(ctx, e.ObjectNew, q) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { add(ctx, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { add(ctx, e.Object, q) },
	}
}

func itself(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

func byLabel(_ context.Context, o client.Object) []reconcile.Request {
	grid := o.GetLabels()[names.LabelGrid]
	if grid == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: grid}}}
}

// byStatefulSet finds the Grid whose StatefulSet it is, or should be.
func (r *GridReconciler) byStatefulSet(ctx context.Context, o client.Object) []reconcile.Request {
	return r.gridsOf(ctx, o, func(g *v1alpha1.Grid) bool { return names.StatefulSet(g) == o.GetName() })
}

// byService finds the Grid whose Service it is, or should be. Which Service an
// adopted StatefulSet names stands in the StatefulSet, so every adopted Grid of
// the namespace looks.
func (r *GridReconciler) byService(ctx context.Context, o client.Object) []reconcile.Request {
	return r.gridsOf(ctx, o, func(g *v1alpha1.Grid) bool { return names.Adopted(g) || g.Name == o.GetName() })
}

func (r *GridReconciler) gridsOf(ctx context.Context, o client.Object, is func(*v1alpha1.Grid) bool) []reconcile.Request {
	var grids v1alpha1.GridList
	if err := r.List(ctx, &grids, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "cannot list grids of a namespace", "namespace", o.GetNamespace())
		return nil
	}
	var requests []reconcile.Request
	for i := range grids.Items {
		if g := &grids.Items[i]; is(g) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(g)})
		}
	}
	return requests
}
