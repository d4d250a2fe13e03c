package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
	"github.com/gridmesh/gridmesh/internal/target"
)

// A witness sees calls, and when a target that they log to is at work. So the
// calls that ran meanwhile can be told from the others of the same time, which had
// the same neighbours: what is in between them is the target's doing, and no noise.
type witness struct {
	began time.Time

	mu    sync.Mutex // protects what follows
	calls []span
	work  []span
}

// span is a time from and to, since the witness began.
type span struct{ from, to time.Duration }

const (
	// nearby is how long before and behind a piece of work calls that begin count as
	// touched by it: those that it finds on their way, and those that wait for the
	// processor or a core that it wakes.
	nearby = time.Millisecond
	// edge is how long of the beginning and the end of a longer piece are work. In
	// between it waits for somebody else.
	edge = 5 * time.Millisecond
)

// newWitness makes one with room for so many calls: to grow would cost them time.
func newWitness(calls int) *witness {
	return &witness{began: time.Now(), calls: make([]span, 0, calls)}
}

// reset forgets all calls.
func (w *witness) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = w.calls[:0]
}

// call has seen a call that began then and has ended now.
func (w *witness) call(from, to time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, span{from.Sub(w.began), to.Sub(w.began)})
}

// worked has seen a piece of work that began then and ends now.
func (w *witness) worked(from time.Time) {
	s := span{from.Sub(w.began), time.Since(w.began)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.to-s.from > 2*edge {
		w.work = append(w.work, span{s.from, s.from + edge})
		s.from = s.to - edge
	}
	w.work = append(w.work, s)
}

// pieces is how many pieces of work it has seen.
func (w *witness) pieces() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.work)
}

// rise is the p99 of all calls as a multiple of that of those that no work has
// touched.
func (w *witness) rise() (float64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	work := merged(w.work)
	var all, untouched Histogram
	for _, c := range w.calls {
		all.Record(c.to - c.from)
		if !touched(work, c.from) { // when it ends matters not, or slow calls would be touched more often
			untouched.Record(c.to - c.from)
		}
	}
	if untouched.Count() == 0 {
		return 0, errors.New("no call ran while the target had nothing to do")
	}
	return float64(all.Quantile(0.99)) / float64(untouched.Quantile(0.99)), nil
}

// merged is pieces of work with what is nearby, in order; those that overlap are one.
func merged(work []span) []span {
	var list []span
	for _, s := range slices.SortedFunc(slices.Values(work), func(a, b span) int { return cmp.Compare(a.from, b.from) }) {
		s = span{s.from - nearby, s.to + nearby}
		if last := len(list) - 1; last >= 0 && s.from <= list[last].to {
			list[last].to = max(list[last].to, s.to)
			continue
		}
		list = append(list, s)
	}
	return list
}

// touched reports whether a call that begins then begins within any of the work,
// which is merged.
func touched(work []span, from time.Duration) bool {
	i := sort.Search(len(work), func(i int) bool { return work[i].to > from })
	return i < len(work) && work[i].from < from
}

// disk is the machine's disk with what is done on it seen.
func (w *witness) disk() fsys.FS { return seenDisk{fsys.Disk(), w} }

type seenDisk struct {
	fsys.FS
	w *witness
}

func (d seenDisk) Open(name string, create bool) (fsys.File, error) {
	defer d.w.worked(time.Now())
	f, err := d.FS.Open(name, create)
	if err != nil {
		return nil, err
	}
	return seenFile{f, d.w}, nil
}

func (d seenDisk) Rename(from, to string) error {
	defer d.w.worked(time.Now())
	return d.FS.Rename(from, to)
}

func (d seenDisk) Remove(name string) error {
	defer d.w.worked(time.Now())
	return d.FS.Remove(name)
}

func (d seenDisk) SyncDir(dir string) error {
	defer d.w.worked(time.Now())
	return d.FS.SyncDir(dir)
}

type seenFile struct {
	fsys.File
	w *witness
}

func (f seenFile) ReadAt(p []byte, at int64) (int, error) {
	defer f.w.worked(time.Now())
	return f.File.ReadAt(p, at)
}

func (f seenFile) WriteAt(p []byte, at int64) (int, error) {
	defer f.w.worked(time.Now())
	return f.File.WriteAt(p, at)
}

func (f seenFile) Sync() error {
	defer f.w.worked(time.Now())
	return f.File.Sync()
}

// sink is a sink with each try to deliver seen.
func (w *witness) sink(s target.Sink) target.Sink { return seenSink{s, w} }

type seenSink struct {
	target.Sink
	w *witness
}

func (s seenSink) Send(ctx context.Context, b target.Batch) error {
	defer s.w.worked(time.Now())
	return s.Sink.Send(ctx, b)
}
