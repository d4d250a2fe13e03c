package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun: under the race detector it also shows that nobody else was inside.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if want := "3 nodes counted to 30\n2 nodes counted to 50\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestLockedEnds: who does not get the lock gives up with its context.
func TestLockedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := gridtest.New(t, 3)
		var nodes []*node
		mesh.Register(func(m *grid.Manager) error {
			n := &node{Manager: m, granted: map[string]lease{}}
			nodes = append(nodes, n)
			return claims.Register(m, n.claim)
		})
		mesh.WaitLinked()
		err := nodes[0].locked(t.Context(), "a", func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := nodes[1].locked(ctx, "a", func() { t.Error("two are inside") }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the second: got %v, want its deadline's error", err)
			}
			if err := nodes[1].locked(t.Context(), "b", func() {}); err != nil {
				t.Errorf("another lock: %v", err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		// One that died inside holds the others up for as long as its lease.
		mesh.Isolate(2)
		for _, n := range nodes[:2] {
			_, _ = n.claim(t.Context(), &Claim{"a", gridtest.Name(2), 10 * time.Second})
		}
		start := time.Now()
		if err := nodes[0].locked(t.Context(), "a", func() {}); err != nil || time.Since(start) < 9*time.Second {
			t.Errorf("got the lock of the dead after %v, and %v", time.Since(start), err)
		}
	})
}
