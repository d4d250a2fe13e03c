//go:build !race

// The race detector allocates by itself; make test runs these without it.

package link

import (
	"context"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/recycle"
)

// What a call allocates, both ends together, over a transport that allocates
// nothing: the request its handler keeps, the handler's context, the reply its
// caller keeps; and fewer for who appends and releases.
func TestCallAllocations(t *testing.T) {
	released := &Handler{Name: "released", Single: func(_ context.Context, _ *Incoming, req []byte) ([]byte, error) {
		n := len(req)
		recycle.Release(req)
		return reply[:n], nil
	}}
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{echo(), released})
	req, dst := make([]byte, 512), make([]byte, 0, 512)
	for name, c := range map[string]struct {
		call Call
		want float64
	}{
		"request":            {Call{Handler: "echo", Body: req}, 3},
		"append":             {Call{Handler: "echo", Body: req, Dst: dst}, 2},
		"append and release": {Call{Handler: "released", Body: req, Dst: dst}, 1},
		"default time-out":   {Call{Handler: "echo", Body: req, Timeout: time.Minute, Expire: true}, 3},
	} {
		call := c.call
		got := testing.AllocsPerRun(5000, func() {
			if _, err := x.Call(context.Background(), &call); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.want {
			t.Errorf("%s: %v allocations, want at most %v", name, got, c.want)
		}
	}
}

var reply = make([]byte, 4096)
