package target

import "sync"

// Bounds of the rings that hold the newest entries in memory.
const (
	RingEntries = 1000
	RingBytes   = 4 << 20 // of all of them together: a thousand that are too large do not fit
)

// Ring holds the newest entries and lets readers follow them. Whoever adds
// waits for nobody: a reader that is slow misses entries, and is told how many.
type Ring struct {
	most, mostBytes int

	mu      sync.Mutex // protects all below; held for a copy
	slots   [][]byte   // used again and again
	first   uint64     // number of the oldest entry that is there
	next    uint64     // number of the next one
	bytes   int
	changed chan struct{} // closed at the next entry; nil: nobody waits
}

// NewRing makes a ring of so many entries and bytes.
func NewRing(entries, bytes int) *Ring {
	return &Ring{most: entries, mostBytes: bytes, slots: make([][]byte, entries)}
}

// Add adds an entry, which it copies. One that is larger than all of the ring
// may be leaves a place without an entry: whoever reads it has missed one.
func (r *Ring) Add(data []byte) {
	if len(data) > r.mostBytes {
		data = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.next-r.first == uint64(r.most) || r.bytes+len(data) > r.mostBytes {
		r.dropLocked()
	}
	slot := &r.slots[r.next%uint64(r.most)]
	*slot = append((*slot)[:0], data...)
	r.bytes += len(data)
	r.next++
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// dropLocked forgets the oldest entry.
func (r *Ring) dropLocked() {
	slot := &r.slots[r.first%uint64(r.most)]
	r.bytes -= len(*slot)
	if cap(*slot) > keepSlot {
		*slot = nil
	}
	r.first++
}

// keepSlot is the largest memory of a slot that is used again.
const keepSlot = 4 << 10

// End is the number that the next entry will have.
func (r *Ring) End() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Read makes a reader that begins with the newest entries, so many of them that
// are there.
func (r *Ring) Read(newest int) *Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Reader{ring: r, next: max(r.first, r.next-min(r.next, uint64(max(newest, 0))))}
}

// ReadFrom makes a reader that begins with the entry of this number.
func (r *Ring) ReadFrom(number uint64) *Reader { return &Reader{ring: r, next: number} }
