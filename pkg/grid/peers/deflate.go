package peers

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// deflate compresses the JSON of a payload. The bytes may differ from one Go
// release to the next: they are signed as they are, and never made again.
func deflate(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// inflate gives the JSON of a payload: exactly one gzip member, at most
// MaxInflated bytes.
func inflate(compressed []byte) ([]byte, error) {
	in := bytes.NewReader(compressed)
	r := inflaters.Get().(*gzip.Reader)
	defer inflaters.Put(r)
	if err := r.Reset(in); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	r.Multistream(false)
	var text bytes.Buffer
	text.Grow(inflatedLen(compressed) + bytes.MinRead) // and some, to see the end without growing
	_, err := text.ReadFrom(io.LimitReader(r, MaxInflated+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	case text.Len() > MaxInflated:
		return nil, fmt.Errorf("%w: the payload inflates to more than %d bytes", ErrMalformed, MaxInflated)
	case in.Len() > 0:
		return nil, fmt.Errorf("%w: %d bytes after the gzip member of the payload", ErrMalformed, in.Len())
	}
	return text.Bytes(), nil
}

// inflaters are used again: each has tables and a window of 32 KiB.
var inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}

// mostRatio is how far deflate can go, near enough.
const mostRatio = 1032

// inflatedLen is how long the text is going to be, as the end of a gzip member
// has it, and within what is possible and allowed.
func inflatedLen(compressed []byte) int {
	if len(compressed) < 4 {
		return 0
	}
	said := binary.LittleEndian.Uint32(compressed[len(compressed)-4:])
	return int(min(int64(said), mostRatio*int64(len(compressed)), MaxInflated))
}
