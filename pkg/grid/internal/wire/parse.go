package wire

import (
	"encoding/binary"
	"fmt"
)

// ViolationError says how bytes broke the protocol. A link that meets one ends.
type ViolationError struct {
	Kind   Kind   // of the frame, 0 if not even that could be read
	Reason string // what is wrong, naming the field
}

// Error names the frame and the field.
func (e *ViolationError) Error() string {
	if e.Kind == 0 {
		return "protocol violation: " + e.Reason
	}
	return fmt.Sprintf("protocol violation in %s: %s", e.Kind, e.Reason)
}

// Parse reads the first frame of b into f and returns how many bytes it took.
// The slices in f lie in b. An unknown steering frame is parsed to its Kind
// alone. The error is a *ViolationError; f is then undefined.
func Parse(b []byte, f *Frame) (int, error) {
	if len(b) == 0 {
		return 0, &ViolationError{Reason: "empty frame"}
	}
	*f = Frame{Kind: Kind(b[0] &^ mine), Mine: b[0]&mine != 0}
	size, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return 0, &ViolationError{f.Kind, "size is not a uvarint"}
	}
	rest := b[1+n:]
	// Compared unsigned, before any conversion: a size above the batch can't turn negative.
	if size > uint64(len(rest)) {
		return 0, &ViolationError{f.Kind, fmt.Sprintf("size %d is more than the %d bytes left in the batch", size, len(rest))}
	}
	rest = rest[:size]
	took := 1 + n + int(size)
	if !f.Kind.Known() {
		if f.Kind.Steering() {
			return took, nil
		}
		return 0, &ViolationError{f.Kind, "this version does not know it"}
	}
	c := cursor{b: rest}
	c.fields(f, layout[f.Kind])
	if f.Kind == Begin {
		if c.bad == "" && !chunkable(f.Inner) {
			return 0, &ViolationError{f.Kind, fmt.Sprintf("a %s can't follow in chunks", f.Inner)}
		}
		c.fields(f, layout[f.Inner]&^hasBody)
	}
	if c.bad != "" {
		return 0, &ViolationError{f.Kind, c.bad + " runs over the end of the frame or is no uvarint"}
	}
	if layout[f.Kind]&hasBody != 0 {
		f.Body = c.b
	} else if len(c.b) != 0 {
		return 0, &ViolationError{f.Kind, fmt.Sprintf("%d bytes after the last field", len(c.b))}
	}
	return took, nil
}

// cursor reads fields one after the other and remembers the first that did not
// fit, so that the callers need one check for all of them.
type cursor struct {
	b   []byte
	bad string // name of the first bad field
}

func (c *cursor) fields(f *Frame, set fields) {
	if set&hasID != 0 {
		f.ID = c.uvarint("id")
	}
	if set&hasTimeout != 0 {
		f.Timeout = c.uvarint("timeout")
	}
	if set&hasHandler != 0 {
		f.Handler = c.uvarint("handler")
	}
	if set&hasHeader != 0 {
		f.Header = c.bytes("header")
	}
	if set&hasCode != 0 {
		f.Code = c.bytes("code")
	}
	if set&hasMessage != 0 {
		f.Message = c.bytes("message")
	}
	if set&hasMsgs != 0 {
		f.Msgs = c.uvarint("messages")
	}
	if set&hasBytes != 0 {
		f.Bytes = c.uvarint("bytes")
	}
	if set&hasXfer != 0 {
		f.Xfer = c.uvarint("transfer")
	}
	if set&hasTotal != 0 {
		f.Total = c.uvarint("total")
	}
	if set&hasInner != 0 {
		if len(c.b) == 0 {
			c.fail("inner kind")
			return
		}
		f.Inner, f.Ask, c.b = Kind(c.b[0]&^ask), c.b[0]&ask != 0, c.b[1:]
	}
}

func (c *cursor) uvarint(name string) uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail(name)
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes(name string) []byte {
	n := c.uvarint(name)
	if n > uint64(len(c.b)) {
		c.fail(name)
		return nil
	}
	if n == 0 {
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) fail(name string) {
	if c.bad == "" {
		c.bad = name
	}
	c.b = nil
}
