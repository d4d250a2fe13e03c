package feed

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// notifier tells of changed Grids through a channel. Whoever says that one has
// changed never waits; however often that is, a Grid stands in line once, and is
// told of once in notifyPace: a thousand pods that take a list say so one after
// the other, and whoever is told looks at all of them.
type notifier struct {
	changes chan event.GenericEvent
	some    chan struct{} // of one: line is not empty

	mu   sync.Mutex // protects what follows
	line []types.NamespacedName
	in   map[types.NamespacedName]bool
}

func newNotifier() *notifier {
	return &notifier{changes: make(chan event.GenericEvent), some: make(chan struct{}, 1), in: make(map[types.NamespacedName]bool)}
}

func (n *notifier) changed(grid types.NamespacedName) {
	n.mu.Lock()
	if !n.in[grid] {
		n.in[grid] = true
		n.line = append(n.line, grid)
	}
	n.mu.Unlock()
	select {
	case n.some <- struct{}{}:
	default:
	}
}

func (n *notifier) next() (grid types.NamespacedName, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.line) == 0 {
		return grid, false
	}
	grid, n.line = n.line[0], n.line[1:]
	delete(n.in, grid)
	return grid, true
}

// Start hands the changes out until ctx ends. It makes the notifier a Runnable.
func (n *notifier) Start(ctx context.Context) error {
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		select {
		case <-n.some:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
		for grid, ok := n.next(); ok; grid, ok = n.next() {
			select {
			case n.changes <- event.GenericEvent{Object: &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: grid.Namespace, Name: grid.Name}}}:
			case <-ctx.Done():
				return nil
			}
		}
		pace.Reset(notifyPace)
	}
}

// NeedLeaderElection is true: what it tells of happens only where the lead is.
func (n *notifier) NeedLeaderElection() bool { return true }
