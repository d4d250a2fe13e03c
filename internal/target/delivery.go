package target

import (
	"errors"
	"time"

	"github.com/gridmesh/gridmesh/internal/spool"
)

// delivery hands entries to a sink until it has taken them.
type delivery struct {
	t    *Target
	sink Sink

	notices int     // tries of the notice that something is missing
	pause   backoff // between them
}

// noticeTries is how often a receiver is told that entries are missing, while it
// rejects that. One that takes nothing at all is met here: then its entries wait
// for somebody to mend it. One that takes all but notices goes without them.
const noticeTries = 10

// notTaken is what is told of a batch that the receiver has not taken.
const notTaken = "target does not take entries, they wait"

// all delivers entries, batch by batch. It gives back those that it could not
// deliver before sending ended.
func (d *delivery) all(entries []spool.Entry) []spool.Entry {
	t, l := d.t, &d.t.told
	for limit := t.o.BatchCount; ; {
		for len(entries) > 0 && entries[0].ID <= l.done {
			entries = entries[1:]
		}
		if len(entries) == 0 {
			return nil
		}
		t.counts.oldest.Store(entries[0].At.UnixNano())
		items := l.tell(entries, limit, t.o.BatchBytes)
		if len(items) == 0 {
			l.done = entries[len(entries)-1].ID
			continue
		}
		err := d.send(Batch{Origin: t.o.Origin, Run: t.o.Run, Items: items})
		switch rejected := (*Rejected)(nil); {
		case err == nil:
			l.delivered()
			t.counts.out.Add(uint64(l.entries))
			t.failures.works()
			if t.o.Spool.Dir == "" {
				t.safe(l.done)
			}
			limit = min(2*limit, t.o.BatchCount)
			d.notices = 0
			d.pause.reset()
		case errors.As(err, &rejected) && len(items) > 1:
			limit = len(items) / 2 // it may be one of them only
		case errors.As(err, &rejected):
			if d.notices++; l.entries == 0 && d.notices < noticeTries {
				t.failures.failing(notTaken, err)
				if !d.pause.wait(t.sending.Done(), 0) {
					return entries
				}
				continue
			}
			d.notices = 0
			d.pause.reset()
			d.setAside(items[0].Data, rejected)
			l.passed(MissingRejected)
		case t.o.Lossy && t.sending.Err() == nil:
			t.counts.dropped.Add(uint64(l.entries))
			t.failures.failing(notTaken, err)
			l.done = items[len(items)-1].ID
		default:
			return entries
		}
		t.counts.oldest.Store(0)
	}
}

// send delivers one batch, which it tries until the receiver has taken it or
// rejected it for good, or sending ends.
func (d *delivery) send(b Batch) error {
	t := d.t
	var pause backoff
	for {
		err := d.sink.Send(t.sending, b)
		if _, rejected := errors.AsType[*Rejected](err); err == nil || rejected || t.o.Lossy || t.sending.Err() != nil {
			return err
		}
		t.counts.retried.Add(1)
		t.failures.failing(notTaken, err)
		t.tellDropped(false)
		least := time.Duration(0)
		if later, ok := errors.AsType[*Later](err); ok {
			least = min(later.After, mostWait)
		}
		if !pause.wait(t.sending.Done(), least) {
			return err
		}
	}
}

// mostWait bounds what a receiver's Retry-After may ask for.
const mostWait = 10 * time.Minute

// setAside keeps an entry that the receiver will never take, for a person to
// look at.
func (d *delivery) setAside(data []byte, rejected *Rejected) {
	t := d.t
	if t.told.entries == 0 {
		return
	}
	t.counts.rejected.Add(1)
	if t.o.Spool.Dir == "" {
		t.failures.note("entry rejected by the receiver; there is no folder to keep it in", rejected)
		return
	}
	file, err := appendAside(t.o.Spool.Dir, data)
	if err != nil {
		t.failures.note("entry rejected by the receiver, and it cannot be kept", errors.Join(rejected, err))
		return
	}
	t.failures.note("entry rejected by the receiver, it is kept in a file", rejected, "file", file)
}
