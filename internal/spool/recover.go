package spool

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// Open opens the spool in a folder, which it makes if need be, and mends what a
// crash has left. It reads only the newest segment, whatever the others hold.
func Open(o Options) (*Queue, error) {
	o.FS, o.MaxBytes = cmp.Or(o.FS, fsys.Disk()), cmp.Or(o.MaxBytes, 256<<20)
	q := &Queue{o: o}
	if err := q.open(); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, errors.Join(err, q.Close()))
	}
	return q, nil
}

func (q *Queue) open() (err error) {
	if err := q.o.FS.MkdirAll(q.o.Dir); err != nil {
		return err
	}
	if q.lock, err = q.o.FS.Lock(filepath.Join(q.o.Dir, "lock")); err != nil {
		return err
	}
	files, err := q.o.FS.List(q.o.Dir)
	if err != nil {
		return err
	}
	for name, size := range files {
		stem, kind, _ := strings.Cut(name, ".")
		number, err := strconv.ParseUint(stem, 10, 64)
		switch {
		case err != nil:
			continue // none of ours
		case kind == "bad":
			q.bad += size
		case kind == "seg":
			if size < headBytes { // made, and no more
				size = 0
			}
			q.segments = append(q.segments, segment{number: number, size: size})
		}
		q.out.next = max(q.out.next, number+1)
	}
	slices.SortFunc(q.segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	if err := q.openAck(files["ack"] > 0); err != nil {
		return err
	}
	q.out.next = max(q.out.next, q.done.segment+1)
	q.in = cursor{number: q.done.segment, at: q.done.offset, last: q.done.told, buf: bufio.NewReaderSize(nil, frameHead+MaxEntry)}
	q.last = q.done.told
	if err := q.clean(q.done.segment); err != nil { // a removal was cut short
		return err
	}
	found := uint64(0)
	for i := len(q.segments) - 1; i >= 0 && found == 0 && err == nil; i-- {
		found, err = q.scan(&q.segments[i], i == len(q.segments)-1)
	}
	q.last = max(q.last, found)
	return err
}

// scan gives the id of the last entry in a segment. From the newest one it cuts
// what a crash has left behind that, lest it is taken for damage later.
func (q *Queue) scan(g *segment, newest bool) (last uint64, err error) {
	c := cursor{number: g.number, buf: q.in.buf}
	defer c.close()
	if err := c.open(q, *g); err != nil {
		return 0, err
	}
	end := c.at
	for c.at < c.end {
		if e, length := c.peek(); length > 0 {
			c.skip(length)
			c.last, end = e.ID, c.at
		} else {
			c.resync()
		}
	}
	if newest && c.file != nil {
		// Whether these fail shows elsewhere: the next damage, the next sync.
		_ = c.file.Truncate(end)
		_ = c.file.Sync() // the process that wrote it may not have come to that
		g.size = end
	}
	return c.last, nil
}
