package target

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
	"github.com/gridmesh/gridmesh/internal/spool"
)

// run is the goroutine that takes entries from the stage: into the spool, from
// which a second goroutine sends them, or to the sink itself.
func (t *Target) run(before *Target) {
	defer close(t.done)
	defer t.stopSend()
	defer t.free()
	late := before == nil && t.follows != nil
	if late {
		before, t.follows = t.follows, nil // else each would hold all before it
	}
	if issued := t.o.Issued; before != nil {
		<-before.done
		if late {
			t.absent = issued
		}
		if t.first = before.first && !before.began; t.first {
			t.o.Issued = before.o.Issued // nothing has come of it: what was missing then still is
		}
	}
	if t.o.Spool.Dir == "" {
		t.direct(before)
	} else {
		t.spooled(before)
	}
}

// free lets go of memory: a target that has ended is kept for an heir that may
// come late, or never.
func (t *Target) free() {
	t.stage.free()
	t.told.items = nil
	t.follows = nil
}

// try does what must work before a target can, until it does or sending ends.
func (t *Target) try(what func() error) bool {
	var pause backoff
	for failed := false; ; failed = true {
		err := what()
		if err == nil {
			if failed {
				t.failures.started()
			}
			return true
		}
		t.failures.failing("target not started, trying again", err)
		if !pause.wait(t.sending.Done(), 0) {
			return false
		}
	}
}

// openSink makes the sink; nil if sending has ended before that worked.
func (t *Target) openSink() (sink Sink) {
	t.try(func() (err error) {
		sink, err = t.o.Sink()
		return err
	})
	return sink
}

func (t *Target) closeSink(sink Sink) {
	if err := sink.Close(); err != nil {
		t.failures.note("target not closed well", err)
	}
}

// openSpool opens the spool. One that another target has left, and that is
// empty, begins anew: what it had told of counts no more.
func (t *Target) openSpool(before *Target) error {
	o := t.o.Spool
	o.Base = t.o.Issued
	if !t.first {
		o.Base = before.told.id
	}
	o.Damaged = func(file string, offset int64, reason string) {
		t.counts.damaged.Add(1)
		t.failures.report.Error("spool damaged, the rest is delivered", "file", file, "offset", offset, "reason", reason)
	}
	q, err := spool.Open(o)
	if err != nil {
		return err
	}
	if !t.first && before.o.Spool.Dir != o.Dir && q.Stats().Last != o.Base && q.Stats().Bytes == 0 {
		if err := errors.Join(q.Close(), removeSpool(o)); err != nil {
			return err
		}
		if q, err = spool.Open(o); err != nil {
			return err
		}
	}
	t.queue.Store(q)
	return nil
}

// removeSpool removes a spool that is empty, but not what was set aside. The
// file that says that it is empty goes last.
func removeSpool(o spool.Options) error {
	files := o.FS
	if files == nil {
		files = fsys.Disk()
	}
	names, err := files.List(o.Dir)
	if err != nil {
		return err
	}
	for name := range names {
		if strings.HasSuffix(name, ".seg") {
			if err := files.Remove(filepath.Join(o.Dir, name)); err != nil {
				return err
			}
		}
	}
	return files.Remove(filepath.Join(o.Dir, "ack"))
}

// startingPoint is the last entry whose fate the receiver knows. A file says so
// itself, as far as its ids are ours: what another sequence has written there
// would have new entries count as told.
func (t *Target) startingPoint(sink Sink, before *Target) teller {
	t.began = true
	told := teller{id: t.o.Issued, done: t.o.Issued, reason: MissingDamaged, gap: t.o.Gap, run: t.o.Run, withIDs: t.o.WithIDs}
	if !t.first {
		told.id, told.done, told.reason = before.told.id, before.told.done, before.told.reason
	}
	if q := t.queue.Load(); q != nil {
		told.id = q.Stats().Told
		told.done = told.id
	} else if resumes, ok := sink.(interface {
		Last() (run string, id uint64)
	}); ok && t.first {
		if run, last := resumes.Last(); run == t.o.Run {
			told.id = min(last, t.o.Issued)
			told.done = told.id
		}
	}
	return told
}

