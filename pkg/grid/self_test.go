package grid_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// TestSelfKnowsHandlersAtOnce: a node need not wait for news from itself.
func TestSelfKnowsHandlersAtOnce(t *testing.T) {
	m, err := grid.NewManager(t.Context(), grid.Options{Local: "node:1", InsecurePlainText: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	self := m.Connection(m.Local())
	for i := range 100 {
		h := grid.HandlerID(fmt.Sprintf("handler-%d", i))
		if err := m.RegisterSingle(h, func(context.Context, []byte) ([]byte, error) { return []byte(h), nil }); err != nil {
			t.Fatal(err)
		}
		if !self.Supports(h) {
			t.Errorf("%s is not known", h)
		}
		if reply, err := self.Request(t.Context(), h, nil); err != nil || string(reply) != string(h) {
			t.Errorf("%s: got %q and %v", h, reply, err)
		}
	}
}
