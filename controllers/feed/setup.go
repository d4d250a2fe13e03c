package feed

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// SetupWithManager adds the feed's controller, its pool and its notifiers to a
// manager.
func (f *Feed) SetupWithManager(mgr ctrl.Manager) error {
	for _, r := range []manager.Runnable{f.pool, f.notifier, f.looks} {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("feed: %w", err)
		}
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("peers").
		For(&v1alpha1.Grid{}, builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&appsv1.StatefulSet{}, handler.EnqueueRequestsFromMapFunc(f.gridsOf),
			builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Pod{}, gathered(), builder.WithPredicates(predicate.Funcs{UpdateFunc: podMatters})).
		Watches(&corev1.ConfigMap{}, gathered()).
		Watches(&corev1.Secret{}, gathered()).
		WatchesRawSource(source.Channel(f.looks.changes, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: reconcilers, RateLimiter: Retries(), ReconciliationTimeout: lookTime}).
		Complete(f)
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	return nil
}

// Retries says when what failed is tried again. The controllers of Grids and of
// their lists keep the same times.
func Retries() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retrySoonest, retryLatest)
}

// gridsOf are the Grids whose pods are those of a StatefulSet.
func (f *Feed) gridsOf(ctx context.Context, s client.Object) []reconcile.Request {
	var grids v1alpha1.GridList
	if err := f.client.List(ctx, &grids, client.InNamespace(s.GetNamespace())); err != nil {
		f.log.ErrorContext(ctx, "the Grids of a StatefulSet were not found", "statefulset", s.GetName(), "error", err)
		return nil
	}
	var all []reconcile.Request
	for i := range grids.Items {
		if names.StatefulSet(&grids.Items[i]) == s.GetName() {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&grids.Items[i])})
		}
	}
	return all
}

// gathered has the Grid of a labelled object looked at after a moment: what else
// changes until then goes into the same list. The queue keeps the first of
// several moments, so nothing waits longer than that.
func gathered() handler.EventHandler {
	add := func(o client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if grid := o.GetLabels()[names.LabelGrid]; grid != "" {
			q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: grid}}, gather)
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectOld, q); add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(e.Object, q) },
	}
}

// podMatters: most of what changes in a pod says nothing to the feed.
func podMatters(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, ok2 := e.ObjectNew.(*corev1.Pod)
	return !ok || !ok2 || PodOf(before) != PodOf(after) || before.Labels[names.LabelGrid] != after.Labels[names.LabelGrid]
}
