package wire

import "encoding/binary"

// Append appends f to dst and returns the longer slice. Fields that f's kind
// does not have are left out; a Begin carries the fields of its Inner kind but
// no body.
func Append(dst []byte, f *Frame) []byte {
	head := byte(f.Kind)
	if f.Mine {
		head |= mine
	}
	set := layout[f.Kind]
	inner := fields(0)
	if f.Kind == Begin {
		inner = layout[f.Inner] &^ hasBody
	}
	dst = append(dst, head)
	dst = binary.AppendUvarint(dst, uint64(size(f, set)+size(f, inner)))
	dst = appendFields(dst, f, set)
	if inner != 0 {
		dst = appendFields(dst, f, inner)
	}
	if set&hasBody != 0 {
		dst = append(dst, f.Body...)
	}
	return dst
}

// Size is the number of bytes that Append adds for f.
func Size(f *Frame) int {
	n := size(f, layout[f.Kind])
	if f.Kind == Begin {
		n += size(f, layout[f.Inner]&^hasBody)
	}
	return 1 + uvarintLen(uint64(n)) + n
}

func size(f *Frame, set fields) int {
	n := 0
	if set&hasID != 0 {
		n += uvarintLen(f.ID)
	}
	if set&hasTimeout != 0 {
		n += uvarintLen(f.Timeout)
	}
	if set&hasHandler != 0 {
		n += uvarintLen(f.Handler)
	}
	if set&hasHeader != 0 {
		n += uvarintLen(uint64(len(f.Header))) + len(f.Header)
	}
	if set&hasCode != 0 {
		n += uvarintLen(uint64(len(f.Code))) + len(f.Code)
	}
	if set&hasMessage != 0 {
		n += uvarintLen(uint64(len(f.Message))) + len(f.Message)
	}
	if set&hasMsgs != 0 {
		n += uvarintLen(f.Msgs)
	}
	if set&hasBytes != 0 {
		n += uvarintLen(f.Bytes)
	}
	if set&hasXfer != 0 {
		n += uvarintLen(f.Xfer)
	}
	if set&hasTotal != 0 {
		n += uvarintLen(f.Total)
	}
	if set&hasInner != 0 {
		n++
	}
	if set&hasBody != 0 {
		n += len(f.Body)
	}
	return n
}

func appendFields(dst []byte, f *Frame, set fields) []byte {
	if set&hasID != 0 {
		dst = binary.AppendUvarint(dst, f.ID)
	}
	if set&hasTimeout != 0 {
		dst = binary.AppendUvarint(dst, f.Timeout)
	}
	if set&hasHandler != 0 {
		dst = binary.AppendUvarint(dst, f.Handler)
	}
	if set&hasHeader != 0 {
		dst = appendBytes(dst, f.Header)
	}
	if set&hasCode != 0 {
		dst = appendBytes(dst, f.Code)
	}
	if set&hasMessage != 0 {
		dst = appendBytes(dst, f.Message)
	}
	if set&hasMsgs != 0 {
		dst = binary.AppendUvarint(dst, f.Msgs)
	}
	if set&hasBytes != 0 {
		dst = binary.AppendUvarint(dst, f.Bytes)
	}
	if set&hasXfer != 0 {
		dst = binary.AppendUvarint(dst, f.Xfer)
	}
	if set&hasTotal != 0 {
		dst = binary.AppendUvarint(dst, f.Total)
	}
	if set&hasInner != 0 {
		inner := byte(f.Inner)
		if f.Ask {
			inner |= ask
		}
		dst = append(dst, inner)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
