package mux

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// collect gives what is in a table, by way of All.
func collect(t *testing.T, tab *Table[int]) map[uint64]int {
	t.Helper()
	all := map[uint64]int{}
	for id, v := range tab.All() {
		if _, twice := all[id]; twice {
			t.Errorf("id %d twice", id)
		}
		all[id] = v
	}
	return all
}

// The table against Go's map, under rising ids with short and long lives, in
// numbers that make the ring grow, overflow and be dropped.
func TestTableIsAMap(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var tab Table[int]
		model := map[uint64]int{}
		var live []uint64
		next := rnd.Uint64N(1 << 40)
		target := 1 << rnd.IntN(13) // so many at once, more or less
		for step := range 20_000 {
			switch what := rnd.IntN(10); {
			case what < 5 && len(live) < 2*target || len(live) == 0:
				next += 1 + rnd.Uint64N(1+rnd.Uint64N(4))
				if rnd.IntN(1000) == 0 {
					next += rnd.Uint64N(maxRing * 3) // ids far apart meet in one slot
				}
				tab.Put(next, step)
				model[next] = step
				live = append(live, next)
			case what < 9:
				i := rnd.IntN(len(live)) // mostly young ones, as calls are
				if rnd.IntN(4) > 0 {
					i = len(live) - 1 - rnd.IntN(min(len(live), 8))
				}
				id := live[i]
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
				v, ok := tab.Take(id)
				if !ok || v != model[id] {
					t.Fatalf("seed %d: take %d: %d, %v, want %d", seed, id, v, ok, model[id])
				}
				delete(model, id)
				if _, ok := tab.Take(id); ok {
					t.Fatalf("seed %d: %d was taken twice", seed, id)
				}
			default:
				id := next - rnd.Uint64N(2*uint64(target)) + 1 // there or not
				v, ok := tab.Get(id)
				if want, in := model[id]; ok != in || v != want {
					t.Fatalf("seed %d: get %d: %d, %v, want %d, %v", seed, id, v, ok, want, in)
				}
			}
			if tab.Len() != len(model) {
				t.Fatalf("seed %d: %d ids, want %d", seed, tab.Len(), len(model))
			}
			if step%2000 == 0 && !maps.Equal(collect(t, &tab), model) {
				t.Fatalf("seed %d: All differs from the map after %d steps", seed, step)
			}
		}
		for _, id := range live {
			if v, ok := tab.Take(id); !ok || v != model[id] {
				t.Fatalf("seed %d: at the end, take %d: %d, %v, want %d", seed, id, v, ok, model[id])
			}
		}
		if tab.Len() != 0 || len(collect(t, &tab)) != 0 {
			t.Fatalf("seed %d: %d ids are left", seed, tab.Len())
		}
	}
}

// Ids that nobody put, the largest ones and 0, which marks a free slot, are not there.
func TestTableWithoutTheID(t *testing.T) {
	var tab Table[string]
	for _, id := range []uint64{0, 1, 16, 1 << 63, 1<<64 - 1} {
		if _, ok := tab.Get(id); ok {
			t.Errorf("an empty table has %d", id)
		}
		if _, ok := tab.Take(id); ok {
			t.Errorf("an empty table gave %d", id)
		}
	}
	tab.Put(1, "one")
	tab.Put(1<<64-1, "last")
	for id, want := range map[uint64]string{0: "", 1: "one", 17: "", 33: "", 1 << 63: "", 1<<64 - 1: "last"} {
		if v, ok := tab.Get(id); v != want || ok != (want != "") {
			t.Errorf("%d: %q, %v, want %q", id, v, ok, want)
		}
	}
}

// A burst's memory goes when it is over (fault row 41), and calls that live
// long cost a bounded ring, however many have come and gone since.
func TestTableIsAsLargeAsWhatLives(t *testing.T) {
	var tab Table[int]
	for id := range uint64(100_000) {
		tab.Put(id+1, 0)
	}
	if len(tab.ring) != maxRing {
		t.Fatalf("a ring of %d slots for 100,000 ids, want %d", len(tab.ring), maxRing)
	}
	for id := range uint64(100_000) {
		tab.Take(id + 1)
	}
	if tab.ring != nil || tab.over != nil {
		t.Errorf("%d slots and %d others are left of a burst", len(tab.ring), len(tab.over))
	}
	tab.Put(1, 0) // one that lives long
	for id := range uint64(1_000_000) {
		tab.Put(id+2, 0)
		tab.Take(id + 2)
	}
	if len(tab.ring) > 2*minRing || len(tab.over) != 0 || tab.Len() != 1 {
		t.Errorf("%d slots and %d others for one id", len(tab.ring), len(tab.over))
	}
}

// The walk ends when its user does.
func TestTableWalkCanStop(t *testing.T) {
	var tab Table[int]
	for _, id := range []uint64{1, 1 + minRing, 1 + 2*minRing, 4} { // in the ring and beside it
		tab.Put(id, 0)
	}
	for stop := 1; stop <= 4; stop++ {
		seen := 0
		for range tab.All() {
			if seen++; seen == stop {
				break
			}
		}
		if seen != stop {
			t.Errorf("saw %d, want %d", seen, stop)
		}
	}
}
