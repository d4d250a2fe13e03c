package link

import (
	"sync/atomic"
	"time"
)

// counters are what a link counts outside its locks.
type counters struct {
	since      time.Time // when the link began
	messagesIn atomic.Uint64
	batchesIn  atomic.Uint64
	chunked    atomic.Uint64 // bytes of chunks, as of the last batch with some
	overloads  atomic.Uint64 // calls refused for being too many
	unknown    atomic.Uint64 // hints of a later version
}

// Stats is a link seen at one moment.
type Stats struct {
	Totals
	Since                  time.Time
	RTT                    time.Duration // of the last ping, 0: none was answered yet
	QueueBytes, QueueLimit int           // outgoing, in SendQueue's terms
	QueueHighFor           time.Duration // how long more than QueueMark of it has been in use
	CallsOut, CallsIn      int           // running
	Overdue                int           // of CallsIn, running after deadline or cancellation
	Streams                int           // open, both ways
	StreamsWaiting         int           // of these, waiting for credit
	LongestWait            time.Duration
}

// markQueueLocked notes since when more of the queue than QueueMark is in use.
func (l *Link) markQueueLocked() {
	o := &l.out
	if high := o.queued > l.limits.QueueMark; !high {
		o.fullSince = time.Time{}
	} else if o.fullSince.IsZero() {
		o.fullSince = time.Now()
	}
}

// Totals is what a link has counted since it began. None of it ever falls.
type Totals struct {
	BytesIn, BytesOut       uint64 // on the wire, below WebSocket framing, above TLS
	MessagesIn, MessagesOut uint64 // requests, answers, stream messages
	BatchesIn, BatchesOut   uint64
	Overloads, Unknown      uint64 // calls refused for being too many, hints of a later version
}

// Add adds what another link has counted.
func (t *Totals) Add(u Totals) {
	t.BytesIn += u.BytesIn
	t.BytesOut += u.BytesOut
	t.MessagesIn += u.MessagesIn
	t.MessagesOut += u.MessagesOut
	t.BatchesIn += u.BatchesIn
	t.BatchesOut += u.BatchesOut
	t.Overloads += u.Overloads
	t.Unknown += u.Unknown
}

// Totals looks at the link's counters alone.
func (l *Link) Totals() Totals {
	t := Totals{
		MessagesIn: l.count.messagesIn.Load(), BatchesIn: l.count.batchesIn.Load(),
		Overloads: l.count.overloads.Load(), Unknown: l.count.unknown.Load(),
	}
	t.BytesIn, t.BytesOut = l.cfg.Transport.Wire()
	l.out.mu.Lock()
	t.MessagesOut, t.BatchesOut = l.out.messagesOut, l.out.batchesOut
	l.out.mu.Unlock()
	return t
}

// Stats looks at the link.
func (l *Link) Stats() Stats {
	now := time.Now()
	s := Stats{
		Totals: l.Totals(),
		Since:  l.count.since, RTT: time.Duration(l.keepalive.trip.Load()), QueueLimit: l.limits.SendQueue,
		CallsIn: int(l.serving.running.Load()),
	}
	var streams []*Stream
	o := &l.out
	o.mu.Lock()
	l.markQueueLocked()
	if !o.fullSince.IsZero() {
		s.QueueHighFor = now.Sub(o.fullSince)
	}
	s.QueueBytes, s.CallsOut = o.queued, o.waiters.Len()
	for _, st := range o.streams.All() {
		streams = append(streams, st)
	}
	o.mu.Unlock()
	l.serving.mu.Lock()
	for _, c := range l.serving.calls.All() {
		if c.overdue(now) {
			s.Overdue++
		}
		if c.stream != nil {
			streams = append(streams, c.stream)
		}
	}
	l.serving.mu.Unlock()
	s.Streams = len(streams)
	for _, st := range streams {
		if wait := st.Hungry(now); wait > 0 {
			s.StreamsWaiting++
			s.LongestWait = max(s.LongestWait, wait)
		}
	}
	return s
}
