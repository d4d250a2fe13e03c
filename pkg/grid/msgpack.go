package grid

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/tinylib/msgp/msgp"
)

// Bounds of what a greeting may hold. The whole of it is bounded by
// Limits.HelloBytes; these keep a single field from taking all of that.
const (
	maxFeature  = 64   // bytes of a feature, a limit's key, a code, a topology
	maxFeatures = 64   // of them in a hello
	maxSentence = 1024 // bytes of a refusal's sentence
	maxDepth    = 8    // levels of an unknown value that is skipped
)

// reader reads one value after the other from a stranger's msgpack. The first
// thing that is wrong stays in err, names the key, and everything after it
// gives zeros; so callers check once. It allocates no more than what it read.
type reader struct {
	b   []byte
	key string // "hello: grid"
	err error
}

// eachKey calls f with each key of the map that b is, and a reader that stands
// on its value. A repeated key counts each time, so the last one wins.
func eachKey(b []byte, what string, f func(key string, r *reader) error) error {
	r := &reader{b: b, key: what}
	for range r.mapping() {
		r.key = what
		key := r.string(maxFeature)
		if r.err != nil {
			return r.err
		}
		r.key = what + ": " + key
		if err := f(key, r); err != nil {
			return err
		}
	}
	if r.err == nil && len(r.b) != 0 {
		r.key = what
		r.fail(fmt.Sprintf("has %d bytes after its end", len(r.b)))
	}
	return r.err
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%.100s %s", r.key, what)
	}
	r.b = nil
}

// wants is how each read begins: it reports whether the next value has one of the types.
func (r *reader) wants(name string, types ...msgp.Type) bool {
	if r.err != nil {
		return false
	}
	if len(r.b) == 0 {
		r.fail("is cut short")
		return false
	}
	got := msgp.NextType(r.b)
	if slices.Contains(types, got) {
		return true
	}
	r.fail(fmt.Sprintf("is of type %s, it has to be %s", got, name))
	return false
}

func (r *reader) string(most int) string {
	if !r.wants("a string", msgp.StrType) {
		return ""
	}
	s, rest, err := msgp.ReadStringZC(r.b)
	return string(r.took(s, rest, err, most))
}

func (r *reader) bytes(most int) []byte {
	if !r.wants("binary", msgp.BinType) {
		return nil
	}
	s, rest, err := msgp.ReadBytesZC(r.b)
	return r.took(s, rest, err, most)
}

func (r *reader) took(s, rest []byte, err error, most int) []byte {
	switch {
	case err != nil:
		r.fail("is cut short")
		return nil
	case len(s) > most:
		r.fail(fmt.Sprintf("has %d bytes, allowed are %d", len(s), most))
		return nil
	}
	r.b = rest
	return s
}

// fixed fills dst, which has to be the length sent.
func (r *reader) fixed(dst []byte) {
	if s := r.bytes(len(dst)); r.err == nil && copy(dst, s) != len(dst) {
		r.fail(fmt.Sprintf("has %d bytes, it has to have %d", len(s), len(dst)))
	}
}

func (r *reader) uint() uint64 {
	if !r.wants("an unsigned integer", msgp.UintType, msgp.IntType) {
		return 0
	}
	v, rest, err := msgp.ReadUint64Bytes(r.b)
	if err != nil {
		r.fail("is negative or cut short")
		return 0
	}
	r.b = rest
	return v
}

// capacity is a count that is stored in 31 bits.
func (r *reader) capacity() uint32 {
	v := r.uint()
	if v > math.MaxInt32 {
		r.fail(fmt.Sprintf("has a capacity of %d, allowed are %d", v, math.MaxInt32))
		return 0
	}
	return uint32(v)
}

func (r *reader) bool() bool {
	if !r.wants("a boolean", msgp.BoolType) {
		return false
	}
	v, rest, err := msgp.ReadBoolBytes(r.b)
	if err != nil {
		r.fail("is cut short")
		return false
	}
	r.b = rest
	return v
}

// array is the number of elements of the array that begins here. None takes
// fewer than least bytes, so a number that can't be true is refused before a loop
// runs over it.
func (r *reader) array(least int) int {
	if !r.wants("an array", msgp.ArrayType) {
		return 0
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(r.b)
	return r.counted(n, rest, err, least)
}

// features is a short list of short strings.
func (r *reader) features() []string {
	n := r.array(1)
	if n > maxFeatures {
		r.fail(fmt.Sprintf("has %d elements, allowed are %d", n, maxFeatures))
		return nil
	}
	var all []string
	for range n {
		all = append(all, r.string(maxFeature))
	}
	return all
}

// mapping gives one turn for each pair of the map that begins here, while all is well.
func (r *reader) mapping() iter.Seq[struct{}] {
	n := 0
	if r.wants("a map", msgp.MapType) {
		sz, rest, err := msgp.ReadMapHeaderBytes(r.b)
		n = r.counted(sz, rest, err, 2)
	}
	return func(yield func(struct{}) bool) {
		for range n {
			if r.err != nil || !yield(struct{}{}) {
				return
			}
		}
	}
}

func (r *reader) counted(n uint32, rest []byte, err error, least int) int {
	switch {
	case err != nil:
		r.fail("is cut short")
		return 0
	case uint64(n)*uint64(least) > uint64(len(rest)):
		r.fail(fmt.Sprintf("counts %d elements in %d bytes", n, len(rest)))
		return 0
	}
	r.b = rest
	return int(n)
}

// skip passes over one value of any type.
func (r *reader) skip() { r.skipWithin(maxDepth) }

// skipWithin bounds the depth itself: msgp would follow a hundred thousand levels.
func (r *reader) skipWithin(depth int) {
	if r.err != nil {
		return
	}
	if len(r.b) == 0 {
		r.fail("is cut short")
		return
	}
	var n int
	switch msgp.NextType(r.b) {
	case msgp.ArrayType:
		n = r.array(1)
	case msgp.MapType:
		sz, rest, err := msgp.ReadMapHeaderBytes(r.b)
		n = 2 * r.counted(sz, rest, err, 2)
	default:
		rest, err := msgp.Skip(r.b)
		if err != nil {
			r.fail("is cut short")
			return
		}
		r.b = rest
		return
	}
	if n > 0 && depth == 0 {
		r.fail(fmt.Sprintf("is nested deeper than %d levels", maxDepth))
	}
	for range n {
		r.skipWithin(depth - 1)
		if r.err != nil {
			return
		}
	}
}
