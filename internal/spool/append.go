package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// writer is the end of the newest segment; it belongs to whoever appends.
type writer struct {
	file         fsys.File // nil: the next entry begins a segment
	number, next uint64    // of the segment, of the next one
	size, synced int64     // up to there it is good, and safe
	buf          []byte
}

// Append puts entries in, all or none. Their ids rise, and are above all that
// the spool was ever given. With sync they are safe from a crash of the machine
// when it returns, without it from one of the process. After an error the same
// entries may be appended again, with more behind them, or others whose ids are
// higher than those of all that were refused.
func (q *Queue) Append(entries []Entry, sync bool) (err error) {
	defer q.dropSpent(&err)
	w, s, now := &q.out, q.Stats(), time.Now()
	w.buf = w.buf[:0]
	need, last := headBytes, s.Last
	for _, e := range entries {
		if len(e.Data) > MaxEntry || e.ID <= last {
			return fmt.Errorf("entry %d of %d bytes after entry %d: ids must rise, and %d bytes are allowed", e.ID, len(e.Data), last, MaxEntry)
		}
		last = e.ID
		need += frameHead + int64(len(e.Data))
	}
	if w.size > headBytes && w.size+need > min(q.o.MaxBytes/16, 4<<20) {
		if err := q.seal(); err != nil {
			return err
		}
	}
	if s.Used+need > q.o.MaxBytes {
		return ErrFull
	}
	if w.file == nil {
		if err := q.begin(); err != nil {
			return err
		}
	}
	for _, e := range entries {
		w.buf = appendFrame(w.buf, w.number, e, now)
	}
	_, written := w.file.WriteAt(w.buf, w.size)
	if err = written; err == nil && sync {
		err = w.file.Sync()
	}
	if err != nil {
		// Whatever a failed sync says the second time, it may have lost pages:
		// what comes next goes into another file.
		if w.file.Truncate(w.size) != nil || written == nil {
			q.abandon()
		}
		return err
	}
	w.size += int64(len(w.buf))
	if sync {
		w.synced = w.size
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.segments[len(q.segments)-1].size, q.last = w.size, last
	return nil
}

// dropSpent removes the newest segment, too, if Append has failed and nothing
// waits: on a full disk that is all the room that there will be.
func (q *Queue) dropSpent(failed *error) {
	if *failed != nil && q.Stats().Bytes == 0 {
		q.abandon()
		_ = q.clean(q.out.next)
	}
}

// Sync makes all that was appended safe from a crash of the machine.
func (q *Queue) Sync() error {
	w := &q.out
	if w.file == nil || w.size == w.synced {
		return nil
	}
	err := w.file.Sync()
	if w.synced = w.size; err != nil {
		q.abandon()
	}
	return err
}

// begin makes a new segment. A number is never used twice.
func (q *Queue) begin() error {
	w := &q.out
	w.number, w.next = w.next, w.next+1
	name := q.path(w.number, "seg")
	file, err := q.o.FS.Open(name, true)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt([]byte(magic), 0); err == nil {
		err = q.o.FS.SyncDir(q.o.Dir)
	}
	if err != nil {
		return errors.Join(err, file.Close(), q.o.FS.Remove(name))
	}
	w.file, w.size, w.synced = file, headBytes, 0
	q.mu.Lock()
	defer q.mu.Unlock()
	q.segments = append(q.segments, segment{number: w.number, size: w.size})
	return nil
}

func (q *Queue) seal() error {
	err := q.Sync()
	q.abandon()
	return err
}

// abandon lets go of the newest segment: nothing more is added to it.
func (q *Queue) abandon() {
	if q.out.file != nil {
		_ = q.out.file.Close() // whoever cares has synced before
	}
	q.out.file, q.out.size = nil, 0
}
