package spool

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// ErrFull is returned when an entry finds no room within MaxBytes.
var ErrFull = errors.New("the spool is full")

// Options say where a spool is and how large it may become.
type Options struct {
	Dir string
	FS  fsys.FS // nil: fsys.Disk()

	// MaxBytes bounds all files of the spool together, those set aside too.
	// Default 256 MiB. Room comes back a segment at a time: a
	// sixteenth of it, or 4 MiB if that is less.
	MaxBytes int64
	// Base is the id before the first one that a new spool will be given.
	Base uint64
	// Damaged is told of every file that is not what was written, by whoever
	// finds it, within Open or Next. Required.
	Damaged func(file string, offset int64, reason string)
}

// Queue is an open spool. One goroutine may Append and Sync while another one
// calls Next and Ack; Stats may be called by anybody.
type Queue struct {
	o    Options
	lock io.Closer
	out  writer
	in   cursor // where the next entry is; of whoever takes out
	acks fsys.File

	mu       sync.Mutex // protects all below
	segments []segment  // oldest first; the last one may be being written
	bad      int64      // bytes of the files set aside
	last     uint64     // id of the newest entry
	done     ack        // how far the spool is done with
}

// segment is a file of the spool.
type segment struct {
	number uint64
	size   int64 // what may be read of it
	bad    bool  // to be set aside when it is done with
}

func (q *Queue) path(number uint64, kind string) string {
	return filepath.Join(q.o.Dir, fmt.Sprintf("%020d.%s", number, kind))
}

// Stats is how full a spool is.
type Stats struct {
	Last  uint64 // id of the newest entry, those that are done with included
	Told  uint64 // id of the last entry whose fate the receiver knows
	Bytes int64  // of entries that wait
	Used  int64  // on disk, in all
}

// Stats tells how full the spool is.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Last: q.last, Told: q.done.told, Used: q.bad}
	for _, g := range q.segments {
		s.Used += g.size
		switch {
		case g.number > q.done.segment:
			s.Bytes += g.size
		case g.number == q.done.segment:
			s.Bytes += g.size - q.done.offset
		}
	}
	return s
}

// damaged has a segment set aside when it is done with, and tells so once.
func (q *Queue) damaged(g segment, offset int64, reason string) {
	q.mu.Lock()
	i := slices.IndexFunc(q.segments, func(s segment) bool { return s.number == g.number && !s.bad })
	if i >= 0 {
		q.segments[i].bad = true
	}
	q.mu.Unlock()
	if i >= 0 {
		q.o.Damaged(q.path(g.number, "seg"), offset, reason)
	}
}

// Close syncs what was appended and lets go of the files. Neither side may be
// in use.
func (q *Queue) Close() error {
	err := q.seal()
	q.in.close()
	for _, c := range []io.Closer{q.acks, q.lock} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}
