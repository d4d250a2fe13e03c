package main

import (
	"encoding/binary"
	"sync"
)

const (
	floorHeader = 8         // id and payload length, 4 bytes each, little-endian
	batchLimit  = 256 << 10 // of one write, unless a single frame is larger

	// headroom is kept free before each batch, for what a carrier puts there.
	headroom = 4
)

// A carrier moves batches of whole frames over one connection.
type carrier interface {
	// write sends batch[headroom:]; the headroom is the carrier's to overwrite.
	write(batch []byte) error
	// read returns the next whole frames, valid until the next read.
	read() ([]byte, error)
	Close() error
}

// An outbox gathers frames while its writer is busy with those before.
type outbox struct {
	mu      sync.Mutex // protects what follows
	wake    sync.Cond  // pending is no longer empty, or closed
	space   sync.Cond  // pending was taken, or closed
	pending []byte     // headroom, then frames
	closed  bool
}

func newOutbox() *outbox {
	o := &outbox{pending: make([]byte, headroom)}
	o.wake.L, o.space.L = &o.mu, &o.mu
	return o
}

// put adds one frame for the writer to send.
func (o *outbox) put(id, length uint32, payload []byte) {
	o.mu.Lock()
	o.appendLocked(id, length, payload)
	o.mu.Unlock()
}

// putBounded is put, but waits while a whole batch is pending. It returns false
// once the outbox is closed.
func (o *outbox) putBounded(id, length uint32, payload []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.pending) > batchLimit && !o.closed {
		o.space.Wait()
	}
	o.appendLocked(id, length, payload)
	return !o.closed
}

func (o *outbox) appendLocked(id, length uint32, payload []byte) {
	if len(o.pending) == headroom {
		o.wake.Signal()
	}
	o.pending = binary.LittleEndian.AppendUint32(o.pending, id)
	o.pending = binary.LittleEndian.AppendUint32(o.pending, length)
	o.pending = append(o.pending, payload...)
}

// writeTo is the writer. It sends all that is pending, in as few batches as
// batchLimit allows, until the outbox is closed or the carrier broken.
func (o *outbox) writeTo(c carrier) {
	spare := make([]byte, headroom)
	for {
		taken, ok := o.take(spare)
		if !ok {
			return
		}
		for rest := taken; len(rest) > headroom; {
			n := batchEnd(rest)
			if err := c.write(rest[:n]); err != nil {
				// This end's reader sees the same broken connection, and ends the rest.
				_ = c.Close()
				return
			}
			rest = rest[n-headroom:] // the end of what was sent is headroom for the next
		}
		spare = taken[:headroom]
	}
}

// take waits for frames and returns all, leaving spare to gather the next in.
func (o *outbox) take(spare []byte) (taken []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.pending) == headroom && !o.closed {
		o.wake.Wait()
	}
	taken, o.pending = o.pending, spare
	o.space.Broadcast()
	return taken, !o.closed
}

// close ends the writer and all who wait.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.wake.Broadcast()
	o.space.Broadcast()
	o.mu.Unlock()
}

// batchEnd returns where the frames end that make up the next batch of buf.
func batchEnd(buf []byte) int {
	if len(buf) <= headroom+batchLimit {
		return len(buf)
	}
	end := headroom
	for end < len(buf) {
		next := end + frameSize(buf[end:])
		if next > headroom+batchLimit && end > headroom {
			break
		}
		end = next
	}
	return end
}

// frameSize returns the size that the header of a frame tells, header included.
func frameSize(frame []byte) int {
	return floorHeader + int(binary.LittleEndian.Uint32(frame[4:])&^streamFlag)
}
