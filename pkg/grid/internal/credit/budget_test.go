package credit

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// used checks what is taken of budgets.
func used(t *testing.T, what string, want int64, bs ...*Budget) {
	t.Helper()
	for i, b := range bs {
		if got := b.Used(); got != want {
			t.Errorf("%s: budget %d has %d in use, want %d", what, i, got, want)
		}
	}
}

// Below, at and above each limit, the link's and the process' (fault row 50).
func TestBudgetAtItsLimits(t *testing.T) {
	for name, c := range map[string]struct {
		own, process, taken, n int64
		ok                     bool
	}{
		"below both":          {100, 1000, 50, 49, true},
		"at the link's":       {100, 1000, 50, 50, true},
		"above the link's":    {100, 1000, 50, 51, false},
		"at the process'":     {1000, 100, 50, 50, true},
		"above the process'":  {1000, 100, 50, 51, false},
		"nothing, when full":  {100, 100, 100, 0, true},
		"above by itself":     {100, 1000, 0, 101, false},
		"larger than process": {1000, 100, 0, 101, false},
	} {
		process := NewBudget(c.process, nil)
		b := NewBudget(c.own, process)
		if !b.Try(c.taken) {
			t.Fatalf("%s: could not take %d", name, c.taken)
		}
		if got := b.Try(c.n); got != c.ok {
			t.Errorf("%s: %v", name, got)
		}
		want := c.taken
		if c.ok {
			want += c.n
		}
		used(t, name, want, b, process)
	}
}

// What is refused for the process' sake costs nothing, however often it is
// tried: else its account would drift and the bound be none.
func TestRefusedTryLeavesNoTrace(t *testing.T) {
	process := NewBudget(100, nil)
	a, b := NewBudget(1000, process), NewBudget(1000, process)
	if !a.Try(90) {
		t.Fatal("could not take 90")
	}
	for range 1000 {
		if b.Try(11) {
			t.Fatal("took more than the process has")
		}
	}
	used(t, "after refusals", 90, a, process)
	used(t, "after refusals", 0, b)
	a.Give(90)
	used(t, "in the end", 0, a, b, process)
}

// Claims are served in order, and nothing overtakes them: a large one does not starve.
func TestClaimsAreServedInOrder(t *testing.T) {
	process := NewBudget(100, nil)
	b := NewBudget(100, process)
	var order []int
	claim := func(i int, n int64) *Claim { return b.Claim(n, func() { order = append(order, i) }) }
	first := claim(0, 60)
	large := claim(1, 100)
	small := claim(2, 10)
	if !slices.Equal(order, []int{0}) {
		t.Fatalf("granted %v, want the first alone", order)
	}
	if b.Try(1) {
		t.Error("one byte overtook the claims that wait")
	}
	first.Release()
	if !slices.Equal(order, []int{0, 1}) {
		t.Fatalf("granted %v, want the large one next", order)
	}
	large.Release()
	if !slices.Equal(order, []int{0, 1, 2}) {
		t.Fatalf("granted %v, want all", order)
	}
	small.Release()
	used(t, "in the end", 0, b, process)
}

// A claim given up while it waits, at its own budget or at its parent's, lets
// those behind it go on, takes nothing and is never granted.
func TestClaimGivenUpWhileWaiting(t *testing.T) {
	for name, limits := range map[string][2]int64{"at its own": {100, 1000}, "at the parent's": {1000, 100}} {
		process := NewBudget(limits[1], nil)
		b := NewBudget(limits[0], process)
		var granted []string
		claim := func(who string, n int64) *Claim { return b.Claim(n, func() { granted = append(granted, who) }) }
		first := claim("first", 60)
		given := claim("given up", 50)
		last := claim("last", 40)
		if !slices.Equal(granted, []string{"first"}) {
			t.Fatalf("%s: granted %q", name, granted)
		}
		given.Release()
		given.Release()
		if !slices.Equal(granted, []string{"first", "last"}) {
			t.Errorf("%s: granted %q after the one between was given up", name, granted)
		}
		used(t, name, 100, b, process)
		last.Release()
		first.Release()
		first.Release() // a second release does nothing
		used(t, name+", in the end", 0, b, process)
	}
}

// Each rank below, at and above what it may take, the link's and the process'.
func TestRanksAtTheirLimits(t *testing.T) {
	for name, limits := range map[string][2]int64{"the link's": {100, 1000}, "the process'": {1000, 100}} {
		for rank, room := range map[Rank]int64{Ahead: 60, Handed: 80, Wanted: 100} {
			for _, n := range []int64{room - 1, room, room + 1} {
				process := NewRanked(limits[1], 20, nil)
				b := NewRanked(limits[0], 20, process)
				granted := false
				c := b.ClaimFor(rank, n, func() { granted = true })
				if granted != (n <= room) {
					t.Errorf("%s, rank %d: granted %d of %d is %v", name, rank, n, room, granted)
				}
				c.Release()
				used(t, name, 0, b, process)
			}
		}
	}
}

