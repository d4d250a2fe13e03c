package target

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/spool"
)

// Options say what a target is.
type Options struct {
	Name string // unique among the targets of a system
	Kind string // such as "webhook", for metrics

	// Sink makes the receiving end. It is called when the target starts, and
	// again after pauses while it fails.
	Sink func() (Sink, error)
	// Spool is where entries wait on disk; Dir "" means that they wait in
	// memory, in Buffer bytes.
	Spool spool.Options
	// Buffer bounds what calls may leave here before it is on disk, or
	// delivered. Default 1 MiB.
	Buffer int
	// Block has Wait wait until an entry is on disk.
	Block bool
	// Lossy drops what cannot be delivered at once: a console that is full
	// will not get better, and there is nobody to tell.
	Lossy bool

	// Sequence gives ids to the entries. nil: whoever pushes gives them. A target
	// that replaces another one goes on with its sequence.
	Sequence *Sequence
	// Run stands in front of ids that others give.
	Run string
	// Issued is the last id that was given before this target came; 0 if it is
	// Sequence's. What of it is not known to be safe is missing.
	Issued uint64
	// WithIDs has each entry carry its id, as its first key. They are put in here,
	// unless HaveIDs says that whoever pushes has done so.
	WithIDs, HaveIDs bool
	// Origin says in batches who sends them.
	Origin string

	// A batch ends at so many entries, so many bytes, or when its first entry
	// has waited for Age. Defaults 1000, 1 MiB and a second; a negative Age
	// waits for nothing.
	BatchCount, BatchBytes int
	BatchAge               time.Duration

	// Gap makes the entry that stands for entries which are missing, without an
	// id. It may be called concurrently.
	Gap func(Missing) []byte
	// Report is where failures are told: the console, and no target.
	Report *slog.Logger
}

// Missing is a run of entries that were not delivered.
type Missing struct {
	First, Last uint64
	Reason      string
	FirstID     string // as they stand in entries
	LastID      string
}

// Reasons why entries are missing.
const (
	MissingFull     = "queue full"     // there was no room, and the policy was to go on
	MissingTooLarge = "too large"      // it would never have found room
	MissingStopped  = "process ended"  // killed before they were on disk
	MissingDamaged  = "spool damaged"  // a disk gave back something else
	MissingRejected = "rejected"       // the receiver will not take them; they were set aside
	MissingRemoved  = "target removed" // it had no time to deliver them, nor a disk
	MissingAbsent   = "target absent"  // they were made while it was not among the targets
)

const (
	defaultBuffer     = 1 << 20
	defaultBatchCount = 1000
	defaultBatchBytes = 1 << 20
	defaultBatchAge   = time.Second

	gatherFor   = 100 * time.Millisecond // how long calls gather before one write takes them all: each wakes a core
	gatherBytes = 128 << 10              // or until they are so many bytes
	gatherCount = 1 << 30                // however many entries
	chunkBytes  = 256 << 10              // of one write to a spool
	syncEvery   = time.Second            // of a spool that does not block
)

// Target takes entries without ever waiting and delivers them in order, on
// goroutines of its own. Its methods may be called concurrently.
type Target struct {
	o     Options
	stage stage

	counts   counts
	failures failures
	durable  atomic.Uint64 // entries up to this id are safe
	stuck    atomic.Bool   // an entry was refused, or was not safe in time, and none has been safe since
	queue    atomic.Pointer[spool.Queue]

	mu      sync.Mutex    // protects what follows; held where durable rises, and where Wait finds it too low
	flushed chan struct{} // closed when durable rises; nil: nobody waits

	stopping  chan struct{}      // closed: take what is staged, and no more
	sending   context.Context    // ends when nothing more is to be sent
	stopSend  context.CancelFunc // ends it
	follows   *Target            // was removed before this one came; nil: none was, or this one runs
	first     bool               // no target before this one has got as far as to begin; of run
	clock     *time.Timer        // of gather, which has it again and again; of run
	absent    uint64             // ids up to this one were given while it was not there; 0: none; of run
	began     bool               // it knows what the receiver knows; read by an heir, after done
	done      chan struct{}      // closed when the goroutines have ended
	closeOnce sync.Once
	leftover  []spool.Entry // what was neither delivered nor on disk; read by an heir, after done
	unread    spool.Options // where more is left, Dir "" if nowhere; the same
	told      teller        // of the goroutine that delivers; read by an heir, after done
}

// New makes a target. It takes entries at once, and does nothing with them
// until Start.
func New(o Options) *Target {
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	if o.BatchCount == 0 {
		o.BatchCount = defaultBatchCount
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = defaultBatchBytes
	}
	if o.BatchAge == 0 {
		o.BatchAge = defaultBatchAge
	}
	if o.Sequence != nil {
		o.Run, o.Issued = o.Sequence.Run(), o.Sequence.Last()
	}
	enough, enoughBytes := o.BatchCount, o.BatchBytes
	if o.Spool.Dir != "" {
		enough, enoughBytes = gatherCount, gatherBytes
	}
	t := &Target{o: o, stage: newStage(o.Buffer, enough, enoughBytes), first: true, stopping: make(chan struct{}), done: make(chan struct{})}
	t.failures.report = o.Report.With("target", o.Name)
	t.sending, t.stopSend = context.WithCancel(context.Background())
	return t
}

