package link

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/mux"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Side is what one side said of itself in its hello.
type Side struct {
	MaxMessage   int // bytes of the largest message it takes
	MaxCalls     int // calls it serves at once
	StreamWindow int // bytes of unread messages it keeps for a stream
	EagerWindow  int // bytes of eager bodies begun and not finished that it keeps

	// As far as it said so; 0: nothing that would be less than this side's own.
	Eager       int // bytes of the largest eager body it takes
	MaxBatch    int // bytes of the largest batch it reads
	MaxHeader   int // bytes of the largest header of a call
	MaxHandlers int // handlers that it lets be announced
}

// outgoing is what frames that go out keep to: the other side's limits, and
// what of this side's follows from those.
type outgoing struct {
	batch, chunk, eager, header, text, handlers int
}

func (l *Limits) towards(their *Side) outgoing {
	least := func(ours, theirs int) int {
		if theirs > 0 {
			return min(ours, theirs)
		}
		return ours
	}
	to := outgoing{
		batch: least(l.MaxBatch, their.MaxBatch), eager: least(l.Eager, their.Eager),
		header: their.MaxHeader, handlers: their.MaxHandlers,
	}
	if to.header == 0 {
		to.header = l.MaxHeader
	}
	if to.handlers == 0 {
		to.handlers = l.MaxHandlers
	}
	// A frame has at most a chunk or a text, a header, and some numbers: half and
	// a quarter leave room for these.
	to.chunk = min(l.Chunk, to.batch/2)
	to.text = min(l.MaxErrorText, to.batch/4)
	to.header = min(to.header, to.batch/4)
	return to
}

// Config is what a link is made from, after both hellos.
type Config struct {
	Transport     Transport
	Remote        string // the other side's name
	Identity      string // what its certificate says it is, empty without TLS
	Instance      [16]byte
	Checksum      bool // either side asked for CRC-32C on batches
	Ours, Theirs  Side
	TheirHandlers []wire.Handler
	Announced     int // the first so many handlers of our registry are in our hello
	Shared        *Shared
	Owner         any // for who made the link; the link only keeps it
	// Account is the other side's, for all links with it. nil: this is the only one.
	Account *Account
	// Self: the other side is this process, so it has what the registry has,
	// and not only from the moment on when its announcement was read.
	Self bool

	// OnList is given signed peer lists that the other side hands over, on a
	// worker, one at a time. nil: they are dropped.
	OnList func(raw []byte)
	// OnDrain is called once, on a worker, when the other side drains. May be nil.
	OnDrain func()
}

// Shared is what all links of one manager have in common.
type Shared struct {
	Limits   Limits
	Registry *Registry
	Logger   *slog.Logger
	// EncodeError gives code and message of a handler's error as they travel.
	EncodeError func(error) (code, message string)

	waiters  sync.Pool
	workers  *workers
	watch    *watch
	requests *credit.Budget // large ones
	small    *credit.Budget // all others: giants that fill theirs leave this
	replies  *credit.Budget
	data     *credit.Budget
	windows  *credit.Budget // promised to the callers of streams
	owed     atomic.Int64   // bytes of replies that wait to be taken
}

// NewShared gives what the links of one manager share. Close ends its goroutines.
func NewShared(l Limits, r *Registry, log *slog.Logger, encode func(error) (code, message string)) *Shared {
	return &Shared{
		Limits: l, Registry: r, Logger: log, EncodeError: encode,
		workers:  newWorkers(),
		watch:    newWatch(l.Tick),
		requests: credit.NewBudget(l.ProcessBytes, nil),
		small:    credit.NewBudget(l.ProcessBytes, nil),
		replies:  credit.NewBudget(l.ProcessBytes, nil),
		data:     credit.NewRanked(l.ProcessBytes, l.kept(l.ProcessBytes), nil),
		windows:  credit.NewBudget(l.ProcessBytes, nil),
	}
}

// Close lets idle workers go and stops the watch. Links must have ended.
func (s *Shared) Close() {
	s.workers.close()
	s.watch.close()
}

