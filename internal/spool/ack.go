package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// ack is how far a spool is done with. The file "ack" has two slots, written in
// turn, so that a torn one leaves the other. Each is a frame.
type ack struct {
	generation uint64
	segment    uint64
	offset     int64
	told       uint64 // the last entry whose fate the receiver knows
}

const ackBytes = frameHead + 3*8

const slotBytes = 512 // what a disk writes in one go

// encode gives the same bytes each time: written again, and torn, they are whole.
func (a ack) encode() []byte {
	data, _ := binary.Append(nil, binary.LittleEndian, []uint64{a.generation, a.segment, uint64(a.offset)}) // never fails for these
	return appendFrame(nil, 0, Entry{ID: a.told, Data: data}, time.Unix(0, 0))
}

func decodeAck(slot []byte) (ack, bool) {
	e, ok := parseFrame(0, slot[:ackBytes])
	v := func(i int) uint64 { return binary.LittleEndian.Uint64(e.Data[8*i:]) }
	return ack{generation: v(0), segment: v(1), offset: int64(v(2)), told: e.ID}, ok
}

// Ack says that b, the batch of the last Next, is done with. told is the last
// id whose fate its receiver knows: that of b's last entry, unless a gap is
// still to be reported. Segments that are done with are removed, or set aside.
// After an error Ack may be called again, or a later batch be acknowledged.
func (q *Queue) Ack(b *Batch, told uint64) error {
	if err := q.writeAck(ack{generation: q.done.generation + 1, segment: b.segment, offset: b.offset, told: told}); err != nil {
		return err
	}
	return q.clean(q.done.segment)
}

// writeAck goes on from q.done, which only this goroutine changes.
func (q *Queue) writeAck(a ack) error {
	_, err := q.acks.WriteAt(a.encode(), int64(a.generation%2)*slotBytes)
	if err := errors.Join(err, q.acks.Sync()); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done = a
	return nil
}

// clean removes the segments below one, which are done with, or sets them aside.
func (q *Queue) clean(below uint64) (err error) {
	q.mu.Lock()
	all := slices.Clone(q.segments)
	q.mu.Unlock()
	for _, g := range all {
		if g.number >= below {
			break
		}
		if g.bad {
			err = q.o.FS.Rename(q.path(g.number, "seg"), q.path(g.number, "bad"))
		} else {
			err = q.o.FS.Remove(q.path(g.number, "seg"))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		q.mu.Lock()
		if len(q.segments) > 0 && q.segments[0].number == g.number { // the other side may have done it
			if q.segments = q.segments[1:]; g.bad && err == nil {
				q.bad += g.size
			}
		}
		q.mu.Unlock()
	}
	return nil
}

// openAck reads how far the spool is done with. Where that cannot be read, all
// that is there comes out again.
func (q *Queue) openAck(there bool) (err error) {
	name := filepath.Join(q.o.Dir, "ack")
	if q.acks, err = q.o.FS.Open(name, true); err != nil {
		return err
	}
	slots := make([]byte, 2*slotBytes)
	_, err = q.acks.ReadAt(slots, 0) // short while only one slot was written
	for slot := range slices.Chunk(slots, slotBytes) {
		if a, ok := decodeAck(slot); ok && a.generation > q.done.generation {
			q.done = a
		}
	}
	if q.done.generation > 0 {
		return q.writeAck(q.done) // it may never have reached the disk
	}
	first := ack{generation: 1, told: q.o.Base}
	if there || len(q.segments) > 0 { // it is not new: what was told is not known
		first.told = 0
		q.o.Damaged(name, 0, fmt.Sprintf("no slot is whole, entries may come again (%v)", err))
	}
	return errors.Join(q.writeAck(first), q.o.FS.SyncDir(q.o.Dir))
}
