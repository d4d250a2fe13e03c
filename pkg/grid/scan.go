package grid

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxNesting is how deep arrays and maps of a typed message may stand in each
// other. msgp itself follows a hundred thousand levels, on the stack.
const maxNesting = 64

// scan checks in one pass, without memory of its own, that b is one whole
// msgpack value: no deeper than maxNesting, no array or map that counts more
// values than there are bytes for, nothing after its end. Code that msgp
// generates makes room for as many elements as a header claims, so a count is
// not believed before its elements have been seen.
func scan(b []byte) error {
	var todo [maxNesting + 1]uint64 // values still to come, by level of nesting
	todo[0] = 1
	pending := uint64(1) // their sum: each takes a byte at least
	depth, at := 0, uint64(0)
	for end := uint64(len(b)); pending > 0; {
		if at+pending > end {
			return fmt.Errorf("is cut short: %d values are to come at byte %d, only %d bytes are left", pending, at, end-at)
		}
		for todo[depth] == 0 {
			depth--
		}
		todo[depth]--
		pending--
		size, values := valueAt(b[at:])
		at += size
		switch {
		case size == 0:
			return fmt.Errorf("has 0x%02x at byte %d, which begins no msgpack value", b[at], at)
		case at > end:
			return fmt.Errorf("is cut short: the value at byte %d has %d bytes, only %d are left", at-size, size, end-(at-size))
		case values == scalar:
			continue
		case depth == maxNesting:
			return fmt.Errorf("is nested deeper than %d levels", maxNesting)
		case values > end-at:
			return fmt.Errorf("counts %d values at byte %d, only %d bytes are left", values, at-size, end-at)
		}
		depth++
		todo[depth] = values
		pending += values
	}
	if rest := uint64(len(b)) - at; rest > 0 {
		return fmt.Errorf("has %d bytes after its end", rest)
	}
	return nil
}

// scalar is what valueAt gives as the number of values in one that holds none.
const scalar = math.MaxUint64

// valueAt gives the size of the value that b begins with, and for an array or
// map the size of its header and how many values follow: two for each pair of
// a map. The size may be more than b has. It is 0 for what begins no value.
// b is not empty.
func valueAt(b []byte) (size, values uint64) {
	switch c := b[0]; {
	case c <= 0x7f, c >= 0xe0: // a small integer
		return 1, scalar
	case c <= 0x8f:
		return 1, 2 * uint64(c&0xf)
	case c <= 0x9f:
		return 1, uint64(c & 0xf)
	case c <= 0xbf: // a short string
		return 1 + uint64(c&0x1f), scalar
	case c >= 0xdc: // array16, array32, map16, map32
		width := uint64(2) << (c & 1)
		each := uint64(1) + uint64(c>>1&1)
		n, ok := lengthAt(b, width)
		if !ok {
			return 1 + width, scalar
		}
		return 1 + width, each * n
	}
	head := heads[b[0]-0xc0]
	if head.width == 0 {
		return head.size, scalar
	}
	n, _ := lengthAt(b, head.width) // 0 where it is cut short: then so is the head
	return head.size + n, scalar
}

// lengthAt reads the length of width bytes behind the first byte of b.
func lengthAt(b []byte, width uint64) (n uint64, ok bool) {
	if uint64(len(b)) <= width {
		return 0, false
	}
	switch width {
	case 1:
		return uint64(b[1]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(b[1:])), true
	default:
		return uint64(binary.BigEndian.Uint32(b[1:])), true
	}
}

// heads are the kinds of value from 0xc0 to 0xdb: the bytes that each has
// before what its length counts, and how wide that length is, 0 without one.
var heads = [...]struct{ size, width uint64 }{
	{1, 0}, {0, 0}, {1, 0}, {1, 0}, // nil, never used, false, true
	{2, 1}, {3, 2}, {5, 4}, // binary
	{3, 1}, {4, 2}, {6, 4}, // extension
	{5, 0}, {9, 0}, // float
	{2, 0}, {3, 0}, {5, 0}, {9, 0}, // unsigned integer
	{2, 0}, {3, 0}, {5, 0}, {9, 0}, // signed integer
	{3, 0}, {4, 0}, {6, 0}, {10, 0}, {18, 0}, // extension of fixed size
	{2, 1}, {3, 2}, {5, 4}, // string
}