// Name is the target's name.
func (t *Target) Name() string { return t.o.Name }

// Block reports whether calls wait for this target.
func (t *Target) Block() bool { return t.o.Block }

// Push leaves an entry, a JSON object, and returns at once, having copied it.
// id is ignored by a target with a sequence. It returns the target that has the
// entry, another one than t after t was replaced, and its id; nil if it was
// dropped, which is counted.
func (t *Target) Push(id uint64, body []byte) (*Target, uint64) {
	s := &t.stage
	s.mu.Lock()
	if s.closed {
		heir := s.heir
		s.mu.Unlock()
		if heir == nil {
			return nil, 0
		}
		return heir.Push(id, body)
	}
	defer s.mu.Unlock()
	if t.o.Sequence != nil {
		id = t.o.Sequence.Next()
	}
	s.last = id
	t.counts.in.Add(1)
	size := len(body)
	putID := t.o.WithIDs && !t.o.HaveIDs
	if putID {
		size += len(idKey) + len(t.o.Run) + 19
	}
	if !s.fitsLocked(size) || size > spool.MaxEntry {
		reason := MissingFull
		if size > min(spool.MaxEntry, s.most) {
			reason = MissingTooLarge
		}
		s.refuseLocked(id, reason)
		t.stuck.Store(true)
		t.counts.dropped.Add(1)
		s.wakeLocked()
		return nil, id
	}
	before, bytes := len(s.entries), len(s.data)
	s.markLocked()
	if putID {
		s.data = append(appendID(append(s.data, idKey...), t.o.Run, id), '"')
		if len(body) > 2 {
			s.data = append(s.data, ',')
		}
		body = body[1:]
	}
	s.data = append(s.data, body...)
	s.entries = append(s.entries, staged{id: id, end: len(s.data)})
	s.addedLocked(before, bytes)
	return t, id
}

// idKey begins an entry that carries its id.
const idKey = `{"id":"`

// errNotSafe is what Wait gives when an entry did not come to the disk in time.
var errNotSafe = errors.New("the entry is not on disk")

// Stuck reports whether an entry would now be refused, or not be safe in time,
// as far as is known: the last one was not, and none has been safe since.
func (t *Target) Stuck() bool { return t.stuck.Load() }

// Wait waits until the entry id is safe. An error says that ctx or the target ended
// before.
func (t *Target) Wait(ctx context.Context, id uint64) error {
	for t.durable.Load() < id {
		t.mu.Lock()
		if t.flushed == nil {
			t.flushed = make(chan struct{})
		}
		flushed := t.flushed
		t.mu.Unlock()
		if t.durable.Load() >= id {
			return nil
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return t.late(id)
		case <-t.done:
			if t.durable.Load() < id {
				return errNotSafe
			}
		}
	}
	return nil
}

// late notes that the entry id is not safe in time, if it is not: a target that
// had it safe a moment ago would stay stuck, as nobody pushes then.
func (t *Target) late(id uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.durable.Load() >= id {
		return nil
	}
	t.stuck.Store(true)
	return errNotSafe
}

// safe notes that entries up to id are safe, and wakes those who wait for it.
func (t *Target) safe(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.durable.Store(id)
	t.stuck.Store(false)
	if t.flushed != nil {
		close(t.flushed)
		t.flushed = nil
	}
}

// From says that ids up to this one were given before the target came. It must
// come before Start, and before the first Push.
func (t *Target) From(issued uint64) { t.o.Issued = issued }

// Follow has a target take over, once it is started, what one that was removed
// some time ago has left, and may have ended. It must come before Start.
func (t *Target) Follow(removed *Target) {
	t.follows = removed
	removed.Retire(t)
}

// Start begins to deliver, after before, whose leftovers it takes over, has
// ended. before may be nil.
func (t *Target) Start(before *Target) { go t.run(before) }

// Retire ends the taking of entries: what is pushed from now on goes to heir,
// or nowhere if there is none. It does not wait.
func (t *Target) Retire(heir *Target) {
	t.stage.mu.Lock()
	t.stage.closed, t.stage.heir = true, heir
	t.stage.mu.Unlock()
	if heir != nil {
		t.stopSend() // what is not delivered yet is for the heir to deliver
	}
	t.closeOnce.Do(func() { close(t.stopping) })
}

// Close retires the target, if that has not been done, delivers what it can
// until ctx ends, and waits for its goroutines. What is left then is in its
// spool, or told of on the console.
func (t *Target) Close(ctx context.Context) {
	t.stage.mu.Lock()
	closed := t.stage.closed
	t.stage.mu.Unlock()
	if !closed {
		t.Retire(nil)
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		t.stopSend()
		<-t.done
	}
}
