package credit

import "time"

// Bounds of a Pace's window, in bytes, and the standing delay that it allows.
const (
	minPace   = 128 << 10
	maxPace   = 64 << 20
	startPace = 512 << 10
	// paceDelay is the queueing that bulk may cause in front of a small call.
	paceDelay = time.Millisecond
	// baseAge is how long the shortest round trip seen is believed: routes change.
	baseAge = 10 * time.Second
)

// Pace bounds the bulk bytes that are on their way but not yet read by the
// other side, so that a small call doesn't wait behind megabytes that lie in
// socket buffers. It follows the path: while an acknowledgement comes back
// within paceDelay of the shortest round trip, the window grows; when it takes
// longer, bulk stands in a queue somewhere and the window shrinks. A long round
// trip by itself costs nothing.
type Pace struct {
	window    int64
	sent      uint64 // bytes of chunks handed out so far
	acked     uint64
	base      time.Duration // shortest round trip of the last baseAge
	baseSince time.Time
	probe     uint64    // an acknowledgement that reaches here ends the round
	probeAt   time.Time // when the round began; zero: none
}

// NewPace gives the pace of a new link.
func NewPace() Pace { return Pace{window: startPace} }

// Room reports whether n more bytes may go now. A single chunk always may when nothing is on its way.
func (p *Pace) Room(n int) bool {
	flying := int64(p.sent - p.acked)
	return flying == 0 || flying+int64(n) <= p.window
}

// Sent counts n bytes out at the time now.
func (p *Pace) Sent(n int, now time.Time) {
	p.sent += uint64(n)
	if p.probeAt.IsZero() {
		p.probe, p.probeAt = p.sent, now
	}
}

// Acked takes the other side's count of bytes read so far. It reports false
// for a count that goes backwards or beyond what was sent: a protocol violation.
func (p *Pace) Acked(total uint64, now time.Time) bool {
	if total < p.acked || total > p.sent {
		return false
	}
	p.acked = total
	if p.probeAt.IsZero() || total < p.probe {
		return true
	}
	trip := now.Sub(p.probeAt)
	p.probeAt = time.Time{}
	if p.base == 0 || trip < p.base || now.Sub(p.baseSince) > baseAge {
		p.base, p.baseSince = trip, now
	}
	if trip <= p.base+paceDelay {
		p.window = min(p.window+p.window/4, maxPace)
	} else {
		p.window = max(p.window-p.window/4, minPace)
	}
	return true
}

// Window is the number of bytes that may be on their way.
func (p *Pace) Window() int64 { return p.window }
