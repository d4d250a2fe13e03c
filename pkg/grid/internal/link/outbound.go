package link

import (
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// outbound is everything on its way out: batches being filled, who waits for
// room, and whose calls wait for answers. A call's id is given, its waiter
// entered and its frame appended under one short lock, so ids rise on the wire.
type outbound struct {
	mu sync.Mutex // protects everything below

	// Small frames go first. A batch never exceeds MaxBatch; the last one is being filled.
	small    []*batch
	queued   int // bytes in small and in what the writer is writing of it
	provoked int // of these, bytes that the other side made us send and could refuse to read
	appended uint64
	handed   uint64          // of appended, what a socket write was given: it counts as sent
	room     []chan struct{} // senders that wait for queued to fall, oldest first

	// Chunks of large bodies go behind, one batch at a time.
	bulk         []*batch // nearly always one; behind the last chunk of a stream come its next frames
	bulkBytes    int      // in bulk
	bulkTail     int      // of these, bytes of frames that are no chunks; they count in queued too
	bulkEager    int      // bytes of eager transfers whose last chunk is in bulk
	bulkAppended uint64
	bulkHanded   uint64
	pace         credit.Pace
	turns        []*transfer // transfers that wait for room in bulk, in round-robin order
	chosen       *transfer   // the one whose turn it is
	transfers    map[uint64]*transfer
	nextXfer     uint64
	eager        int // bytes of eager transfers begun whose last chunk was not yet handed to a write

	// Calls that we make.
	nextID  uint64
	waiters mux.Table[*waiter]
	streams mux.Table[*Stream]
	expiry  time.Time // when the sweep for calls without a deadline of their own is due; zero: not armed
	sweeper *time.Timer

	asleep  bool        // the writer waits for wake
	writing bool        // the writer is writing what it took
	closed  *CutError   // no more frames: the link has ended
	goodbye *time.Timer // closes the transport under a writer that is stuck

	draining  bool // they take no more calls
	finishing bool // we drained and all is quiet: no more calls

	messagesOut uint64
	batchesOut  uint64
	fullSince   time.Time // since when queued is over the congestion mark; zero: it isn't
}

// batch is an array that becomes one WebSocket message.
type batch struct{ b []byte }

// batches holds the arrays of batches of all links, so that idle links hold none.
var batches = sync.Pool{New: func() any { return &batch{make([]byte, 0, 8<<10)} }}

func getBatch() *batch {
	b := batches.Get().(*batch)
	b.b = b.b[:0]
	return b
}

func putBatch(b *batch) { batches.Put(b) }

// appendLocked appends a frame that fits a batch to the small frames and
// returns the position of its last byte.
func (l *Link) appendLocked(f *wire.Frame) uint64 {
	o := &l.out
	n := wire.Size(f)
	last := len(o.small) - 1
	if last < 0 || len(o.small[last].b)+n > l.to.batch {
		o.small = append(o.small, l.newBatch())
		last++
	}
	o.small[last].b = wire.Append(o.small[last].b, f)
	o.queued += n
	o.appended += uint64(n)
	if f.Kind <= wire.Data { // what carries a call; as the reader counts it
		o.messagesOut++
	}
	return o.appended
}

// appendBehindLocked appends a frame that must not overtake the chunks up to
// position end: behind them while they are pending, else to the small frames.
func (l *Link) appendBehindLocked(f *wire.Frame, end uint64) {
	o := &l.out
	if end <= o.bulkHanded {
		l.appendLocked(f)
		return
	}
	n := l.appendBulkLocked(f)
	o.bulkTail += n
	o.queued += n
	if f.Kind <= wire.Data {
		o.messagesOut++
	}
}

// appendBulkLocked appends a frame behind the chunks and returns its size.
func (l *Link) appendBulkLocked(f *wire.Frame) int {
	o := &l.out
	n := wire.Size(f)
	last := len(o.bulk) - 1
	if last < 0 || len(o.bulk[last].b)+n > l.to.batch {
		o.bulk = append(o.bulk, l.newBatch())
		last++
	}
	o.bulk[last].b = wire.Append(o.bulk[last].b, f)
	o.bulkBytes += n
	o.bulkAppended += uint64(n)
	return n
}

// newBatch gives an empty batch with room for its checksum.
func (l *Link) newBatch() *batch {
	b := getBatch()
	if l.cfg.Checksum {
		b.b = append(b.b, 0, 0, 0, 0)
	}
	return b
}

// wakeLocked reports whether the caller must call wake after unlocking.
func (l *Link) wakeLocked() bool {
	was := l.out.asleep
	l.out.asleep = false
	return was
}

// wake wakes the writer, which was asleep: the channel has room.
func (l *Link) wake() { l.writerWake <- struct{}{} }

// provoke appends a frame that answers the other side's doing and never waits:
// the reader may call it, and who holds a stream's lock. A peer that provokes
// more than ControlQueue bytes without reading them loses the link.
func (l *Link) provoke(f *wire.Frame) {
	o := &l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		return
	}
	was := o.provoked
	o.provoked += wire.Size(f)
	if o.provoked > l.limits.ControlQueue {
		o.mu.Unlock()
		if was <= l.limits.ControlQueue { // not here: the end takes the locks of all streams
			l.shared.workers.run(job{do: func() {
				l.end(&CutError{Code: CodeQueue, Message: "the other side doesn't read the answers it provokes"})
			}})
		}
		return
	}
	l.appendLocked(f)
	wake := !l.corked.Load() && l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
}

// uncork wakes the writer for what the reader's batch left pending.
func (l *Link) uncork() {
	if !l.corked.Swap(false) {
		return
	}
	o := &l.out
	o.mu.Lock()
	wake := (len(o.small) > 0 || len(o.bulk) > 0) && l.wakeLocked()
	o.mu.Unlock()
	if wake {
		l.wake()
	}
}

// waitRoomLocked waits in line until the small queue has room, and reports
// false if done fires or the link ends before. It is entered and left with the
// lock held.
func (l *Link) waitRoomLocked(done <-chan struct{}) bool {
	o := &l.out
	if o.closed == nil && o.queued < l.limits.SendQueue && len(o.room) == 0 {
		return true
	}
	for o.closed == nil {
		turn := make(chan struct{})
		o.room = append(o.room, turn)
		o.mu.Unlock()
		var left bool
		select {
		case <-turn:
		case <-l.dead:
		case <-done:
			left = true
		}
		o.mu.Lock()
		if left {
			l.leaveRoomLocked(turn)
			return false
		}
		if o.queued < l.limits.SendQueue {
			if o.queued+l.limits.Chunk < l.limits.SendQueue {
				l.giveRoomLocked() // there is room for the next one too
			}
			return o.closed == nil
		}
	}
	return false
}

// leaveRoomLocked gives up a place in the line, or passes on the turn that came meanwhile.
func (l *Link) leaveRoomLocked(turn chan struct{}) {
	for i, t := range l.out.room {
		if t == turn {
			l.out.room = append(l.out.room[:i], l.out.room[i+1:]...)
			return
		}
	}
	l.giveRoomLocked()
}

// giveRoomLocked lets the first sender in line go on if there is room.
func (l *Link) giveRoomLocked() {
	o := &l.out
	if len(o.room) > 0 && o.queued < l.limits.SendQueue {
		close(o.room[0])
		o.room = o.room[1:]
	}
}
