package feed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// TestNotifier: whoever says that a Grid has changed never waits, nothing is
// forgotten, and a Grid that changes all the time is told of at a pace.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = n.Start(ctx) })
		busy, quiet := types.NamespacedName{Name: "busy"}, types.NamespacedName{Name: "quiet"}
		for range 1000 { // nobody reads yet
			n.changed(busy)
		}
		n.changed(quiet)
		got := make(map[string]int)
		wg.Go(func() {
			for {
				select {
				case e := <-n.changes:
					got[e.Object.GetName()]++
				case <-ctx.Done():
					return
				}
			}
		})
		synctest.Wait()
		if got["busy"] < 1 || got["busy"] > 2 || got["quiet"] != 1 {
			t.Errorf("at first: %v", got)
		}
		begin := got["busy"]
		for range 100 {
			n.changed(busy)
			time.Sleep(notifyPace / 10)
		}
		time.Sleep(notifyPace)
		synctest.Wait()
		if told := got["busy"] - begin; told < 9 || told > 12 {
			t.Errorf("told of %d times in 10 paces", told)
		}
		cancel()
		wg.Wait()
	})
}

// TestLanes: a dead pod holds a quick place for quickTime, and a place is given
// back once.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes()
		begin := time.Now()
		var leaves []func()
		for range 3 * quickSlots {
			leave, err := l.enter(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		if took := time.Since(begin); took != 2*quickTime {
			t.Errorf("three times as many as there are places waited %v, want %v", took, 2*quickTime)
		}
		for _, leave := range leaves {
			leave()
			leave()
		}
		if len(l.quick) != 0 || len(l.slow) != 0 {
			t.Errorf("%d and %d places are taken", len(l.quick), len(l.slow))
		}
		for range slowSlots {
			if _, err := l.enter(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.enter(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one too many: got %v", err)
		}
		if leave, err := l.enter(ctx, true); err == nil || leave != nil {
			t.Error("entered after the end")
		}
	})
}

// TestMetrics: they register, and no label grows with Grids or pods.
func TestMetrics(t *testing.T) {
	m := newMetrics()
	registry := prometheus.NewPedanticRegistry()
	if err := errors.Join(m.register(nil), m.register(registry)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		m.published(&published{fresh: true, broken: fmt.Errorf("no. %d", i)}, nil, time.Millisecond)
		m.published(&published{}, &Problem{Reason: ReasonNameConflict, Message: strconv.Itoa(i)}, time.Millisecond)
		m.published(&published{}, fmt.Errorf("no. %d", i), time.Millisecond)
		m.attempt(i%2 == 0, nil, time.Second, i%3 == 0)
		m.attempt(i%2 == 0, &refusal{status: 400 + i, text: strconv.Itoa(i)}, time.Second, false)
		m.attempt(i%2 == 0, fmt.Errorf("no. %d", i), time.Second, false)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 6 {
		t.Errorf("%d metrics", len(families))
	}
	for _, family := range families {
		if n := len(family.GetMetric()); n > 6 {
			t.Errorf("%s has %d series", family.GetName(), n)
		}
	}
}
