package target

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// counts are what a target has done, each entry counted once however often it
// was tried.
type counts struct {
	in, out, dropped, retried, rejected, damaged atomic.Uint64

	oldest atomic.Int64 // when the first entry of the batch being delivered entered; 0: none, or not known
}

// Stats is how a target is doing.
type Stats struct {
	Name, Kind string

	In       uint64 // entries pushed
	Out      uint64 // entries delivered
	Dropped  uint64 // entries lost, because there was no room or the target was removed
	Rejected uint64 // entries that the receiver will not take
	Retried  uint64 // batches sent once more
	Damaged  uint64 // files of the spool that were not what had been written

	QueueEntries uint64 // waiting, on disk and in memory
	QueueBytes   int64
	Oldest       time.Duration // how long the batch being delivered has waited, or the target has failed to begin

	Failing     bool // the last try failed, to begin or to deliver
	LastError   string
	LastErrorAt time.Time
}

// Stats tells how the target is doing.
func (t *Target) Stats() Stats {
	c := &t.counts
	s := Stats{
		Name: t.o.Name, Kind: t.o.Kind,
		In: c.in.Load(), Out: c.out.Load(), Dropped: c.dropped.Load(),
		Rejected: c.rejected.Load(), Retried: c.retried.Load(), Damaged: c.damaged.Load(),
	}
	bytes, entries := t.stage.size()
	s.QueueEntries, s.QueueBytes = uint64(entries), int64(bytes)
	if q := t.queue.Load(); q != nil {
		stats := q.Stats()
		s.QueueBytes += stats.Bytes
		s.QueueEntries += stats.Last - min(stats.Told, stats.Last)
	}
	if at := c.oldest.Load(); at > 0 {
		s.Oldest = time.Since(time.Unix(0, at))
	}
	f := &t.failures
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Failing, s.LastError, s.LastErrorAt = !f.since.IsZero(), f.last, f.at
	if s.Failing && s.Oldest == 0 && s.QueueEntries > 0 { // it has not come as far as to a batch
		s.Oldest = time.Since(f.since)
	}
	return s
}

// tellEvery is how often the same failure is told of.
const tellEvery = 10 * time.Second

// failures tells of failures on the console, each kind now and then with how
// often it happened.
type failures struct {
	report *slog.Logger

	mu    sync.Mutex // protects all below
	since time.Time  // the target has been failing since; zero: it works
	last  string
	at    time.Time
	told  map[string]time.Time
	more  map[string]int

	lost     uint64 // entries dropped and not told of
	toldLost time.Time
}

// note tells of a failure. message holds no changing part.
func (f *failures) note(message string, err error, args ...any) {
	f.mu.Lock()
	now := time.Now()
	f.last, f.at = err.Error(), now
	if f.told == nil {
		f.told, f.more = make(map[string]time.Time), make(map[string]int)
	}
	f.more[message]++
	times := f.more[message]
	if now.Sub(f.told[message]) < tellEvery {
		f.mu.Unlock()
		return
	}
	f.told[message] = now
	delete(f.more, message)
	f.mu.Unlock()
	f.report.Error(message, append(args, "error", err, "times", times)...) //nolint:sloglint // each caller's message is constant
}

// failing notes that the target cannot begin, or that the receiver has not taken
// a batch.
func (f *failures) failing(message string, err error) {
	f.mu.Lock()
	if f.since.IsZero() {
		f.since = time.Now()
	}
	f.mu.Unlock()
	f.note(message, err)
}

// started notes that the target could not begin, and now has.
func (f *failures) started() {
	f.mu.Lock()
	since := f.since
	f.since = time.Time{}
	f.mu.Unlock()
	f.report.Info("target started", "failed_for", time.Since(since).Round(time.Millisecond).String())
}

// works notes that the receiver has taken a batch.
func (f *failures) works() {
	f.mu.Lock()
	since := f.since
	f.since = time.Time{}
	f.mu.Unlock()
	if !since.IsZero() {
		f.report.Info("target takes entries again", "failed_for", time.Since(since).Round(time.Millisecond).String())
	}
}

// dropped tells that entries were dropped, how many since it was told last.
func (f *failures) dropped(n uint64, reason string, finally bool) {
	f.mu.Lock()
	f.lost += n
	now := time.Now()
	if f.lost == 0 || !finally && now.Sub(f.toldLost) < tellEvery {
		f.mu.Unlock()
		return
	}
	n, f.lost, f.toldLost = f.lost, 0, now
	f.mu.Unlock()
	f.report.Warn("entries dropped", "count", n, "reason", reason)
}