// abandon gives up before anything was opened: what is staged is left over.
func (t *Target) abandon(before *Target) {
	if before != nil {
		t.told, t.leftover, t.unread = before.told, before.leftover, before.unread
	}
	var taken taken
	t.leave(t.take(&taken, true))
}

// inherit hands what the predecessor has left to take, in order: what lies in a
// spool that is not ours, then what never came to a disk.
func (t *Target) inherit(before *Target, take func([]spool.Entry) bool) bool {
	if before == nil {
		return true
	}
	left := t.leftover
	if old := before.unread; old.Dir != "" && old.Dir != t.o.Spool.Dir && !t.empty(old, take) {
		t.unread = old
		t.leftover = slices.Concat(left, before.leftover) // what take has left of the spool is still there
		return false
	}
	return take(before.leftover)
}

// begin hands take what there is before the first entry of ours: that earlier ones
// are missing, and what the predecessor has left. From the first that take does
// not take on, all is left over.
func (t *Target) begin(before *Target, take func([]spool.Entry) bool) bool {
	ok := true
	each := func(entries []spool.Entry) bool {
		if ok {
			ok = take(entries)
		} else {
			t.leave(entries)
		}
		return ok
	}
	if t.first {
		each([]spool.Entry{{ID: t.o.Issued, Gap: true, Data: []byte(MissingStopped)}})
	}
	t.inherit(before, each)
	if t.absent > 0 {
		each([]spool.Entry{{ID: t.absent, Gap: true, Data: []byte(MissingAbsent)}})
	}
	return ok
}

// empty takes everything out of another target's spool.
func (t *Target) empty(o spool.Options, take func([]spool.Entry) bool) bool {
	q, err := spool.Open(o)
	if err != nil {
		t.failures.report.Error("the spool that was in use before cannot be opened, its entries stay there", "error", err)
		return true
	}
	defer func() { _ = q.Close() }() // all that matters was acknowledged
	var b spool.Batch
	for {
		if err := q.Next(&b, t.o.BatchCount, t.o.BatchBytes); err != nil {
			t.failures.report.Error("the spool that was in use before cannot be read, its entries stay there", "error", err)
			return true
		}
		if len(b.Entries) == 0 {
			return true
		}
		if !take(b.Entries) {
			return false
		}
		if err := q.Ack(&b, b.Entries[len(b.Entries)-1].ID); err != nil {
			t.failures.note("spool that was in use before", err)
		}
	}
}

// take takes what is staged, and tells of what found no room there.
func (t *Target) take(into *taken, finally bool) []spool.Entry {
	t.stage.take(into)
	t.tellDropped(finally)
	return into.all()
}

// tellDropped tells of what found no room in the stage, now and then.
func (t *Target) tellDropped(finally bool) {
	n, reason := t.stage.takeRefused()
	t.failures.dropped(n, reason, finally)
}

// leave keeps entries for an heir. Without one they are lost: that is told, and
// kept for one that comes late.
func (t *Target) leave(entries []spool.Entry) {
	if len(entries) == 0 {
		return
	}
	t.stage.mu.Lock()
	heir := t.stage.heir
	t.stage.mu.Unlock()
	lost := 0
	for _, e := range entries {
		if !e.Gap {
			lost++
		}
		if heir != nil {
			e.Data = append([]byte(nil), e.Data...)
			t.leftover = append(t.leftover, e)
		}
	}
	if heir != nil {
		return
	}
	t.leftover = append(t.leftover, spool.Entry{ID: entries[len(entries)-1].ID, Gap: true, Data: []byte(MissingRemoved)})
	if lost > 0 {
		t.counts.dropped.Add(uint64(lost))
		t.failures.report.Error("entries lost: the target has ended before it could deliver them", "count", lost)
	}
}

