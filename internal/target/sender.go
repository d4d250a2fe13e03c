package target

import (
	"time"

	"github.com/gridmesh/gridmesh/internal/spool"
)

// sender is the goroutine that takes entries out of a spool and delivers them.
type sender struct {
	t    *Target
	q    *spool.Queue
	d    delivery
	more chan struct{} // has room for one: that something was appended
	last chan struct{} // closed: nothing more will be appended
	done chan struct{} // closed when the goroutine has ended
}

func newSender(t *Target, q *spool.Queue) *sender {
	return &sender{
		t: t, q: q, d: delivery{t: t},
		more: make(chan struct{}, 1), last: make(chan struct{}), done: make(chan struct{}),
	}
}

func (s *sender) notify() {
	select {
	case s.more <- struct{}{}:
	default: // it knows already
	}
}

// run delivers until nothing is left and nothing more comes, or sending ends.
func (s *sender) run() {
	defer close(s.done)
	t := s.t
	if s.d.sink = t.openSink(); s.d.sink == nil {
		return
	}
	defer t.closeSink(s.d.sink)
	var b spool.Batch
	var pause backoff
	for s.gather() {
		if err := s.q.Next(&b, t.o.BatchCount, t.o.BatchBytes); err != nil {
			t.failures.note("spool not read, trying again", err)
			if !pause.wait(t.sending.Done(), 0) {
				return
			}
			continue // what b holds comes with the next batch: it is not acknowledged
		}
		pause.reset()
		if rest := s.d.all(b.Entries); len(rest) > 0 {
			return
		}
		for {
			err := s.q.Ack(&b, t.told.id)
			if err == nil {
				break
			}
			t.failures.note("spool not acknowledged, trying again", err)
			if !pause.wait(t.sending.Done(), 0) {
				return
			}
		}
	}
}

// gather waits until a batch is full, or its first entry has waited for long
// enough, or nothing more comes. It returns false when there is nothing to do
// any more.
func (s *sender) gather() bool {
	t := s.t
	var clock *time.Timer
	var timer <-chan time.Time
	defer func() {
		if clock != nil {
			clock.Stop()
		}
	}()
	for {
		stats := s.q.Stats()
		last := false
		select {
		case <-s.last:
			last = true
		default:
		}
		switch {
		case t.sending.Err() != nil:
			return false
		case stats.Bytes == 0 && last:
			return false
		case stats.Bytes > 0 && (last || stats.Bytes >= int64(t.o.BatchBytes) || stats.Last-stats.Told >= uint64(t.o.BatchCount)):
			return true
		case stats.Bytes > 0 && timer == nil:
			if t.o.BatchAge <= 0 {
				return true
			}
			clock = time.NewTimer(t.o.BatchAge)
			timer = clock.C
		}
		select {
		case <-timer:
			return true
		case <-s.more:
		case <-s.last:
			if stats.Bytes == 0 {
				return s.q.Stats().Bytes > 0 && t.sending.Err() == nil
			}
		case <-t.sending.Done():
			return false
		}
	}
}
