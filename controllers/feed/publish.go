package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// publisher commits lists. Its methods may be called concurrently for different
// Grids.
type publisher struct {
	client client.Client // may read from a cache
	live   client.Reader // never does
	every  time.Duration // age at which a signing key is due; 0: never

	mu     sync.Mutex           // protects signed
	signed map[types.UID]uint64 // highest epoch signed, by Grid
}

// published is what a Grid's ConfigMap holds.
type published struct {
	// there: the ConfigMap is there and is the Grid's.
	there bool
	list  peers.List // zero: nobody is in the mesh yet
	keys  Keys
	// fresh: this call committed the list.
	fresh bool
	// broken is what this call found instead of a list, and replaced.
	broken error
}

// publish sees to it that the ConfigMap says who is in the mesh. An error that is
// a *Problem waits for a person, and the list that is there stays; after any
// other error it is called again. acks are what members said, for a rotation of
// the signing key, and of lists that are newer than the one there.
//
// The write of the ConfigMap, which names the version that it replaces, is the
// commit: of two operators that make a list of one epoch one is refused, and
// reads what the other has written before it goes on.
func (p *publisher) publish(ctx context.Context, g *v1alpha1.Grid, wish Wish, pods []Pod, acks map[string]Ack) (published, error) {
	if wish.Service == "" {
		return published{}, &Problem{Reason: ReasonService, Message: fmt.Sprintf(
			"StatefulSet %s has no serviceName, so its pods have no names; make it again with that of a headless Service", wish.StatefulSet)}
	}
	text, err := settingsOf(g, wish.Service)
	if err != nil {
		return published{}, err
	}
	telemetry, err := nextTelemetry(g)
	if err != nil {
		return published{}, err
	}
	// Most calls end here: the cache shows that all is as it should be.
	there, err := p.configMap(ctx, p.client, g, &wish)
	if err != nil {
		return published{}, err
	}
	out := published{there: there.ResourceVersion != "", list: readRecord(there, names.ID(g), nil).list}
	keys, err := p.keys(ctx, g, &wish, there)
	if err != nil {
		return out, err
	}
	plan := planner{
		grid: names.ID(g), identity: identity(g), settings: text, telemetry: telemetry, keys: keys.Keys, wish: wish, pods: pods,
		known: min(uint64(max(g.Status.PeerListEpoch, 0)), peers.MaxEpoch), now: time.Now(),
	}
	for _, ack := range acks {
		plan.known = max(plan.known, ack.Ahead)
	}
	r := readRecord(there, plan.grid, &plan.keys)
	if plan.keys, err = p.rotate(ctx, g, keys, plan.view(g, &r, acks, p.every)); err != nil {
		return out, err
	}
	if plan.settled(&r) && holds(there, g, r.content, r.list.Epoch) {
		return published{there: true, list: r.list, keys: plan.keys}, nil
	}
	// A list is made from what is there, not from what was a moment ago.
	if there, err = p.configMap(ctx, p.live, g, &wish); err != nil {
		return out, err
	}
	r = readRecord(there, plan.grid, &plan.keys)
	plan.signed = p.highest(g.UID)
	next, err := plan.make(&r)
	if err != nil {
		return out, err
	}
	if holds(there, g, next.content, next.list.Epoch) {
		return published{there: true, list: next.list, keys: plan.keys}, nil
	}
	if next.fresh {
		p.raise(g.UID, next.list.Epoch)
	}
	if err := p.commit(ctx, g, there, next.content, next.list.Epoch); err != nil {
		return out, err
	}
	return published{there: true, list: next.list, keys: plan.keys, fresh: next.fresh, broken: r.broken}, nil
}

// nextTelemetry is telemetry.json as it should be; nil where it is to stay as it
// is: while the Grid is paused, since pods would follow it at once, and while it
// says what they would refuse or have no room for, of which the condition Accepted
// tells.
func nextTelemetry(g *v1alpha1.Grid) (*string, error) {
	text, err := Telemetry(g)
	if problem := (*Problem)(nil); errors.As(err, &problem) || err == nil && (g.Spec.Paused || !hasRoom(g)) {
		return nil, nil //nolint:nilnil // as said
	}
	if err != nil {
		return nil, err
	}
	return &text, nil
}

// configMap reads the Grid's ConfigMap; an empty one if there is none.
func (p *publisher) configMap(ctx context.Context, from client.Reader, g *v1alpha1.Grid, w *Wish) (*corev1.ConfigMap, error) {
	c := new(corev1.ConfigMap)
	key := client.ObjectKey{Namespace: g.Namespace, Name: names.ConfigMap(g.Name)}
	if err := from.Get(ctx, key, c); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return new(corev1.ConfigMap), nil
		}
		return nil, fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	if problem := conflict(g, w, "ConfigMap", c); problem != nil {
		return nil, problem
	}
	return c, nil
}

// highest and raise keep the highest epoch that was signed for a Grid: where a
// commit fails, or its answer is lost, another list gets another epoch.
func (p *publisher) highest(grid types.UID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signed[grid]
}

func (p *publisher) raise(grid types.UID, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed[grid] = max(p.signed[grid], epoch)
}

// forget lets go of a Grid that is gone.
func (p *publisher) forget(grid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.signed, grid)
}
