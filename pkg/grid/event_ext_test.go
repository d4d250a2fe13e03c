package grid_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// TestEvents: what happens to a grid is told once, to both sides, with whom it
// was about.
func TestEvents(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string][]grid.Event)
	changed := make(chan struct{}, 1)
	mesh := gridtest.New(t, 2, func(o *grid.Options) {
		local := o.Local
		o.OnEvent = func(e grid.Event) {
			mu.Lock()
			defer mu.Unlock()
			got[local] = append(got[local], e)
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	// wait gives the first event of a kind at a node, when it has come.
	wait := func(node int, kind grid.EventKind) grid.Event {
		t.Helper()
		for {
			mu.Lock()
			i := slices.IndexFunc(got[gridtest.Name(node)], func(e grid.Event) bool { return e.Kind == kind })
			if i >= 0 {
				e := got[gridtest.Name(node)][i]
				mu.Unlock()
				if e.Time.IsZero() {
					t.Errorf("%s has no time", kind)
				}
				return e
			}
			mu.Unlock()
			select {
			case <-changed:
			case <-t.Context().Done():
				t.Fatalf("no event %s", kind)
			}
		}
	}
	mesh.WaitLinked()
	a, b := wait(0, grid.EventLinked), wait(1, grid.EventLinked)
	if a.Peer != gridtest.Name(1) || b.Peer != gridtest.Name(0) || a.Dialed == b.Dialed {
		t.Errorf("linked: %+v and %+v", a, b)
	}
	if e := wait(0, grid.EventPeers); e.Peers != 1 || e.Added != 1 || e.Removed != 0 {
		t.Errorf("peers: %+v", e)
	}
	if err := mesh.Node(0).Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	wait(0, grid.EventDraining)
	if e := wait(1, grid.EventUnlinked); e.Peer != gridtest.Name(0) || e.Code != "drained" {
		t.Errorf("unlinked: %+v", e)
	}
}

// TestRefusalEvents: both sides of a handshake that is refused tell of it.
func TestRefusalEvents(t *testing.T) {
	events := make(chan grid.Event, 100)
	gridtest.New(t, 2, func(o *grid.Options) {
		if o.Local == gridtest.Name(1) {
			o.Grid = "another"
		}
		o.OnEvent = func(e grid.Event) {
			if e.Kind != grid.EventPeers {
				select {
				case events <- e:
				default: // they go on as long as the mesh is there
				}
			}
		}
	})
	seen := make(map[grid.EventKind]bool)
	for len(seen) < 2 {
		e := <-events
		if e.Code != "unknown-grid" || e.Peer == "" || e.Reason == "" {
			t.Fatalf("%+v", e)
		}
		seen[e.Kind] = true
	}
	if !seen[grid.EventRefused] || !seen[grid.EventRefusedBy] {
		t.Errorf("%v", seen)
	}
}
