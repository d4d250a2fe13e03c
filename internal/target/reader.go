package target

import (
	"context"
	"time"
)

const (
	// readAhead is how many bytes a reader copies at once, and so how long it
	// keeps whoever adds an entry waiting: a few microseconds.
	readAhead = 16 << 10

	// readPace is how long a reader that was told of a new entry lets others
	// come: it takes the lock so often and no more, however many are added.
	readPace = 10 * time.Millisecond
)

// Reader follows a ring. It belongs to one goroutine.
type Reader struct {
	ring *Ring
	next uint64 // number of the entry to copy next

	// What was copied and not yet given.
	data   []byte
	ends   []int // of the entries in it
	given  int   // of them
	at     int   // where the next one begins
	missed uint64
	pace   *time.Timer
}

// Next gives the next entry, which is the caller's until the next call, and how
// many were missed before it. It waits for one, or until ctx ends.
func (r *Reader) Next(ctx context.Context) (data []byte, missed uint64, err error) {
	for {
		data, missed, ok := r.Try()
		if ok {
			return data, missed, nil
		}
		changed := r.ring.wait(r.next)
		if changed == nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		if err := r.gather(ctx); err != nil {
			return nil, 0, err
		}
	}
}

// Try is Next that does not wait: false where there is no entry now.
func (r *Reader) Try() (data []byte, missed uint64, ok bool) {
	if r.given == len(r.ends) && !r.fill() {
		return nil, 0, false
	}
	data = r.data[r.at:r.ends[r.given]]
	r.at = r.ends[r.given]
	r.given++
	missed, r.missed = r.missed, 0
	return data, missed, true
}

// Number is that of the entry which was given last.
func (r *Reader) Number() uint64 { return r.next - uint64(len(r.ends)-r.given) - 1 }

// gather waits a moment, so that what is logged in a row is taken at once.
func (r *Reader) gather(ctx context.Context) error {
	if r.pace == nil {
		r.pace = time.NewTimer(readPace)
	} else {
		r.pace.Reset(readPace)
	}
	select {
	case <-r.pace.C:
		return nil
	case <-ctx.Done():
		r.pace.Stop()
		return ctx.Err()
	}
}

// fill copies the next entries, and one at least.
func (r *Reader) fill() bool {
	if cap(r.data) > 2*readAhead {
		r.data = nil // of one large entry
	}
	r.data, r.ends, r.given, r.at = r.data[:0], r.ends[:0], 0, 0
	ring := r.ring
	ring.mu.Lock()
	defer ring.mu.Unlock()
	if r.next < ring.first {
		r.missed += ring.first - r.next
		r.next = ring.first
	}
	for r.next < ring.next {
		entry := ring.slots[r.next%uint64(ring.most)]
		if len(r.ends) > 0 && len(r.data)+len(entry) > readAhead {
			break
		}
		if len(entry) == 0 && len(r.ends) > 0 {
			break // missed are told of with the entry that follows
		}
		r.next++
		if len(entry) == 0 {
			r.missed++
			continue
		}
		r.data = append(r.data, entry...)
		r.ends = append(r.ends, len(r.data))
	}
	return len(r.ends) > 0
}

// wait gives what is closed when an entry of this number has come; nil if it is
// there.
func (r *Ring) wait(number uint64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.next {
		return nil
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}
