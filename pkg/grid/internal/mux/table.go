package mux

import "iter"

// Table maps call ids to values. Ids rise and most calls are short, so the
// live ones lie close together: a ring indexed by the low bits of the id finds
// nearly all of them at once, and a map takes those that an older, slower call
// keeps out of their slot. The zero Table is empty and ready.
type Table[V any] struct {
	ring []slot[V] // length is a power of two
	over map[uint64]V
	n    int
}

type slot[V any] struct {
	id uint64 // 0: free
	v  V
}

// Sizes of the ring in slots. It grows while more than half of it is in use.
const (
	minRing = 16
	maxRing = 1 << 15
)

// Put adds id, which must not be in the table and not be 0.
func (t *Table[V]) Put(id uint64, v V) {
	t.n++
	if t.n > len(t.ring)/2 && len(t.ring) < maxRing {
		t.resize(max(minRing, 2*len(t.ring)))
	}
	t.place(id, v)
}

func (t *Table[V]) place(id uint64, v V) {
	s := &t.ring[id&uint64(len(t.ring)-1)]
	if s.id == 0 {
		*s = slot[V]{id, v}
		return
	}
	if t.over == nil {
		t.over = map[uint64]V{}
	}
	t.over[id] = v
}

func (t *Table[V]) resize(size int) {
	old, over := t.ring, t.over
	t.ring, t.over = make([]slot[V], size), nil
	for _, s := range old {
		if s.id != 0 {
			t.place(s.id, s.v)
		}
	}
	for id, v := range over {
		t.place(id, v)
	}
}

// Get gives the value of id.
func (t *Table[V]) Get(id uint64) (v V, ok bool) {
	if len(t.ring) == 0 {
		return v, false
	}
	if s := &t.ring[id&uint64(len(t.ring)-1)]; s.id == id && id != 0 {
		return s.v, true
	}
	v, ok = t.over[id]
	return v, ok
}

// Take gives the value of id and removes it.
func (t *Table[V]) Take(id uint64) (v V, ok bool) {
	if v, ok = t.Get(id); !ok {
		return v, false
	}
	t.n--
	if s := &t.ring[id&uint64(len(t.ring)-1)]; s.id == id {
		*s = slot[V]{}
	} else {
		delete(t.over, id)
	}
	if t.n == 0 && len(t.ring) > 64*minRing {
		*t = Table[V]{} // a burst is over: its memory goes
	}
	return v, true
}

// Len is the number of ids in the table.
func (t *Table[V]) Len() int { return t.n }

// All gives every id and value, in no order. The table must not be changed meanwhile.
func (t *Table[V]) All() iter.Seq2[uint64, V] {
	return func(yield func(uint64, V) bool) {
		for _, s := range t.ring {
			if s.id != 0 && !yield(s.id, s.v) {
				return
			}
		}
		for id, v := range t.over {
			if !yield(id, v) {
				return
			}
		}
	}
}
