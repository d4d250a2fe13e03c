package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// problemLook is when something that waits for a person is looked at again: an
// object that is not ours is not in the cache, so nothing tells when it goes.
const problemLook = 15 * time.Second

// +kubebuilder:rbac:groups=gridmesh.io,resources=grids,verbs=list;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=configmaps;secrets,verbs=get;list;watch;create;patch

// Reconcile looks at one Grid. What fails is tried again, later each time.
func (f *Feed) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	result, err := f.look(ctx, req)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return reconcile.Result{}, nil // the namespace goes, and the Grid with it
	}
	if err != nil {
		f.failed(req.NamespacedName, err)
	}
	return result, err
}

// look commits a list if one is due, and tells the pool who is to have it. A
// paused Grid is fed like any other.
func (f *Feed) look(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	started := time.Now()
	g := new(v1alpha1.Grid)
	if err := f.client.Get(ctx, req.NamespacedName, g); err != nil {
		if apierrors.IsNotFound(err) {
			f.forget(req.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read Grid: %w", err)
	}
	if g.DeletionTimestamp != nil {
		f.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	wish, err := f.wish(ctx, g)
	if err != nil {
		return reconcile.Result{}, err
	}
	if wish == nil {
		return reconcile.Result{}, f.keep(ctx, g)
	}
	pods, err := f.pods(ctx, g)
	if err != nil {
		return reconcile.Result{}, err
	}
	out, err := f.publisher.publish(ctx, g, *wish, pods, f.pool.Acks(req.NamespacedName))
	f.metrics.published(&out, err, time.Since(started))
	problem := (*Problem)(nil)
	switch {
	case errors.As(err, &problem):
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		// Somebody wrote meanwhile: read that first.
		return reconcile.Result{RequeueAfter: gather}, nil
	case err != nil:
		return reconcile.Result{}, err
	}
	if out.fresh {
		f.log.InfoContext(ctx, "peer list committed", "grid", names.ID(g), "epoch", out.list.Epoch, "peers", len(out.list.Names), "took", time.Since(started))
	}
	if out.broken != nil {
		f.log.WarnContext(ctx, "what stood in the ConfigMap was no peer list of this mesh, and was replaced", "grid", names.ID(g), "error", out.broken)
	}
	trust, err := f.trust(ctx, g)
	if err != nil {
		return reconcile.Result{}, err
	}
	if out.there {
		f.pool.Set(req.NamespacedName, deliveryOf(g, wish, pods, &out, trust))
	}
	f.set(req.NamespacedName, known{uid: g.UID, state: State{
		Committed: out.there, Epoch: out.list.Epoch, Names: out.list.Names, MeshID: cmp.Or(out.list.MeshID, out.keys.MeshID),
		Problem: problem, Rotation: out.keys.describe(),
	}})
	return reconcile.Result{RequeueAfter: f.again(problem, &out.keys)}, nil
}

// again is when the Grid is looked at again though nothing has changed.
func (f *Feed) again(problem *Problem, keys *Keys) time.Duration {
	switch {
	case problem != nil:
		return problemLook
	case keys.Phase != PhaseIdle:
		return rotateLook
	case f.publisher.every > 0:
		return max(time.Until(keys.Made.Add(f.publisher.every)), rotateLook)
	}
	return 0
}

// wish reads who is wished for off the StatefulSet. Before a Grid has made its own,
// it is what that will say: pods cannot start before the ConfigMap is there. nil:
// the user's StatefulSet is not there, so nobody knows.
func (f *Feed) wish(ctx context.Context, g *v1alpha1.Grid) (*Wish, error) {
	s := new(appsv1.StatefulSet)
	key := client.ObjectKey{Namespace: g.Namespace, Name: names.StatefulSet(g)}
	err := f.client.Get(ctx, key, s)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, fmt.Errorf("read StatefulSet %s: %w", key, err)
	case err == nil && (names.Adopted(g) || names.Mine(s, g)):
		w := WishOf(g, s)
		return &w, nil
	case names.Adopted(g):
		return nil, nil
	}
	w := Wish{Namespace: g.Namespace, StatefulSet: g.Name, Service: g.Name, Port: g.Spec.Port, Count: 1}
	if g.Spec.Replicas != nil {
		w.Count = int(*g.Spec.Replicas)
	}
	return &w, nil
}

// keep leaves all as it is, where nobody knows who is wished for: a StatefulSet
// that is made again may take its pods over. Those that go are let go of.
func (f *Feed) keep(ctx context.Context, g *v1alpha1.Grid) error {
	key := client.ObjectKeyFromObject(g)
	pods, err := f.pods(ctx, g)
	if err != nil {
		return err
	}
	f.pool.Keep(key, pods)
	state := State{}
	there, err := f.publisher.configMap(ctx, f.client, g, new(Wish))
	switch {
	case errors.As(err, &state.Problem):
	case err != nil:
		return err
	default:
		list := readRecord(there, names.ID(g), nil).list
		state.Committed, state.Epoch, state.Names, state.MeshID = there.ResourceVersion != "", list.Epoch, list.Names, list.MeshID
	}
	f.set(key, known{uid: g.UID, state: state})
	return nil
}

// pods are those that carry the Grid's label.
func (f *Feed) pods(ctx context.Context, g *v1alpha1.Grid) ([]Pod, error) {
	var list corev1.PodList
	// They are read here and nowhere kept, so no copies are needed.
	err := f.client.List(ctx, &list, client.InNamespace(g.Namespace), client.MatchingLabels(names.Selector(g.Name)), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	pods := make([]Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = PodOf(&list.Items[i])
	}
	return pods, nil
}

// trust says how the admin ports are spoken to.
func (f *Feed) trust(ctx context.Context, g *v1alpha1.Grid) (Trust, error) {
	t := Trust{TLS: hasTLS(g)}
	switch g.Spec.TLS.Mode {
	case v1alpha1.TLSSecret:
		if g.Spec.TLS.Secret != nil {
			t.CA = []byte(g.Spec.TLS.Secret.CA)
		}
	case v1alpha1.TLSVolume, v1alpha1.TLSNone:
	case v1alpha1.TLSSelf, v1alpha1.TLSCertManager, "":
		s := new(corev1.Secret)
		key := client.ObjectKey{Namespace: g.Namespace, Name: names.TLSSecret(g.Name)}
		err := f.client.Get(ctx, key, s)
		if client.IgnoreNotFound(err) != nil {
			return Trust{}, fmt.Errorf("read Secret %s: %w", key, err)
		}
		t.CA = s.Data[names.KeyCA]
	}
	return t, nil
}

// deliveryOf says who is to have the list: each pod of the StatefulSet with an
// address, those that are no longer in the list among them.
func deliveryOf(g *v1alpha1.Grid, wish *Wish, pods []Pod, out *published, trust Trust) Delivery {
	d := Delivery{Grid: names.ID(g), MeshID: out.list.MeshID, Epoch: out.list.Epoch, Document: out.list.Raw(), Trust: trust}
	if out.keys.Active != nil { // else they cannot be read, and nothing is published
		d.Keys = out.keys.trusted()
	}
	for i := range pods {
		pod := &pods[i]
		if !wish.owns(pod) || pod.IP == "" {
			continue
		}
		d.Targets = append(d.Targets, Target{
			Pod: pod.Name, UID: pod.UID, Version: pod.Version,
			Address: net.JoinHostPort(pod.IP, strconv.Itoa(int(g.Spec.AdminPort))),
			Name:    wish.peer(pod.Name), Host: names.Host(pod.Name, wish.Service, wish.Namespace),
		})
	}
	return d
}
