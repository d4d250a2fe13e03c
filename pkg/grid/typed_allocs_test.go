//go:build !race

package grid_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// TestTypedAllocations counts both sides of a call to oneself, which takes the
// same way as all others. The messages themselves need the struct on each
// side, the string on each side, and the handler's reply. Beyond that it is the
// handler's context and the encoded reply.
func TestTypedAllocations(t *testing.T) {
	const messages = 2 + 2 + 1
	m, err := grid.NewManager(t.Context(), grid.Options{Local: "node:1", InsecurePlainText: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := acquire.Register(m, grant); err != nil {
		t.Fatal(err)
	}
	c := m.Connection(m.Local())
	for !c.Supports(acquire.ID()) {
		runtime.Gosched()
	}
	ctx, args := t.Context(), &LockArgs{Owner: "me"}
	call := func() {
		if _, err := acquire.Call(ctx, c, args); err != nil {
			t.Error(err)
		}
	}
	for range 1000 {
		call()
	}
	// The least of several: a collection in between empties the pools.
	least := slices.Min([]float64{testing.AllocsPerRun(1000, call), testing.AllocsPerRun(1000, call), testing.AllocsPerRun(1000, call)})
	if least > messages+2 {
		t.Errorf("a call allocates %v times, its messages need %d, want 2 more at most", least, messages)
	}
	t.Logf("%v allocations, %d of them for the messages", least, messages)
}
