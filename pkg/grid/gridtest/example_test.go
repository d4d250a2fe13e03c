package gridtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// register registers the handlers of the program under test.
func register(m *grid.Manager) error {
	return m.RegisterSingle("whoami", func(context.Context, []byte) ([]byte, error) { return []byte(m.Local()), nil })
}

// TestExampleCall: the least that a test needs.
func TestExampleCall(t *testing.T) {
	mesh := gridtest.New(t, 3)
	mesh.Register(register)
	mesh.WaitLinked()

	reply, err := mesh.Conn(0, 2).Request(t.Context(), "whoami", nil)
	if err != nil || string(reply) != gridtest.Name(2) {
		t.Errorf("got %q and %v", reply, err)
	}
}

// TestExampleLoss: what does the program do while a node is away?
func TestExampleLoss(t *testing.T) {
	mesh := gridtest.New(t, 3)
	mesh.Register(register)
	mesh.WaitLinked()

	mesh.Isolate(2)
	good, err := mesh.Node(0).Quorum(t.Context(), "whoami", nil, 2, grid.FanOut{Local: true})
	if err != nil || len(good) != 2 {
		t.Errorf("without node 2: got %d answers and %v, want 2", len(good), err)
	}
	mesh.Rejoin(2)
	mesh.WaitLinked()
	good, err = mesh.Node(0).Quorum(t.Context(), "whoami", nil, 3, grid.FanOut{Local: true})
	if err != nil || len(good) != 3 {
		t.Errorf("with node 2: got %d answers and %v, want 3", len(good), err)
	}
}

// TestExampleBubble: in a bubble of testing/synctest time is fake, so that a
// wire which is silent for fifteen seconds costs none.
func TestExampleBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := gridtest.New(t, 2, func(o *grid.Options) { o.DefaultTimeout = -1 })
		mesh.Register(register)
		mesh.WaitLinked()

		mesh.Slow(0, 1, 50*time.Millisecond, 0)
		start := time.Now()
		if _, err := mesh.Conn(0, 1).Request(t.Context(), "whoami", nil); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("a call over 50 ms each way took %v", took)
		}

		mesh.Stall(0, 1)
		_, err := mesh.Conn(0, 1).Request(t.Context(), "whoami", nil)
		if !errors.Is(err, grid.ErrDisconnected) || grid.OutcomeOf(err) != grid.MaybeProcessed {
			t.Errorf("over a dead wire: got %v, want ErrDisconnected and MaybeProcessed", err)
		}
	})
}
