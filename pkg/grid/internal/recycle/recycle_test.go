package recycle

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// lenient runs a test with a second release reported instead of a panic.
func lenient(t *testing.T) {
	was := strict.Load()
	Strict(false)
	releasing.Store(true)
	t.Cleanup(func() { Strict(was) })
}

func TestSecondReleaseIsFound(t *testing.T) {
	lenient(t)
	for _, n := range []int{0, 1, 100, 512, 4096, 64 << 10} {
		b := Get(n)
		if len(b) != n {
			t.Fatalf("%d bytes, want %d", len(b), n)
		}
		if !Release(b) {
			t.Fatalf("%d: first release refused", n)
		}
		if Release(b) {
			t.Fatalf("%d: second release not found", n)
		}
		other := Get(n) // the same array, with somebody else now
		if Release(b) {
			t.Fatalf("%d: second release not found once it was given again", n)
		}
		if !Release(other) {
			t.Fatalf("%d: the other's release was spoilt", n)
		}
	}
}

func TestArrayIsGivenAgainButNotForEver(t *testing.T) {
	lenient(t)
	classes[9].free = nil
	first := Get(300)
	Release(first)
	for i := range 10 * turns {
		b := Get(300)
		same := cap(b) != 1<<9
		if i < turns-1 && !same {
			t.Fatalf("turn %d: a new array though one was free", i)
		}
		Release(b)
	}
	if allocs := testing.AllocsPerRun(1000, func() { Release(Get(300)) }); allocs > 0.1 {
		t.Fatalf("%v allocations", allocs)
	}
}

func TestForeignBuffersAreLeftAlone(t *testing.T) {
	lenient(t)
	for _, b := range [][]byte{nil, {}, make([]byte, 5), make([]byte, 512), make([]byte, 500, 512), make([]byte, 1<<20)} {
		for range 2 {
			if !Release(b) {
				t.Errorf("cap %d: taken for ours", cap(b))
			}
		}
	}
	grown := Get(100)
	grown = append(grown, make([]byte, cap(grown)-100)...) // over the mark
	if !Release(grown) {
		t.Error("a grown buffer is its user's")
	}
	cut := Get(100)[1:]
	_ = Release(cut) // found or left alone; what matters is that nobody gets it twice
	a, b := Get(100), Get(100)
	a[0], b[0] = 1, 2
	if a[0] != 1 {
		t.Error("two users share memory")
	}
}

func TestStrictPoisonsAndPanics(t *testing.T) {
	lenient(t)
	Strict(true)
	b := Get(100)
	b[7] = 1
	Release(b)
	if b[7] != 0xDB {
		t.Error("not poisoned")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Release(b)
}

// Whatever goroutines do, no array has two users.
func TestNoArrayHasTwoUsers(t *testing.T) {
	lenient(t)
	var wg sync.WaitGroup
	for g := range byte(8) {
		wg.Go(func() {
			var held [][]byte
			for range 20000 {
				if len(held) < 20 && rand.IntN(2) == 0 {
					b := Get(rand.IntN(2000) + 1)
					for i := range b {
						b[i] = g
					}
					held = append(held, b)
				} else if len(held) > 0 {
					i := rand.IntN(len(held))
					for _, v := range held[i] {
						if v != g {
							t.Error("somebody else wrote here")
							return
						}
					}
					if !Release(held[i]) {
						t.Error("refused")
					}
					Release(held[i]) // the fault that must harm nobody
					held = append(held[:i], held[i+1:]...)
				}
			}
		})
	}
	wg.Wait()
}
