package grid

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/tinylib/msgp/msgp"
)

// msgPtr is *T with the methods that msgp generates for T.
type msgPtr[T any] interface {
	*T
	msgp.Marshaler
	msgp.Unmarshaler
}

// codec turns messages into msgpack and back. Holding functions, not type
// parameters of their own, lets users write *Single[Q, R] for its type.
type codec[T any] struct {
	marshal   func(*T, []byte) ([]byte, error)
	unmarshal func(*T, []byte) ([]byte, error)
	// borrows: a decoded message may point into the bytes that it came from.
	borrows bool
}

func newCodec[T any, P msgPtr[T]]() codec[T] {
	return codec[T]{
		marshal:   func(v *T, b []byte) ([]byte, error) { return P(v).MarshalMsg(b) },
		unmarshal: func(v *T, b []byte) ([]byte, error) { return P(v).UnmarshalMsg(b) },
		borrows:   borrows(reflect.TypeFor[T](), map[reflect.Type]bool{}),
	}
}

// encode appends v to b. A nil v is a mistake of the program, and an error.
func (c *codec[T]) encode(v *T, b []byte) ([]byte, error) {
	if v == nil {
		return b, fmt.Errorf("is a nil *%v", reflect.TypeFor[T]())
	}
	b, err := c.marshal(v, b)
	if err != nil {
		return b, fmt.Errorf("can't be encoded: %s", sayPlainly(err))
	}
	return b, nil
}

// decode makes a message of b, of which the message keeps nothing unless
// c.borrows. The error names the field where msgp does.
func (c *codec[T]) decode(b []byte) (*T, error) {
	if err := scan(b); err != nil {
		return nil, err
	}
	v := new(T)
	rest, err := c.unmarshal(v, b)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is no %v: %s", reflect.TypeFor[T](), sayPlainly(err))
	case len(rest) > 0:
		return nil, fmt.Errorf("is no %v: %d of its bytes were not read", reflect.TypeFor[T](), len(rest))
	}
	return v, nil
}

// sayPlainly gives what msgp says of an error, without its name.
func sayPlainly(err error) string {
	return strings.TrimPrefix(err.Error(), "msgp: ")
}

// borrows reports whether the code that msgp generates for t keeps a part of
// what it decodes: it does so for fields tagged zerocopy, and for no others.
func borrows(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return borrows(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if strings.Contains(string(f.Tag), "zerocopy") || borrows(f.Type, seen) {
				return true
			}
		}
	default:
	}
	return false
}

// release gives back the memory of a message that was decoded. Interceptors
// have seen it, but it was only lent to them: any user may release what it gets.
func (c *codec[T]) release(b []byte) {
	if !c.borrows {
		Release(b)
	}
}

// scratch is memory for an encoded message on its way into a link, which
// copies it. It is used again and again.
type scratch struct{ b []byte }

// maxScratch is the size above which a buffer is not kept for the next message.
const maxScratch = 64 * kib

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	s.trim()
	scratches.Put(s)
}

func (s *scratch) trim() {
	if cap(s.b) > maxScratch {
		s.b = nil
	}
}

// encodeTo is encode into scratch.
func (c *codec[T]) encodeTo(s *scratch, v *T) (err error) {
	s.b, err = c.encode(v, s.b[:0])
	return err
}

// None is the message of who has nothing to say: the payload of a stream that
// needs none, the requests of one that only answers. It encodes as an empty
// map and decodes from anything, so either side may replace it later by a type
// of its own.
type None struct{}

// MarshalMsg appends an empty map.
func (*None) MarshalMsg(b []byte) ([]byte, error) { return msgp.AppendMapHeader(b, 0), nil }

// UnmarshalMsg skips one value.
func (*None) UnmarshalMsg(b []byte) ([]byte, error) { return msgp.Skip(b) }