// gather waits until there is something to take, and a little longer, so that
// one write takes what many calls leave. It returns false when the target is to
// stop.
func (t *Target) gather(age time.Duration, tick <-chan time.Time, onTick func()) bool {
	for {
		select {
		case <-t.stopping:
			return false
		case <-tick:
			onTick()
			continue
		case <-t.stage.wake:
		}
		break
	}
	if age <= 0 {
		return true
	}
	if t.clock == nil {
		t.clock = time.NewTimer(age)
	} else {
		t.clock.Reset(age)
	}
	defer t.clock.Stop()
	for {
		if staged, n := t.stage.size(); staged >= t.stage.enoughBytes || n >= t.stage.enough {
			return true
		}
		select {
		case <-t.stopping:
			return false
		case <-t.clock.C:
			return true
		case <-t.stage.wake:
		}
	}
}

// spooled takes entries into the spool until the target is told to stop.
func (t *Target) spooled(before *Target) {
	if !t.try(func() error { return t.openSpool(before) }) {
		t.abandon(before)
		return
	}
	q := t.queue.Load()
	t.told = t.startingPoint(nil, before)
	s := newSender(t, q)
	go s.run()
	t.safe(q.Stats().Last)
	ok := t.begin(before, func(entries []spool.Entry) bool { return t.append(q, s, entries) })
	age := min(gatherFor, t.o.BatchAge) // or a batch would wait twice as long as it should
	if t.o.Block {
		age = 0
	}
	syncs := time.NewTicker(syncEvery)
	defer syncs.Stop()
	var taken taken
	for on := true; on && ok; {
		on = t.gather(age, syncs.C, func() {
			if err := q.Sync(); err != nil {
				t.failures.note("spool not synced", err)
			}
		})
		ok = t.append(q, s, t.take(&taken, false))
	}
	t.leave(t.take(&taken, true)) // what came after a failure
	close(s.last)
	<-s.done
	if err := q.Close(); err != nil {
		t.failures.note("spool not closed well", err)
	}
	t.unread = t.o.Spool
}

// append puts entries into the spool, again and again if it must: the stage
// bounds what calls leave meanwhile. It returns false when the target was told
// to stop and it still did not work; what is left then is left over.
func (t *Target) append(q *spool.Queue, s *sender, entries []spool.Entry) bool {
	pause := backoff{most: time.Second}
	last := q.Stats().Last
	for len(entries) > 0 {
		if entries[0].ID <= last { // inherited, and there already
			entries = entries[1:]
			continue
		}
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+len(entries[n].Data) <= chunkBytes) {
			size += len(entries[n].Data)
			n++
		}
		err := q.Append(entries[:n], t.o.Block)
		if err != nil {
			if !errors.Is(err, spool.ErrFull) || t.o.Block {
				t.failures.note("spool takes nothing, trying again", err)
			}
			t.tellDropped(false)
			if !pause.wait(t.sending.Done(), 0) {
				t.leave(entries)
				return false
			}
			continue
		}
		pause.reset()
		t.safe(entries[n-1].ID)
		s.notify()
		entries = entries[n:]
	}
	return true
}

// direct hands entries to the sink itself until the target is told to stop.
func (t *Target) direct(before *Target) {
	sink := t.openSink()
	if sink == nil {
		t.abandon(before)
		return
	}
	defer t.closeSink(sink)
	t.told = t.startingPoint(sink, before)
	d := &delivery{t: t, sink: sink}
	deliver := func(entries []spool.Entry) bool {
		rest := d.all(entries)
		t.leave(rest)
		return len(rest) == 0
	}
	ok := t.begin(before, deliver)
	var taken taken
	for on := true; on && ok; {
		on = t.gather(t.o.BatchAge, nil, nil)
		ok = deliver(t.take(&taken, false))
	}
	t.leave(t.take(&taken, true))
}
