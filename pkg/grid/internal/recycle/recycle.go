// Package recycle gives received messages their memory, and takes it back from
// users who choose to release it. It owns the free lists and nothing else;
// the link gets buffers from it, grid.Release gives them back.
//
// What is released must be exactly what was given, and once. Without unsafe a
// slice carries no identity but its capacity, so that is what identifies it:
// every time an array is given again, it is given one byte further on, and its
// last bytes say which capacity was given last and whether it is in use. A
// slice from an earlier turn has another capacity, so releasing it a second
// time is found even when somebody else has the array by then. After 64 turns
// the array goes to the garbage collector.
package recycle

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const (
	turns    = 64               // how often an array is given
	markSize = 8                // bytes of the mark at an array's end
	overhead = turns + markSize // what an array has beyond the largest message it is for
	smallest = 8                // log2 of the smallest array
	largest  = 17               // log2 of the largest: for messages of up to a chunk
	perClass = 4 << 20          // bytes kept for each size
)

// secret makes marks differ from what programs write.
var secret = rand.Uint64()

// releasing is set by the first Release. Before that buffers are just made:
// programs that never release pay nothing for those that do.
var releasing atomic.Bool

// strict makes a second release panic and poisons what is released.
var strict atomic.Bool

// Strict switches to what tests want: a second release panics, and released
// memory is overwritten, so that its use after release is seen. Race builds start so.
func Strict(on bool) { strict.Store(on) }

// class is the free arrays of one size, each cut to what is given next.
type class struct {
	mu   sync.Mutex // protects free, and the marks of all arrays of this size
	free [][]byte
}

var classes [largest + 1]class

// Get gives n bytes of any content.
func Get(n int) []byte {
	if !releasing.Load() {
		return make([]byte, n)
	}
	size := max(smallest, bits.Len(uint(n+overhead-1)))
	if size > largest {
		return make([]byte, n)
	}
	c := &classes[size]
	c.mu.Lock()
	var b []byte
	if last := len(c.free) - 1; last >= 0 {
		b, c.free[last] = c.free[last], nil
		c.free = c.free[:last]
	}
	if b != nil {
		setMark(b, true)
	}
	c.mu.Unlock()
	if b == nil {
		b = make([]byte, 1<<size)
		setMark(b, true)
	}
	return b[:n]
}

// Release takes b back. What Get did not give, or what was grown or cut from
// the front since, is left to the garbage collector. It reports false for a
// second release, which does nothing else.
func Release(b []byte) bool {
	releasing.Store(true)
	size := bits.Len(uint(max(cap(b), 1) - 1))
	if size < smallest || size > largest || 1<<size-cap(b) >= turns {
		return true // not ours
	}
	b = b[:cap(b)]
	c := &classes[size]
	c.mu.Lock()
	given, inUse, ours := readMark(b)
	if !ours || given > 1<<size || 1<<size-given >= turns {
		c.mu.Unlock()
		return true // not ours, or its user wrote over the mark
	}
	if given != cap(b) || !inUse {
		c.mu.Unlock()
		if strict.Load() {
			panic("grid.Release: this buffer was released before") //nolint:forbidigo // tests ask for it; in production it is only reported
		}
		return false
	}
	if strict.Load() {
		for i := range b[:cap(b)-markSize] {
			b[i] = 0xDB
		}
	}
	setMark(b, false)
	if next := b[1:]; 1<<size-cap(next) < turns && (len(c.free)+1)<<size <= perClass {
		c.free = append(c.free, next)
	}
	c.mu.Unlock()
	return true
}

// setMark writes which capacity was given last, and whether it is in use.
func setMark(b []byte, inUse bool) {
	v := uint64(cap(b)) << 1
	if inUse {
		v |= 1
	}
	binary.LittleEndian.PutUint64(b[cap(b)-markSize:cap(b)], v^secret)
}

func readMark(b []byte) (given int, inUse, ours bool) {
	v := binary.LittleEndian.Uint64(b[cap(b)-markSize:]) ^ secret
	return int(v >> 1), v&1 == 1, v>>1 <= 1<<largest
}
