package audit

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/entry"
	"github.com/gridmesh/gridmesh/internal/target"
)

// Options say what an audit is.
type Options struct {
	Node    string // this node's name, in every record
	Version string // of the program, in the record of its start
	// Dir is where the sequence of ids lies; "": it ends with the process.
	Dir string
	// Report is where failures are told: the console.
	Report *slog.Logger
}

// Config is what can change while records flow.
type Config struct {
	Targets []*target.Target // made with Options of Audit.TargetOptions
	Filter  Filter
	// Caller has calls that this node makes recorded as well as those it serves.
	Caller bool
	// Timeout bounds how long a call waits for its record to be on disk.
	// Default 10 s.
	Timeout time.Duration
}

const defaultTimeout = 10 * time.Second

// Audit takes records. Its methods may be called concurrently.
type Audit struct {
	o      Options
	node   []byte // as JSON
	seq    *target.Sequence
	ring   *target.Ring
	config atomic.Pointer[Config] // immutable
	blocks atomic.Bool            // a target of it does
	watch  atomic.Int64           // who wants to see records in the ring, targets or not

	records, refused atomic.Uint64

	refusedUs, refusedPeers strangers // by whom handshakes were

	order  sync.Mutex // protects seq and closed: who holds it gives an id, and the record to all targets
	closed bool
	swaps  sync.Mutex // one change of the config at a time
}

// Open opens the audit, with no target yet.
func Open(o Options) (*Audit, error) {
	a := &Audit{o: o, node: entry.AppendString(nil, o.Node), ring: target.NewRing(target.RingEntries, target.RingBytes)}
	a.config.Store(&Config{})
	if o.Dir == "" {
		a.seq = target.NewSequence()
	} else {
		seq, err := target.OpenSequence(o.Dir)
		if err != nil {
			return nil, err
		}
		a.seq = seq
	}
	return a, nil
}

// TargetOptions fills in what all targets of the audit have in common.
func (a *Audit) TargetOptions(o target.Options) target.Options {
	o.Run, o.WithIDs, o.HaveIDs = a.seq.Run(), true, true
	o.Issued = a.seq.Last()
	o.Gap, o.Report = gap(a.node), a.o.Report
	o.Origin = a.o.Node + "/audit"
	return o
}

// AtLeast has ids go on behind id, which is known to have been given: after the
// machine has lost its power a queue may know of more than the sequence does.
func (a *Audit) AtLeast(id uint64) {
	a.order.Lock()
	defer a.order.Unlock()
	a.seq.AtLeast(id)
}

// Ring holds the newest records. Without any target there are none but while
// somebody watches.
func (a *Audit) Ring() *target.Ring { return a.ring }

// Watch has records made for the ring, also where there is no target, until the
// function that it gives is called.
func (a *Audit) Watch() (stop func()) {
	a.watch.Add(1)
	return sync.OnceFunc(func() { a.watch.Add(-1) })
}

// Targets gives the targets as they are now. It can be used without a lock, and
// must not be changed.
func (a *Audit) Targets() []*target.Target { return a.config.Load().Targets }

// Stats is what the audit has seen.
type Stats struct {
	Records uint64 // made, whatever became of them
	Refused uint64 // calls refused or failed because their records could not be made safe
	Targets []target.Stats
}

// Stats tells what the audit has seen.
func (a *Audit) Stats() Stats {
	s := Stats{Records: a.records.Load(), Refused: a.refused.Load()}
	for _, t := range a.Targets() {
		s.Targets = append(s.Targets, t.Stats())
	}
	return s
}

