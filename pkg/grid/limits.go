package grid

import (
	"fmt"
	"math"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Limits is every number of the library. A zero field takes its default.
// Sizes are in bytes. Each says what it bounds, and which fault or attack it
// is there for.
type Limits struct {
	// MaxMessage is the largest message that this node takes, a request, a
	// reply or one message of a stream; callers learn it in the handshake and
	// fail with ErrMessageTooLarge. Default 64 MiB. Against a header that claims
	// terabytes.
	MaxMessage int
	// Chunk is the size above which a body travels in pieces, and the size of
	// these pieces. Default 64 KiB. Against a large body that holds up small ones.
	Chunk int
	// Eager is the size up to which a body in pieces is sent without asking;
	// a larger one waits for memory on the other side; of both sides' the smaller
	// one holds. Default 256 KiB. Against many half-received giants that lock
	// each other out.
	Eager int
	// EagerWindow bounds the eager bodies begun and not finished, each way.
	// Default 1 MiB. Against eager bodies that pile up.
	EagerWindow int
	// MaxBatch is the largest WebSocket message; of both sides' the smaller one
	// holds. Default 256 KiB. Against memory for a batch before a single frame of
	// it is checked.
	MaxBatch int
	// SendQueue bounds the small frames that wait for the socket; senders beyond
	// wait. Default 4 MiB. Against a peer that reads slowly.
	SendQueue int
	// ControlQueue bounds the answers that a peer provokes and does not read;
	// beyond, the link ends. Default 1 MiB. Against floods of pings and of
	// requests that are refused.
	ControlQueue int
	// MaxCalls is how many calls this node serves at once for one peer, those
	// counted whose handlers go on after their link has ended; beyond, they fail
	// with ErrOverloaded. Default 16384. Against overload, and against
	// a peer that cancels and calls again.
	MaxCalls int
	// MaxHandlers is how many handlers a peer may announce, which it learns in the
	// handshake: others it announces to nobody who takes no more. Default 4096.
	// Against announcements without end.
	MaxHandlers int
	// MaxHeader is the largest encoded Header of a call that this node takes;
	// callers learn it in the handshake and fail with ErrHeaderTooLarge. Default
	// 4 KiB. Against headers used as bodies.
	MaxHeader int
	// MaxErrorText is what travels of an error's code and text; longer is cut.
	// Default 4 KiB. Against errors that carry whole requests.
	MaxErrorText int
	// StreamWindow bounds the unread messages of one stream, each way. Default
	// 64 KiB. Against a stream that is sent to and never read.
	StreamWindow int

	// RequestBytes bounds the requests of one peer, over all its links, that running
	// handlers hold, those that had to ask and all others each by themselves,
	// ReplyBytes the large replies being received, DataBytes the large stream
	// messages received and unread. Defaults 128, 128 and 256 MiB. Of the last,
	// the bytes of one MaxMessage are kept for what a Recv waits for, and of one
	// more for what the form with channels takes: so streams that are not read
	// stop no other. With DataBytes below twice MaxMessage that holds for smaller
	// messages only. Against one peer that takes all memory.
	RequestBytes, ReplyBytes, DataBytes int
	// ProcessBytes bounds each of the three over all links, and the windows of
	// all streams that peers have open to this node's handlers, of which one peer's
	// take a quarter at most. With a quarter of it in replies that wait for one peer
	// to take them, that peer's calls are refused. Default 1 GiB. Against many peers
	// that do so together, and against one that asks and does not read.
	ProcessBytes int

	// MaxTimeout is the longest deadline that travels; longer ones are cut to
	// it. Default 24 h. Against overflow.
	MaxTimeout time.Duration
	// PingEvery is how long a link is idle before a ping, DeadAfter the silence
	// that ends it. Defaults 5 s and 15 s. Against half-open connections.
	PingEvery, DeadAfter time.Duration
	// WriteTimeout is the time for writing up to 64 KiB. Default 10 s. Against a
	// peer that stopped reading; a slow one that moves is never cut.
	WriteTimeout time.Duration
	// GoodbyeWait is the time to get a link's last frame out. Default 1 s.
	// Against an end that waits for who does not read.
	GoodbyeWait time.Duration
	// WireOverhead is how many bytes may come in beyond twice the content.
	// Default 1 MiB. Against WebSocket messages cut into one-byte fragments.
	WireOverhead int
	// InlineAfter is how many quick runs a handler that was slow needs before its
	// calls run on the reader again. Default 256. Tick is how often a reader that
	// runs a handler is looked at. Default 200 µs. Against handlers that hold up a link.
	InlineAfter int
	Tick        time.Duration

	// HelloBytes is the largest greeting of a handshake, which the other side
	// learns with the upgrade, ListBytes the largest signed peer list handed over.
	// Defaults 64 KiB and 1 MiB. Against memory for who is not yet known.
	HelloBytes, ListBytes int
	// HeaderBytes is the largest HTTP head of an upgrade, request or answer.
	// Default 16 KiB. Against the same.
	HeaderBytes int
	// HandshakeTimeout is the time from the connection, accepted or dialled, to a
	// valid hello: one deadline for TLS, the upgrade and the greetings, see
	// NewServer. Default 5 s. Against slowloris and silent peers, in both roles.
	HandshakeTimeout time.Duration
	// PreAuth is how many connections may be on the way to being a link; beyond,
	// the oldest of the host that has most is cut. Default 256. Against idle
	// connections of strangers.
	PreAuth int
	// Handshakes is how many upgrades are served at once; beyond, 503 with
	// Retry-After, unless one host has more of them than the newcomer's would.
	// Default 32. Against a mesh that reconnects all at once.
	Handshakes int
	// Dials is how many dials run at once. Default 32. Against being the cause of that.
	Dials int
	// ResolveTimeout bounds Options.Resolve, DialTimeout the raw connection.
	// Defaults 5 s each. Against name servers and networks that swallow.
	ResolveTimeout, DialTimeout time.Duration
	// BackoffBase and BackoffCap bound the time until a dial is tried again: a
	// random part of BackoffBase doubled at each failure, at most of BackoffCap.
	// Defaults 100 ms and 30 s. Against storms of dials.
	BackoffBase, BackoffCap time.Duration
	// SettledAfter is how long a link has to be up for its loss to be followed by
	// a dial at once, after at most Jitter. Defaults 10 s and 50 ms. Against
	// links that come and go.
	SettledAfter, Jitter time.Duration
	// ProbeTimeout is the time that a link has to answer when another node comes
	// with its peer's name. Default 1 s. Against a restarted peer shut out by its
	// own half-open connection, and against one name used twice.
	ProbeTimeout time.Duration
	// RotateGrace is how long a link that was remade with new certificates may
	// go on with the calls it has. Default 5 min. Against certificates that a
	// long stream keeps in use for ever.
	RotateGrace time.Duration
}

// DefaultLimits gives the defaults of all fields.
func DefaultLimits() Limits {
	var l Limits
	_ = l.fill()
	return l
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

type intLimit struct {
	name          string
	v             *int
	def, min, max int
}

type timeLimit struct {
	name          string
	v             *time.Duration
	def, min, max time.Duration
}

func (l *Limits) ints() []intLimit {
	return []intLimit{
		{"MaxMessage", &l.MaxMessage, 64 * mib, 1, math.MaxInt32},
		{"Chunk", &l.Chunk, 64 * kib, 1 * kib, 1 * mib},
		{"Eager", &l.Eager, 256 * kib, 1 * kib, 1 << 30},
		{"EagerWindow", &l.EagerWindow, 1 * mib, 1 * kib, 1 << 30},
		{"MaxBatch", &l.MaxBatch, 256 * kib, leastBatch, 16 * mib},
		{"SendQueue", &l.SendQueue, 4 * mib, 4 * kib, 1 << 30},
		{"ControlQueue", &l.ControlQueue, 1 * mib, 64 * kib, 1 << 30},
		{"MaxCalls", &l.MaxCalls, 16384, 1, math.MaxInt32},
		{"MaxHandlers", &l.MaxHandlers, 4096, 1, 1 << 20},
		{"MaxHeader", &l.MaxHeader, 4 * kib, 64, mostHeader},
		{"MaxErrorText", &l.MaxErrorText, 4 * kib, 128, 16 * kib},
		{"StreamWindow", &l.StreamWindow, 64 * kib, 1 * kib, math.MaxInt32},
		{"RequestBytes", &l.RequestBytes, 128 * mib, 64 * kib, math.MaxInt},
		{"ReplyBytes", &l.ReplyBytes, 128 * mib, 64 * kib, math.MaxInt},
		{"DataBytes", &l.DataBytes, 256 * mib, 64 * kib, math.MaxInt},
		{"ProcessBytes", &l.ProcessBytes, 1024 * mib, 64 * kib, math.MaxInt},
		{"WireOverhead", &l.WireOverhead, 1 * mib, 128 * kib, 1 << 30},
		{"InlineAfter", &l.InlineAfter, 256, 1, 1 << 20},
		{"HelloBytes", &l.HelloBytes, mostHello, leastHello, mostHello},
		{"ListBytes", &l.ListBytes, 1 * mib, 4 * kib, 16 * mib},
		{"HeaderBytes", &l.HeaderBytes, 16 * kib, 4 * kib, 1 * mib},
		{"PreAuth", &l.PreAuth, 256, 1, 1 << 20},
		{"Handshakes", &l.Handshakes, 32, 1, 1 << 20},
		{"Dials", &l.Dials, 32, 1, 1 << 20},
	}
}

func (l *Limits) times() []timeLimit {
	const ms = time.Millisecond
	return []timeLimit{
		{"MaxTimeout", &l.MaxTimeout, 24 * time.Hour, time.Second, 365 * 24 * time.Hour},
		{"PingEvery", &l.PingEvery, 5 * time.Second, 10 * ms, time.Hour},
		{"DeadAfter", &l.DeadAfter, 15 * time.Second, 20 * ms, 24 * time.Hour},
		{"WriteTimeout", &l.WriteTimeout, 10 * time.Second, 10 * ms, time.Hour},
		{"GoodbyeWait", &l.GoodbyeWait, time.Second, ms, time.Minute},
		{"Tick", &l.Tick, 200 * time.Microsecond, 50 * time.Microsecond, time.Second},
		{"HandshakeTimeout", &l.HandshakeTimeout, 5 * time.Second, 10 * ms, time.Minute},
		{"ResolveTimeout", &l.ResolveTimeout, 5 * time.Second, ms, time.Minute},
		{"DialTimeout", &l.DialTimeout, 5 * time.Second, ms, time.Minute},
		{"BackoffBase", &l.BackoffBase, 100 * ms, ms, time.Minute},
		{"BackoffCap", &l.BackoffCap, 30 * time.Second, ms, time.Hour},
		{"SettledAfter", &l.SettledAfter, 10 * time.Second, ms, time.Hour},
		{"Jitter", &l.Jitter, 50 * ms, ms, time.Minute},
		{"ProbeTimeout", &l.ProbeTimeout, time.Second, ms, time.Minute},
		{"RotateGrace", &l.RotateGrace, 5 * time.Minute, ms, 24 * time.Hour},
	}
}

// fill replaces zeros by defaults and refuses what cannot work, naming the field.
func (l *Limits) fill() error {
	for _, n := range l.ints() {
		if *n.v == 0 {
			*n.v = n.def
		}
		if *n.v < n.min || *n.v > n.max {
			return fmt.Errorf("options: Limits.%s is %d; allowed are %d to %d, or 0 for %d", n.name, *n.v, n.min, n.max, n.def)
		}
	}
	for _, n := range l.times() {
		if *n.v == 0 {
			*n.v = n.def
		}
		if *n.v < n.min || *n.v > n.max {
			return fmt.Errorf("options: Limits.%s is %v; allowed are %v to %v, or 0 for %v", n.name, *n.v, n.min, n.max, n.def)
		}
	}
	for _, c := range []struct {
		low, high string
		a, b      int
	}{
		{"Eager", "EagerWindow", l.Eager, l.EagerWindow},
		{"4*MaxHeader", "MaxBatch", 4 * l.MaxHeader, l.MaxBatch},
		{"2*Chunk", "MaxBatch", 2 * l.Chunk, l.MaxBatch},
		{"MaxMessage", "RequestBytes", l.MaxMessage, l.RequestBytes},
		{"MaxMessage", "ReplyBytes", l.MaxMessage, l.ReplyBytes},
		{"MaxMessage", "DataBytes", l.MaxMessage, l.DataBytes},
		{"RequestBytes", "ProcessBytes", l.RequestBytes, l.ProcessBytes},
		{"ReplyBytes", "ProcessBytes", l.ReplyBytes, l.ProcessBytes},
		{"DataBytes", "ProcessBytes", l.DataBytes, l.ProcessBytes},
		{"HelloBytes", "WireOverhead", l.HelloBytes, l.WireOverhead},
	} {
		if c.a > c.b {
			return fmt.Errorf("options: Limits.%s is %d, more than Limits.%s, which is %d; raise the latter or lower the former", c.low, c.a, c.high, c.b)
		}
	}
	for _, c := range []struct {
		low, high string
		a, b      time.Duration
	}{
		{"2*PingEvery", "DeadAfter", 2 * l.PingEvery, l.DeadAfter},
		{"BackoffBase", "BackoffCap", l.BackoffBase, l.BackoffCap},
		{"ProbeTimeout", "HandshakeTimeout", l.ProbeTimeout, l.HandshakeTimeout},
	} {
		if c.a > c.b {
			return fmt.Errorf("options: Limits.%s is %v, more than Limits.%s, which is %v; raise the latter or lower the former", c.low, c.a, c.high, c.b)
		}
	}
	return nil
}

// ofLink are the numbers that a link keeps to.
func (l *Limits) ofLink() link.Limits {
	return link.Limits{
		MaxMessage: l.MaxMessage, Chunk: l.Chunk, Eager: l.Eager, EagerWindow: l.EagerWindow, MaxBatch: l.MaxBatch,
		SendQueue: l.SendQueue, QueueMark: l.SendQueue / 2, ControlQueue: l.ControlQueue, MaxCalls: l.MaxCalls, MaxHandlers: l.MaxHandlers,
		MaxHeader: l.MaxHeader, MaxErrorText: l.MaxErrorText, StreamWindow: l.StreamWindow,
		RequestBytes: int64(l.RequestBytes), ReplyBytes: int64(l.ReplyBytes), DataBytes: int64(l.DataBytes), ProcessBytes: int64(l.ProcessBytes),
		MaxTimeout: l.MaxTimeout, PingEvery: l.PingEvery, DeadAfter: l.DeadAfter, WriteTimeout: l.WriteTimeout,
		GoodbyeWait: l.GoodbyeWait, WireOverhead: l.WireOverhead, InlineAfter: l.InlineAfter, Tick: l.Tick,
	}
}
