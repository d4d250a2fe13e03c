package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// Batch is some entries on their way. It is used again and again; its entries
// are valid until it is given to Next once more.
type Batch struct {
	Entries []Entry

	data    []byte
	segment uint64 // where it ends
	offset  int64
}

// Next fills b with the next entries: at most so many, and so many bytes, but
// one whatever its size. No entry means that none is there. After an error the
// entries that b holds count, and Next may be called again.
func (q *Queue) Next(b *Batch, count, size int) error {
	b.Entries, b.data = b.Entries[:0], b.data[:0]
	c := &q.in
	defer func() { _, _ = q.current(); b.segment, b.offset = c.number, c.at }() // at the end of all, the file is let go of
	for len(b.Entries) < count {
		g, more := q.current()
		if !more {
			break
		}
		if err := c.open(q, g); err != nil {
			return err
		}
		e, length := c.peek()
		if length == 0 {
			if c.at < c.end {
				q.damaged(g, c.at, "a checksum is wrong, or an entry is cut")
			}
			c.resync()
			continue
		}
		if len(b.Entries) > 0 && len(b.data)+len(e.Data) > size {
			break
		}
		if e.ID > c.last { // the others are of a file that was abandoned
			b.data = append(b.data, e.Data...)
			e.Data = b.data[len(b.data)-len(e.Data):]
			b.Entries = append(b.Entries, e)
			c.last = e.ID
		}
		c.skip(length)
	}
	return nil
}

// current gives the segment to read, and false if none has anything to read.
func (q *Queue) current() (segment, bool) {
	c := &q.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, g := range q.segments {
		if g.number > c.number {
			c.close()
			c.number, c.at, c.end = g.number, 0, 0
		}
		if g.number == c.number && c.at < g.size {
			return g, true
		}
	}
	c.close() // it may be removed: an open file keeps its room
	return segment{}, false
}

// cursor walks through one segment.
type cursor struct {
	number  uint64
	at, end int64  // in the segment; it is read up to end
	last    uint64 // the last entry passed

	file fsys.File // nil: not open
	buf  *bufio.Reader
}

// open has the cursor read g from where it is. If nothing in g can be read, it
// is at its end.
func (c *cursor) open(q *Queue, g segment) error {
	if c.file == nil {
		file, err := q.o.FS.Open(q.path(g.number, "seg"), false)
		if errors.Is(err, fs.ErrNotExist) {
			c.at, c.end = g.size, g.size
			q.damaged(g, 0, "it is gone")
			return nil
		}
		if err != nil {
			return err
		}
		c.file, c.end = file, c.at
	}
	if c.at == c.end {
		c.end = g.size
		c.buf.Reset(io.NewSectionReader(c.file, c.at, c.end-c.at))
	}
	if c.at > 0 || c.end == 0 {
		return nil
	}
	if head, err := c.buf.Peek(len(magic)); string(head) != magic {
		c.at, c.end = g.size, g.size
		q.damaged(g, 0, fmt.Sprintf("it is no segment of this version, it begins with %q (%v)", head, err))
		return nil
	}
	c.skip(len(magic))
	return nil
}

// peek gives the entry at the cursor and its length; 0 if there is none, or it
// cannot be read.
func (c *cursor) peek() (Entry, int) {
	if head, err := c.buf.Peek(frameHead); c.at < c.end && err == nil {
		length := frameLength(head, c.last)
		if frame, err := c.buf.Peek(length); err == nil && length > 0 {
			if e, ok := parseFrame(c.number, frame); ok {
				return e, length
			}
		}
	}
	return Entry{}, 0
}

func (c *cursor) skip(n int) {
	c.at += int64(n)
	if _, err := c.buf.Discard(n); err != nil {
		c.at = c.end
	}
}

// resync goes on to the next entry, or to the end.
func (c *cursor) resync() {
	for length := 0; length == 0 && c.at < c.end; {
		c.skip(1)
		_, length = c.peek()
	}
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	c.file = nil
}
