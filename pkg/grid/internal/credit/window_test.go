package credit

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What a message takes of a window, below, at and above each limit: whole
// messages, and bytes up to half of the window (fault rows 27, 30).
func TestWindowAtItsLimits(t *testing.T) {
	for name, c := range map[string]struct {
		msgs, bytes int64
		take        []int
		left        int64 // bytes after all but the last
		last        bool  // whether the last is let through
	}{
		"a message below the window":          {2, 100, []int{10, 49}, 90, true},
		"bytes to the last one":               {9, 100, []int{50, 50}, 50, true},
		"one byte over":                       {9, 100, []int{50, 1, 50}, 49, false},
		"the last message":                    {2, 100, []int{0, 0}, 100, true},
		"one message over":                    {2, 100, []int{0, 0, 0}, 100, false},
		"an empty one when bytes are gone":    {3, 100, []int{50, 50, 0}, 0, true},
		"half the window":                     {9, 100, []int{50}, 100, true},
		"larger than the window costs half":   {9, 100, []int{101, 1 << 30}, 50, true},
		"a third that is larger waits":        {9, 100, []int{101, 101, 101}, 0, false},
		"no messages at all":                  {0, 100, []int{0}, 100, false},
		"a window of one byte":                {2, 1, []int{1, 1}, 1, true},
		"an odd window keeps the middle byte": {9, 101, []int{50, 50, 2}, 1, false},
	} {
		w := NewWindow(c.msgs, c.bytes)
		for i, n := range c.take {
			last := i == len(c.take)-1
			if last && w.bytes != c.left {
				t.Errorf("%s: %d bytes left, want %d", name, w.bytes, c.left)
			}
			msgs, bytes := w.msgs, w.bytes
			got := w.Take(n)
			if want := !last || c.last; got != want {
				t.Errorf("%s: message %d of %d bytes: %v, want %v", name, i, n, got, want)
			}
			if !got && (w.msgs != msgs || w.bytes != bytes) {
				t.Errorf("%s: a refused message cost %d messages and %d bytes", name, msgs-w.msgs, bytes-w.bytes)
			}
			if got && (w.msgs != msgs-1 || w.bytes != bytes-w.Cost(n)) {
				t.Errorf("%s: message %d took %d messages and %d bytes, want 1 and %d", name, i, msgs-w.msgs, bytes-w.bytes, w.Cost(n))
			}
		}
		if w.Usable() != (c.msgs > 0) {
			t.Errorf("%s: usable is %v", name, w.Usable())
		}
	}
}

// A grant never lifts the window above what was announced, however it is
// written (fault row 31).
func TestGrantNeverLiftsTheWindow(t *testing.T) {
	for name, c := range map[string]struct {
		msgs, bytes uint64
		ok          bool
	}{
		"nothing":            {0, 0, true},
		"less than used":     {1, 9, true},
		"exactly what used":  {2, 30, true},
		"a message over":     {3, 30, false},
		"a byte over":        {2, 31, false},
		"messages of 2^31":   {1 << 31, 0, false},
		"messages of 2^63":   {1 << 63, 0, false},
		"messages of 2^64-1": {math.MaxUint64, 0, false},
		"bytes of 2^63":      {0, 1 << 63, false},
		"bytes of 2^64-1":    {0, math.MaxUint64, false},
	} {
		w := NewWindow(5, 100)
		for _, n := range []int{10, 20} {
			if !w.Take(n) {
				t.Fatal("no credit in a new window")
			}
		}
		err := w.Give(c.msgs, c.bytes)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		msgs, bytes := int64(3), int64(70)
		if c.ok {
			msgs, bytes = msgs+int64(c.msgs), bytes+int64(c.bytes)
		}
		if w.msgs != msgs || w.bytes != bytes {
			t.Errorf("%s: left with %d messages and %d bytes, want %d and %d", name, w.msgs, w.bytes, msgs, bytes)
		}
	}
}

