package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	// lookAgain is when something is looked at again that nothing tells us of,
	// such as another's object under a name that we need.
	lookAgain = time.Minute

	// soonest is the least time until a Grid is looked at again by the clock.
	soonest = 100 * time.Millisecond
)

// PeerFeed is what is known of the peer lists of Grids.
type PeerFeed interface {
	// State may be called concurrently.
	State(grid types.NamespacedName) feed.State
	// Changes tells of Grids whose State has changed.
	Changes() <-chan event.GenericEvent
}

// GridReconciler makes the objects of Grids and writes their status. Its fields
// are set before SetupWithManager and not changed after.
type GridReconciler struct {
	client.Client                      // reads from the cache
	Reader        client.Reader        // reads from the API server
	Recorder      events.EventRecorder // of what happens to a Grid
	Feed          PeerFeed
	Metrics       *Metrics
	Concurrency   int // Grids that are reconciled at once; 0: 4

	writes writeTimes
}

// The cache lists and watches; get is for what it does not hold, and patch, with
// create, for server-side apply.
//
// +kubebuilder:rbac:groups=gridmesh.io,resources=grids,verbs=list;watch
// +kubebuilder:rbac:groups=gridmesh.io,resources=grids/status,verbs=patch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services;secrets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods;configmaps,verbs=list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings the objects of one Grid to what its spec says, and its status
// to what was seen. It may be called concurrently for different Grids.
func (r *GridReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	g := new(v1alpha1.Grid)
	if err := r.Get(ctx, request.NamespacedName, g); err != nil {
		r.writes.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if g.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // owner references do the rest
	}
	s, err := r.newScope(ctx, g)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !g.Spec.Paused {
		for _, phase := range s.phases() {
			s.note(phase(ctx))
		}
	}
	s.note(s.reconcileStatus(ctx))
	if err := errors.Join(s.failures...); err != nil {
		return ctrl.Result{}, err
	}
	if s.wake.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(s.wake.Sub(s.now), soonest)}, nil
}

// phases are what is done for a Grid, in order: nothing starts a pod before all
// that it mounts is there, since a kubelet that misses something tries again
// late. One that fails does not keep the next from being tried.
func (s *scope) phases() []func(context.Context) error {
	if names.Adopted(s.grid) {
		return []func(context.Context) error{
			s.reviewAdopted,
			s.reviewTelemetry,
			s.reconcileCertificates,
			s.reviewSecret,
		}
	}
	return []func(context.Context) error{
		s.reviewTemplate,
		s.reconcileService,
		s.reconcileCertificates,
		s.reviewSecret,
		s.reconcileNetworkPolicy,
		s.reconcileDisruptionBudget,
		s.reconcileStatefulSet,
	}
}