// Link is one live link. All methods may be called concurrently.
type Link struct {
	cfg    Config
	limits Limits
	to     outgoing
	shared *Shared

	out        outbound
	writerWake chan struct{} // room for one; sent to by who cleared out.asleep
	corked     atomic.Bool   // the reader will wake the writer at its batch's end

	in      inbound     // belongs to the holder of the read token
	turn    turn        // says who that is
	watched atomic.Bool // the watch looks at turn
	seen    uint64      // turn's word at the watch's last look; the watch's
	idle    int         // looks that saw nothing happen; the watch's
	serving serving
	offers  offers
	their   atomic.Pointer[theirs]

	*Account

	dead  chan struct{} // closed when the link ends; the reason is in cause
	cause atomic.Pointer[CutError]
	wg    sync.WaitGroup // writer and reader role

	keepalive keepalive
	drain     drain
	announced announced
	lists     listQueue
	count     counters
}

// Start starts a link over an agreed transport.
func Start(cfg Config) *Link {
	s := cfg.Shared
	l := &Link{
		cfg: cfg, limits: s.Limits, to: s.Limits.towards(&cfg.Theirs), shared: s,
		writerWake: make(chan struct{}, 1),
		dead:       make(chan struct{}),
		Account:    cfg.Account,
	}
	if l.Account == nil {
		l.Account = s.NewAccount()
	}
	l.out.pace = credit.NewPace()
	l.announced.n = cfg.Announced
	l.drain.init()
	l.count.since = time.Now()
	l.their.Store(newTheirs(cfg.TheirHandlers))
	l.wg.Add(2)
	l.startKeepalive()
	go l.write()
	go l.read()
	l.Announce() // what was registered since the hello was made
	return l
}

// Remote is the other side's name.
func (l *Link) Remote() string { return l.cfg.Remote }

// Identity is what the other side's certificate says it is, empty without TLS.
func (l *Link) Identity() string { return l.cfg.Identity }

// Instance is the other side's process.
func (l *Link) Instance() [16]byte { return l.cfg.Instance }

// Owner is Config.Owner.
func (l *Link) Owner() any { return l.cfg.Owner }

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.dead }

// Err says why the link ended, nil while it lives.
func (l *Link) Err() error {
	if c := l.cause.Load(); c != nil {
		return c
	}
	return nil
}

// Wait waits for the link's own goroutines. Handlers that ignore their context may go on.
func (l *Link) Wait() { l.wg.Wait() }

// Supports gives what the other side announced of a handler.
func (l *Link) Supports(handler string) (wire.Handler, bool) {
	h, ok := l.their.Load().find(handler)
	if !ok && l.cfg.Self {
		return l.shared.Registry.find(handler)
	}
	return h, ok
}

// Terminate ends the link and tells the other side why, if that takes no longer
// than GoodbyeWait. What is pending dies with it. It doesn't wait.
func (l *Link) Terminate(code, message string) {
	l.end(&CutError{Code: code, Message: message})
}

// end is the one way a link ends: the first reason wins. Everything in flight
// ends with it: our calls as sent or not sent, by whether their bytes were
// handed to a write; calls we serve by their context.
func (l *Link) end(why *CutError) {
	o := &l.out
	o.mu.Lock()
	if o.closed != nil {
		o.mu.Unlock()
		return
	}
	o.closed = why
	l.cause.Store(why)
	waiters, streams := o.waiters, o.streams
	o.waiters, o.streams = mux.Table[*waiter]{}, mux.Table[*Stream]{}
	small, bulk := o.handed, o.bulkHanded
	o.room = nil
	if o.sweeper != nil {
		o.sweeper.Stop()
	}
	if why.Remote || why.Code == CodeLost {
		_ = l.cfg.Transport.Close() // nothing to say, or nobody to say it to; closing doesn't block
	} else {
		o.goodbye = time.AfterFunc(l.limits.GoodbyeWait, func() { _ = l.cfg.Transport.Close() })
	}
	wake := l.wakeLocked()
	close(l.dead) // under the lock, so that who sees closed sees dead
	o.mu.Unlock()

	if wake {
		l.wake() // the writer says goodbye and closes the transport
	}
	for _, w := range waiters.All() {
		w.finish(nil, &Failure{Cut: why, Sent: w.sent(small, bulk)})
	}
	for _, s := range streams.All() {
		s.cut(why)
	}
	l.steal() // a handler that the reader runs gets its context cancelled like all others
	l.cancelServing(why)
	l.offers.close()
	l.keepalive.stop()
	l.checkQuiet()
}
