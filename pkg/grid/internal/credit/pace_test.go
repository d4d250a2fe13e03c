package credit

import (
	"math"
	"testing"
	"time"
)

// The pace's window, below, at and above: a byte over waits, but a chunk on an
// empty path always goes, however large.
func TestPaceAtItsLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	p := NewPace()
	if !p.Room(math.MaxInt32) {
		t.Error("nothing is on its way, and a chunk may not go")
	}
	p.Sent(startPace-10, now)
	for n, want := range map[int]bool{9: true, 10: true, 11: false} {
		if p.Room(n) != want {
			t.Errorf("room for %d with 10 left: %v", n, !want)
		}
	}
	if !p.Acked(startPace-10, now) || !p.Room(math.MaxInt32) {
		t.Error("all has been read, and a chunk may not go")
	}
}

// Counts beyond what was sent or backwards break the protocol and change nothing.
func TestPaceRefusesLies(t *testing.T) {
	now := time.Unix(1000, 0)
	p := NewPace()
	p.Sent(1000, now)
	if !p.Acked(600, now) {
		t.Fatal("an honest count was refused")
	}
	for name, total := range map[string]uint64{"backwards": 599, "one beyond": 1001, "2^63": 1 << 63, "2^64-1": math.MaxUint64} {
		before := p
		if p.Acked(total, now) {
			t.Errorf("%s: accepted", name)
		}
		if p != before {
			t.Errorf("%s: it changed the pace", name)
		}
	}
	for _, total := range []uint64{600, 1000} { // the same again, and all of it
		if !p.Acked(total, now) {
			t.Errorf("an honest count of %d was refused", total)
		}
	}
}

// travel sends rounds of bulk over a path whose acknowledgement takes trip.
func travel(p *Pace, now time.Time, rounds int, trip func() time.Duration) time.Time {
	for range rounds {
		n := int(p.Window())
		p.Sent(n, now)
		now = now.Add(trip())
		p.Acked(p.sent, now)
	}
	return now
}

// The window follows the path: it grows while nothing queues, shrinks while
// bulk stands in a queue, keeps to its bounds, and a long way alone costs
// nothing (field case 7).
func TestPaceFollowsThePath(t *testing.T) {
	now := time.Unix(1000, 0)
	constant := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	for _, trip := range []time.Duration{50 * time.Microsecond, 200 * time.Millisecond} {
		p := NewPace()
		travel(&p, now, 100, constant(trip))
		if p.Window() != maxPace {
			t.Errorf("a clear path with a round trip of %v: window %d, want %d", trip, p.Window(), maxPace)
		}
	}
	p := NewPace()
	at := travel(&p, now, 1, constant(time.Millisecond))
	at = travel(&p, at, 100, constant(50*time.Millisecond))
	if p.Window() != minPace {
		t.Errorf("a path with a standing queue: window %d, want %d", p.Window(), minPace)
	}
	// A route that got longer for good is believed after baseAge.
	at = travel(&p, at.Add(2*baseAge), 100, constant(50*time.Millisecond))
	if p.Window() != maxPace {
		t.Errorf("a longer route: window %d, want %d", p.Window(), maxPace)
	}
	// At the allowed delay it grows still, above it shrinks.
	for extra, grows := range map[time.Duration]bool{paceDelay: true, paceDelay + 1: false} {
		q := NewPace()
		end := travel(&q, at, 1, constant(time.Millisecond))
		before := q.Window()
		travel(&q, end, 1, constant(time.Millisecond+extra))
		if (q.Window() > before) != grows {
			t.Errorf("%v over the shortest trip: window went from %d to %d", extra, before, q.Window())
		}
	}
}
