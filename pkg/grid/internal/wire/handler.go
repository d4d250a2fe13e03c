package wire

import (
	"encoding/binary"
	"fmt"
)

// Handler is what its owner announces of a handler: the name that callers
// know it by and the number that stands for it on this link.
type Handler struct {
	Name   string
	Number uint64
	Stream bool
	In     uint32 // of a stream: requests in flight
	Out    uint32 // of a stream: responses in flight
}

// MaxHandlerName is the longest handler name in bytes.
const MaxHandlerName = 128

// AppendHandlers appends the body of an Announce frame.
func AppendHandlers(dst []byte, hs []Handler) []byte {
	for _, h := range hs {
		dst = appendBytes(dst, []byte(h.Name))
		dst = binary.AppendUvarint(dst, h.Number)
		kind := byte(0)
		if h.Stream {
			kind = 1
		}
		dst = append(dst, kind)
		dst = binary.AppendUvarint(dst, uint64(h.In))
		dst = binary.AppendUvarint(dst, uint64(h.Out))
	}
	return dst
}

// ParseHandlers reads the body of an Announce frame and calls add for each
// handler in it, until add gives an error.
func ParseHandlers(b []byte, add func(Handler) error) error {
	for len(b) > 0 {
		c := cursor{b: b}
		name := c.bytes("name")
		h := Handler{Number: c.uvarint("number")}
		kind := c.uvarint("kind")
		in, out := c.uvarint("in capacity"), c.uvarint("out capacity")
		switch {
		case c.bad != "":
			return &ViolationError{Announce, "handler's " + c.bad + " runs over the end of the frame or is no uvarint"}
		case len(name) == 0 || len(name) > MaxHandlerName:
			return &ViolationError{Announce, fmt.Sprintf("handler name of %d bytes, allowed are 1 to %d", len(name), MaxHandlerName)}
		case kind > 1:
			return &ViolationError{Announce, fmt.Sprintf("handler kind %d, allowed are 0 (single) and 1 (stream)", kind)}
		case in > 1<<31-1 || out > 1<<31-1:
			return &ViolationError{Announce, "capacity above 2147483647"}
		}
		h.Name, h.Stream, h.In, h.Out = string(name), kind == 1, uint32(in), uint32(out)
		if err := add(h); err != nil {
			return err
		}
		b = c.b
	}
	return nil
}
