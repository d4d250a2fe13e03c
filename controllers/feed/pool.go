package feed

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Delivery is a committed list, and who is to have it.
type Delivery struct {
	Grid     string // its id
	MeshID   string
	Epoch    uint64 // 0: no list yet; members are only asked how they are
	Document []byte
	Keys     []ed25519.PublicKey // whose lists count
	Trust    Trust
	Targets  []Target
}

// Target is one pod with an address. Pods that are no longer in the list are
// targets, too: the list tells them.
type Target struct {
	Pod     string
	UID     types.UID
	Address string // of the admin port
	Name    string // in the list
	Host    string // in its certificate
	Version string // of the pod: a change is a reason to try again at once
}

// Pool brings lists to pods, and asks them how they are. Each pod is a member that
// makes its attempts on a goroutine of its own, so none waits for another. Its methods may be
// called concurrently, except Set, Keep and Forget for one Grid.
type Pool struct {
	log     *slog.Logger
	metrics *metrics
	notify  func(types.NamespacedName) // what pods say has changed; must not block
	behind  func(types.NamespacedName) // a pod has a newer list than the one to be had; the same
	lanes   *lanes
	count   atomic.Int64 // members

	refusals chan struct{} // a place for each refusal that is being read

	ctx    context.Context // ends every member
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // protects what follows
	closed bool
	grids  map[types.NamespacedName]*roster
}

// roster is the members of one Grid.
type roster struct {
	order   *order
	members map[string]*member // by pod
}

// order is what all members of a Grid are to have. It does not change.
type order struct {
	grid     string
	meshID   string
	epoch    uint64
	document []byte
	keys     []ed25519.PublicKey
	access   *access
	since    time.Time // when the pool got the list
}

func newPool(log *slog.Logger, m *metrics, notify, behind func(types.NamespacedName)) *Pool {
	p := &Pool{
		log: log, metrics: m, notify: notify, behind: behind, lanes: newLanes(),
		refusals: make(chan struct{}, refusalSlots), grids: make(map[types.NamespacedName]*roster),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Start waits for ctx, ends all members, and returns when they have ended. It
// makes the Pool a Runnable of a manager.
func (p *Pool) Start(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	grids := p.grids
	p.grids = make(map[types.NamespacedName]*roster)
	p.mu.Unlock()
	p.cancel()
	for _, r := range grids {
		for _, m := range r.members {
			m.drop()
		}
	}
	p.wg.Wait()
	for _, r := range grids {
		r.order.access.close()
	}
	return nil
}

// NeedLeaderElection is true: two operators that push would only be twice the work, but
// just one of them commits.
func (p *Pool) NeedLeaderElection() bool { return true }

// Set says what the pods of a Grid are to have from now on, and which pods these
// are. It does not wait for any of them.
func (p *Pool) Set(grid types.NamespacedName, d Delivery) {
	if old := p.set(grid, &d); old != nil {
		old.close()
	}
}

// set returns an access that nobody needs any more, or nil.
func (p *Pool) set(grid types.NamespacedName, d *Delivery) (unused *access) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	r := p.grids[grid]
	if r == nil {
		r = &roster{members: make(map[string]*member)}
		p.grids[grid] = r
	}
	old := r.order
	r.order = nextOrder(old, d)
	if old != nil && old.access != r.order.access {
		unused = old.access
	}
	gone := make(map[string]bool, len(r.members))
	for pod := range r.members {
		gone[pod] = true
	}
	for _, target := range d.Targets {
		delete(gone, target.Pod)
		if m := r.members[target.Pod]; m != nil {
			m.set(target, r.order)
			continue
		}
		p.count.Add(1)
		r.members[target.Pod] = newMember(p, grid, target, r.order)
	}
	for pod := range gone {
		p.dropLocked(r, pod)
	}
	return unused
}

// Keep lets go of the members of a Grid whose pods are not among these, or have
// another address.
func (p *Pool) Keep(grid types.NamespacedName, pods []Pod) {
	addresses := make(map[types.UID]string, len(pods))
	for i := range pods {
		addresses[pods[i].UID] = pods[i].IP
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.grids[grid]
	if r == nil {
		return
	}
	for pod, m := range r.members {
		if uid, ip := m.where(); addresses[uid] != ip {
			p.dropLocked(r, pod)
		}
	}
}

// nextOrder keeps the order where the delivery says the same.
func nextOrder(old *order, d *Delivery) *order {
	next := &order{grid: d.Grid, meshID: d.MeshID, epoch: d.Epoch, document: d.Document, keys: d.Keys, since: time.Now()}
	switch {
	case old == nil || old.access.sum != d.Trust.sum():
		next.access = newAccess(d.Trust)
	case old.meshID == d.MeshID && old.epoch == d.Epoch:
		return old
	default:
		next.access = old.access
	}
	if old != nil && old.meshID == d.MeshID && old.epoch == d.Epoch {
		next.since = old.since
	}
	return next
}

func (p *Pool) dropLocked(r *roster, pod string) {
	r.members[pod].drop()
	delete(r.members, pod)
	p.count.Add(-1)
}

// Forget lets go of a Grid.
func (p *Pool) Forget(grid types.NamespacedName) {
	p.mu.Lock()
	r := p.grids[grid]
	delete(p.grids, grid)
	if r != nil {
		for pod := range r.members {
			p.dropLocked(r, pod)
		}
	}
	p.mu.Unlock()
	if r != nil {
		r.order.access.close()
	}
}

// Acks is what the pods of a Grid have said last, by pod.
func (p *Pool) Acks(grid types.NamespacedName) map[string]Ack {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.grids[grid]
	if r == nil {
		return nil
	}
	all := make(map[string]Ack, len(r.members))
	for pod, m := range r.members {
		all[pod] = m.last()
	}
	return all
}
