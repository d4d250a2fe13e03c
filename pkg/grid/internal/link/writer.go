package link

import (
	"errors"
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// write is the writer: the only goroutine that writes to the transport. It
// takes all that is pending in one go: small frames first, then one batch of
// chunks, so that a small frame never waits behind more bulk than that.
func (l *Link) write() {
	defer l.wg.Done()
	o := &l.out
	var small, bulk []*batch
	written := 0
	o.mu.Lock()
	for {
		o.queued -= written
		o.writing = false
		l.giveRoomLocked()
		for len(o.small) == 0 && len(o.bulk) == 0 && o.closed == nil {
			o.asleep = true
			o.provoked = 0
			quiet := l.drain.ours.Load()
			crowd := o.waiters.Len() >= gatherAbove
			o.mu.Unlock()
			if quiet {
				l.checkQuiet()
			}
			<-l.writerWake
			if crowd {
				runtime.Gosched() // let the others whom the last answers woke say what they want
			}
			o.mu.Lock()
		}
		if o.closed != nil {
			break
		}
		small, o.small = o.small, small[:0]
		bulk, o.bulk = o.bulk, bulk[:0]
		written, o.writing = o.bulkTail, true
		o.eager -= o.bulkEager // a body that is begun from now on is written behind them
		o.bulkBytes, o.bulkTail, o.bulkEager = 0, 0, 0
		o.handed, o.bulkHanded = o.appended, o.bulkAppended
		o.provoked = 0
		l.giveTurnsLocked()
		l.markQueueLocked()
		o.mu.Unlock()

		for i, b := range small {
			written += l.batchLen(b)
			l.send(b)
			small[i] = nil
		}
		for i, b := range bulk {
			l.send(b)
			bulk[i] = nil
		}
		o.mu.Lock()
		o.batchesOut += uint64(len(small) + len(bulk))
	}
	why := o.closed
	pending := slices.Concat(o.small, o.bulk)
	o.small, o.bulk = nil, nil
	o.mu.Unlock()

	for _, b := range pending {
		putBatch(b)
	}
	if !why.Remote && why.Code != CodeLost {
		b := l.newBatch()
		message := why.Message[:min(len(why.Message), l.to.text)]
		b.b = wire.Append(b.b, &wire.Frame{Kind: wire.Goodbye, Code: []byte(why.Code), Message: []byte(message)})
		l.send(b)
	}
	_ = l.cfg.Transport.Close() // the reader sees it
	if o.goodbye != nil {
		o.goodbye.Stop()
	}
}

// gatherAbove is how many of our calls must be in flight for the writer to let
// other goroutines run before it takes what is pending. With many callers a
// write then carries five times as many frames, and writes are what small calls
// cost most; with few it would only delay them.
const gatherAbove = 8

// batchLen is the number of bytes of frames in b.
func (l *Link) batchLen(b *batch) int {
	if l.cfg.Checksum {
		return len(b.b) - wire.ChecksumSize
	}
	return len(b.b)
}

// hearOut lets the reader find out why a write failed. Who has closed may have
// said why before: that lies in the socket still, and the write's error does
// not know it. Who reads no more has not closed.
func (l *Link) hearOut(err error) {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || l.cause.Load() != nil {
		return
	}
	over := time.NewTimer(l.limits.GoodbyeWait)
	defer over.Stop()
	select {
	case <-l.dead:
	case <-over.C:
	}
}

// send writes one batch and gives its array back. A failed write ends the
// link: half a batch can't be taken back.
func (l *Link) send(b *batch) {
	if l.cfg.Checksum {
		wire.Seal(b.b)
	}
	if err := l.cfg.Transport.WriteBatch(b.b); err != nil {
		l.hearOut(err)
		l.end(&CutError{Code: CodeLost, Message: "write: " + err.Error()})
	}
	putBatch(b)
}
