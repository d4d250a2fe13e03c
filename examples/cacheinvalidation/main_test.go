package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for i, color := range []string{"red", "green", "blue"} {
		if !strings.Contains(out.String(), "wrote "+color+", and all caches have it\n") {
			t.Errorf("%d: no line says %s: %q", i, color, out.String())
		}
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestCutOff: a node that might miss a write does not trust its cache.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := gridtest.New(t, 3)
		var db sync.Map
		var nodes []*node
		for i := range mesh.Len() {
			n, err := newNode(t.Context(), mesh.Node(i), &db)
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		settle := func() {
			mesh.WaitLinked()
			<-time.After(time.Second)
		}
		check := func(when string, want any, cached ...bool) {
			t.Helper()
			for i, n := range nodes {
				if v := n.get("color"); v != want || n.caches("color") != cached[i] {
					t.Errorf("%s: node %d reads %v and caches it: %v; want %v and %v", when, i, v, n.caches("color"), want, cached[i])
				}
			}
		}
		settle()
		nodes[0].set(t.Context(), "color", "red")
		synctest.Wait()
		check("linked", "red", true, true, true)
		mesh.Isolate(2)
		nodes[0].set(t.Context(), "color", "green")
		synctest.Wait()
		check("cut off", "green", false, false, false)
		mesh.Rejoin(2)
		settle()
		check("linked again", "green", true, true, true)
		nodes[2].set(t.Context(), "color", "blue")
		synctest.Wait()
		check("written by the one that was cut off", "blue", true, true, true)
		nodes[1].set(t.Context(), "size", 1)
		synctest.Wait()
		check("another key written", "blue", true, true, true)
	})
}
