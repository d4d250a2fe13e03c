package grid_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// haunted is a connection of node 0 whose calls find a link that has ended.
func haunted(t *testing.T) (*gridtest.Mesh, *grid.Connection) {
	mesh := fieldMesh(t)
	c := mesh.Conn(0, 1)
	ended := grid.LinkOf(c)
	mesh.Isolate(1)
	synctest.Wait()
	if c.State() == grid.StateLinked || grid.LinkOf(c) != nil {
		t.Fatal("still linked")
	}
	grid.SetLink(c, ended)
	return mesh, c
}

// Who waits for a link waits for the next one, also while the last one has
// ended and nobody has taken it away; who does not is told at once.
func TestWaitersPassOverALinkThatHasEnded(t *testing.T) {
	for name, call := range map[string]func(*testing.T, *grid.Connection) error{
		"request": func(t *testing.T, c *grid.Connection) error {
			_, err := c.Request(t.Context(), "echo", nil)
			return err
		},
		"stream": func(t *testing.T, c *grid.Connection) error {
			s, err := c.OpenStream(t.Context(), "deaf", nil)
			if err == nil {
				s.Cancel(nil)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mesh, c := haunted(t)
				if err := call(t, c); !errors.Is(err, grid.ErrDisconnected) || grid.OutcomeOf(err) != grid.NotSent {
					t.Errorf("without waiting: %v", err)
				}
				time.AfterFunc(time.Second, func() { mesh.Rejoin(1) })
				if err := call(t, c.With(grid.CallOptions{WaitForLink: true})); err != nil {
					t.Errorf("waiting: %v", err)
				}
			})
		})
	}
}