// Swap puts another config in the place of the one before. Targets of the same
// name go on where those before end; those that are in both go on as they are;
// those that are left over are given back, and deliver what they hold until they
// are closed. New targets must not have been started.
func (a *Audit) Swap(next Config) (left []*target.Target) {
	if next.Timeout == 0 {
		next.Timeout = defaultTimeout
	}
	a.swaps.Lock()
	defer a.swaps.Unlock()
	old := a.config.Load().Targets
	named := func(list []*target.Target, name string) *target.Target {
		i := slices.IndexFunc(list, func(t *target.Target) bool { return t.Name() == name })
		if i < 0 {
			return nil
		}
		return list[i]
	}
	a.order.Lock() // no record is between two targets
	for _, t := range next.Targets {
		switch before := named(old, t.Name()); before {
		case nil:
			t.From(a.seq.Last()) // what was recorded since it was made was not for it
		case t:
		default:
			before.Retire(t)
		}
	}
	a.config.Store(&next)
	a.blocks.Store(slices.ContainsFunc(next.Targets, (*target.Target).Block))
	a.order.Unlock()
	for _, t := range next.Targets {
		if before := named(old, t.Name()); before != t {
			t.Start(before)
		}
	}
	for _, t := range old {
		if named(next.Targets, t.Name()) == nil {
			t.Retire(nil)
			left = append(left, t)
		}
	}
	return left
}

// Close delivers what all targets hold, until ctx ends. Nothing is recorded any
// more.
func (a *Audit) Close(ctx context.Context) error {
	a.swaps.Lock()
	defer a.swaps.Unlock()
	targets := a.Targets()
	a.order.Lock()
	a.config.Store(&Config{Timeout: defaultTimeout})
	a.blocks.Store(false)
	a.closed = true
	a.order.Unlock()
	var group sync.WaitGroup
	for _, t := range targets {
		group.Go(func() { t.Close(ctx) })
	}
	group.Wait()
	return a.seq.Close()
}

// on reports whether anybody wants records.
func (a *Audit) on(c *Config) bool { return len(c.Targets) > 0 || a.watch.Load() > 0 }

// Add records an event that is no call.
func (a *Audit) Add(r *Record) {
	if c := a.config.Load(); a.on(c) {
		a.push(r)
	}
}

// Start records that the audit begins: call it after the first Swap.
func (a *Audit) Start() {
	a.Add(&Record{Time: time.Now(), Event: EventStart, Version: a.o.Version})
}

// Stop records that it ends as it should: call it before Close.
func (a *Audit) Stop() {
	a.Add(&Record{Time: time.Now(), Event: EventStop, Version: a.o.Version, Unrecorded: a.refusedUs.take() + a.refusedPeers.take()})
}

// push gives the record its id and leaves it with all targets. It gives the
// first of those that block and did not take it, or else one to wait for.
func (a *Audit) push(r *Record) waiting {
	buf := buffers.Get().(*buffer)
	buf.b = r.append(buf.b[:0], a.node, &buf.second)
	copy(buf.b[idAt:], a.seq.Run())
	var w waiting
	a.order.Lock()
	if a.closed { // the sequence is, too: no id is to be had
		a.order.Unlock()
		return w
	}
	c := a.config.Load()
	w.id = a.seq.Next()
	target.PutID(buf.b[idAt:idEnd], w.id)
	for _, t := range c.Targets {
		took, _ := t.Push(w.id, buf.b)
		if t.Block() {
			w.add(took)
		}
	}
	a.ring.Add(buf.b) // under the lock: in order, too
	a.order.Unlock()
	a.records.Add(1)
	if cap(buf.b) <= keepBytes {
		buffers.Put(buf)
	}
	return w
}

// waiting is what a call waits for.
type waiting struct {
	id      uint64
	first   *target.Target // most have one
	more    []*target.Target
	refused bool // a target that blocks did not take the record
}

func (w *waiting) add(t *target.Target) {
	switch {
	case t == nil:
		w.refused = true
	case w.first == nil:
		w.first = t
	default:
		w.more = append(w.more, t)
	}
}

// safe waits until the record is on all disks that it has to be on. It does not
// wait for the call's own context: a call that is cancelled is recorded, too.
func (a *Audit) safe(w waiting, timeout time.Duration) bool {
	if w.refused {
		return false
	}
	if w.first == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for _, t := range append(w.more, w.first) {
		if t.Wait(ctx, w.id) != nil {
			return false
		}
	}
	return true
}