// The receiver finds the first message and the first byte over (fault row 30),
// and a message refused leaves its account as it was.
func TestReceiptFindsTheFirstOver(t *testing.T) {
	for name, sizes := range map[string][]int{
		"a message over":          {1, 1, 1, 1},
		"an empty message over":   {0, 0, 0, 0},
		"a byte over":             {50, 49, 2},
		"a third beyond its half": {1 << 20, 1 << 20, 1},
	} {
		r := NewReceipt(3, 100)
		last := len(sizes) - 1
		for _, n := range sizes[:last] {
			if err := r.Arrived(n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		before := r
		if err := r.Arrived(sizes[last]); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if r != before {
			t.Errorf("%s: the refused message changed the account", name)
		}
	}
}

// Grants are held back until half of the window was read, not longer, and
// give back exactly what was read.
func TestGrantsAreHeldBackToHalf(t *testing.T) {
	for name, c := range map[string]struct {
		msgs, bytes int64
		read        []int
		due         int // the read that brings the grant
	}{
		"by messages":         {4, 1000, []int{0, 0}, 1},
		"by messages, odd":    {5, 1000, []int{1, 1, 1}, 2},
		"a single message":    {1, 1000, []int{1}, 0},
		"by bytes":            {100, 1000, []int{499, 1}, 1},
		"by one large":        {100, 1000, []int{5000}, 0},
		"a window of a byte":  {100, 1, []int{1}, 0},
		"just below the half": {100, 1000, []int{499, 0, 1}, 2},
	} {
		r := NewReceipt(c.msgs, c.bytes)
		var cost int64
		for i, n := range c.read {
			if err := r.Arrived(n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cost += r.out.Cost(n)
			msgs, bytes := r.Read(n)
			switch {
			case i < c.due && msgs+bytes != 0:
				t.Errorf("%s: granted %d and %d at read %d already", name, msgs, bytes, i)
			case i == c.due && (msgs != uint64(len(c.read)) || bytes != uint64(cost)):
				t.Errorf("%s: granted %d messages and %d bytes, want %d and %d", name, msgs, bytes, len(c.read), cost)
			}
		}
	}
}

// A sender and a receiver with any window and messages of any size, larger
// than the window included, with frames and grants under way for any time:
// the sender is never stuck while the receiver has read all, the receiver never
// sees a violation, and in the end both accounts say the same and balance.
func TestCreditNeverDeadlocksAndBalances(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		msgs, bytes := 1+rnd.Int64N(20), 1+rnd.Int64N(1+rnd.Int64N(2000))
		w, r := NewWindow(msgs, bytes), NewReceipt(msgs, bytes)
		size := func() int { return int(rnd.Int64N(1 + rnd.Int64N(3*bytes))) }
		var flying, queued []int           // messages under way, and arrived and unread
		var grants [][2]uint64             // grants under way
		next, left := size(), 10*int(msgs) // messages to be sent
		for steps := 0; left > 0 || len(flying)+len(queued)+len(grants) > 0; steps++ {
			if steps > 100_000 {
				t.Fatalf("seed %d: no end with a window of %d messages and %d bytes", seed, msgs, bytes)
			}
			stuck := true
			if left > 0 && w.Take(next) {
				flying = append(flying, next)
				next, left, stuck = size(), left-1, false
			}
			if len(flying) > 0 && rnd.IntN(3) > 0 {
				if err := r.Arrived(flying[0]); err != nil {
					t.Fatalf("seed %d: an honest sender broke the rules: %v", seed, err)
				}
				queued, flying = append(queued, flying[0]), flying[1:]
			}
			if len(queued) > 0 && rnd.IntN(3) > 0 {
				if m, b := r.Read(queued[0]); m > 0 {
					grants = append(grants, [2]uint64{m, b})
				}
				queued = queued[1:]
			}
			if len(grants) > 0 && rnd.IntN(3) > 0 {
				if err := w.Give(grants[0][0], grants[0][1]); err != nil {
					t.Fatalf("seed %d: an honest receiver broke the rules: %v", seed, err)
				}
				grants = grants[1:]
			}
			if stuck && left > 0 && len(flying)+len(queued)+len(grants) == 0 && !fits(&w, next) {
				t.Fatalf("seed %d: all is read and granted, and a message of %d bytes does not go (%d messages, %d bytes left of %d and %d)",
					seed, next, w.msgs, w.bytes, msgs, bytes)
			}
		}
		if w.msgs+r.msgs != msgs || w.bytes+r.bytes != bytes {
			t.Fatalf("seed %d: the sender has %d and %d, the receiver holds back %d and %d, of %d and %d",
				seed, w.msgs, w.bytes, r.msgs, r.bytes, msgs, bytes)
		}
		if r.out.msgs != w.msgs || r.out.bytes != w.bytes {
			t.Fatalf("seed %d: the receiver thinks the sender has %d and %d, it has %d and %d", seed, r.out.msgs, r.out.bytes, w.msgs, w.bytes)
		}
	}
}

// fits reports whether a message would go, without sending it.
func fits(w *Window, n int) bool {
	probe := *w
	return probe.Take(n)
}