// Whatever lies about at the lower ranks, and however much of it waits, what
// is wanted gets its bytes at once, up to the bytes that are kept; and what
// waits at a lower rank gets them once it is wanted.
func TestWantedDoesNotWaitForWhatLiesAbout(t *testing.T) {
	for name, limits := range map[string][2]int64{"the link's": {100, 1000}, "the process'": {1000, 100}} {
		process := NewRanked(limits[1], 20, nil)
		b := NewRanked(limits[0], 20, process)
		var granted []string
		claim := func(rank Rank, who string, n int64) *Claim {
			return b.ClaimFor(rank, n, func() { granted = append(granted, who) })
		}
		lying := []*Claim{claim(Ahead, "a", 30), claim(Ahead, "b", 30), claim(Ahead, "c", 30), claim(Handed, "d", 20), claim(Handed, "e", 20)}
		if !slices.Equal(granted, []string{"a", "b", "d"}) {
			t.Fatalf("%s: granted %q", name, granted)
		}
		for range 3 {
			granted = nil
			wanted := claim(Wanted, "wanted", 20)
			if !slices.Equal(granted, []string{"wanted"}) {
				t.Fatalf("%s: granted %q", name, granted)
			}
			wanted.Release()
			if len(granted) != 1 {
				t.Errorf("%s: granted %q when the wanted one was given back", name, granted)
			}
		}
		granted = nil
		lying[4].Raise(Wanted)
		lying[4].Raise(Handed) // it never sinks
		if !slices.Equal(granted, []string{"e"}) {
			t.Errorf("%s: granted %q to the one raised", name, granted)
		}
		lying[4].Raise(Wanted)
		late := claim(Wanted, "late", 20)
		lying[2].Raise(Wanted) // behind it
		granted = nil
		lying[4].Release()
		lying[0].Release()
		if !slices.Equal(granted, []string{"late", "c"}) {
			t.Errorf("%s: granted %q in the end", name, granted)
		}
		for _, c := range append(lying, late) {
			c.Release()
			c.Raise(Wanted) // after its end it does nothing
		}
		used(t, name, 0, b, process)
	}
}

// What waits at a higher rank is passed by nothing of a lower one.
func TestHigherRanksGoFirst(t *testing.T) {
	b := NewRanked(100, 10, nil)
	var granted []string
	claim := func(rank Rank, who string, n int64) *Claim {
		return b.ClaimFor(rank, n, func() { granted = append(granted, who) })
	}
	all := []*Claim{claim(Wanted, "first", 70), claim(Ahead, "ahead", 10), claim(Wanted, "large", 40), claim(Handed, "handed", 1), claim(Ahead, "more", 1)}
	if !slices.Equal(granted, []string{"first", "ahead"}) {
		t.Fatalf("granted %q", granted)
	}
	all[0].Release()
	if !slices.Equal(granted, []string{"first", "ahead", "large", "handed", "more"}) {
		t.Errorf("granted %q", granted)
	}
	for _, c := range all {
		c.Release()
	}
	used(t, "in the end", 0, b)
}

// Many claims and tries at once, some given up while they wait, over links of
// one process: never more in use than the limits, each claim granted at most
// once and every one that nobody gave up, no deadlock, and all back in the end.
func TestBudgetUnderLoad(t *testing.T) {
	const own, whole = 1000, 1500
	process := NewRanked(whole, own/4, nil)
	links := []*Budget{NewRanked(own, own/4, process), NewRanked(own, own/4, process), NewRanked(own, own/4, process)}
	var held [3]atomic.Int64
	var all atomic.Int64
	take := func(i int, n int64) {
		if h := held[i].Add(n); h > own {
			t.Errorf("link %d holds %d of %d", i, h, own)
		}
		if h := all.Add(n); h > whole {
			t.Errorf("the process holds %d of %d", h, whole)
		}
	}
	drop := func(i int, n int64) { // before the bytes are given: who gets them may already hold
		held[i].Add(-n)
		all.Add(-n)
	}
	var wg sync.WaitGroup
	for worker := range uint64(12) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(worker, 2))
			for range 3000 {
				i, n := rnd.IntN(len(links)), rnd.Int64N(own+1)
				b := links[i]
				if rnd.IntN(3) == 0 {
					if b.Try(n) {
						take(i, n)
						drop(i, n)
						b.Give(n)
					}
					continue
				}
				granted := make(chan struct{}, 2)
				c := b.ClaimFor(Rank(rnd.IntN(int(ranks))), n, func() { granted <- struct{}{} })
				if rnd.IntN(2) == 0 {
					if rnd.IntN(2) == 0 {
						c.Raise(Handed) // likewise
					}
					c.Release() // granted or not: it races with whoever gives
					continue
				}
				c.Raise(Wanted) // as it must be, or it may wait for ever
				<-granted
				take(i, n)
				if len(granted) != 0 {
					t.Error("granted twice")
				}
				drop(i, n)
				c.Release()
			}
		})
	}
	wg.Wait()
	used(t, "in the end", 0, process, links[0], links[1], links[2])
	for i, b := range append(links, process) {
		if b.waitingLocked() != 0 {
			t.Errorf("budget %d: %d claims are left in line", i, b.waitingLocked())
		}
	}
}
