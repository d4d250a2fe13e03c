package grid

import (
	"encoding/binary"
	"fmt"
)

// mostHeader is what no node's Limits.MaxHeader exceeds.
const mostHeader = 16 * kib

// encode gives the header as it travels: keys and values, each behind its
// length; nil for an empty one. Whether the peer takes so much is its link's to say.
func (h Header) encode() ([]byte, error) {
	if len(h) == 0 {
		return nil, nil
	}
	var b []byte
	for k, v := range h {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	if len(b) > mostHeader {
		return nil, fmt.Errorf("%w: it has %d bytes, nobody takes more than %d", ErrHeaderTooLarge, len(b), mostHeader)
	}
	return b, nil
}

// decodeHeader reads what encode wrote. What is malformed ends it: a header is
// a hint, and no reason to fail a call.
func decodeHeader(b []byte) Header {
	if len(b) == 0 {
		return nil
	}
	h := Header{}
	text := func() (string, bool) {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return "", false
		}
		s := string(b[used : used+int(n)])
		b = b[used+int(n):]
		return s, true
	}
	for len(b) > 0 {
		k, ok := text()
		if !ok {
			break
		}
		v, ok := text()
		if !ok {
			break
		}
		h[k] = v
	}
	return h
}
