package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// heap is the bytes in use once all garbage is gone.
func heap() int64 {
	var m runtime.MemStats
	for range 2 { // pools give their memory up in two steps
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// deaf makes the other side read nothing more until the test ends.
func (p *hostile) deaf() {
	p.mu.Lock()
	p.tb.Cleanup(p.mu.Unlock)
}

// Any number of frames that steer costs nothing to keep, and pings are
// answered once a batch (fault row 38).
func TestSteeringFloodsCostNoMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		frame  func(i uint64) wire.Frame
		answer wire.Kind
		most   int // answers
	}{
		{"ping", func(i uint64) wire.Frame { return wire.Frame{Kind: wire.Ping, Total: i + 1} }, wire.Pong, 1000},
		{"drain", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Drain} }, 0, 0},
		{"ack of nothing", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Ack} }, 0, 0},
		{"cancel", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Cancel, Mine: true, ID: 3} }, 0, 0},
		{"credit of nothing", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Credit, Mine: true, ID: 1} }, 0, 0},
		{"abort", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Abort, Xfer: 1} }, 0, 0},
		{"late data", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Data, Mine: true, ID: 3} }, 0, 0},
		{"late replies", func(uint64) wire.Frame { return wire.Frame{Kind: wire.Reply, ID: 3} }, 0, 0},
		{"unknown hints", func(uint64) wire.Frame { return wire.Frame{Kind: 99} }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, p := stage(t, false)
			p.mu.Lock()
			p.keep = func(f *wire.Frame) bool { return f.Kind != wire.Pong || f.Total > 1<<60 }
			p.mu.Unlock()
			before := heap()
			answers := p.seen(c.answer)
			n := uint64(0)
			for range 1000 {
				var b []byte
				for range 1000 {
					f := c.frame(n)
					b = wire.Append(b, &f)
					n++
				}
				if p.tr.WriteBatch(b) != nil {
					t.Fatalf("the link ended after %d: %v", n, x.Err())
				}
			}
			p.sync()
			if grown := heap() - before; grown > 256<<10 {
				t.Errorf("%d bytes more after %d frames", grown, n)
			}
			if got := p.seen(c.answer) - answers; c.most > 0 && got > c.most+1 {
				t.Errorf("%d answers to %d frames in 1000 batches", got, n)
			}
		})
	}
}

// What a peer makes a link say and doesn't read is bounded: the link ends
// before more than ControlQueue is pending, and the process keeps the rest of its
// memory (fault rows 38, 39; rule R4).
func TestUnreadAnswersEndTheLink(t *testing.T) {
	l := testLimits()
	l.ControlQueue, l.GoodbyeWait = 64<<10, 10*time.Millisecond
	var read atomic.Uint64
	reads := streaming("reads", 1, 0, func(ctx context.Context, s *Stream) error {
		for {
			if _, err := s.Recv(ctx); err != nil {
				return err
			}
			read.Add(1)
		}
	})
	var x end
	for _, c := range []struct {
		name  string
		frame func(i uint64) []wire.Frame
	}{
		{"pongs", func(i uint64) []wire.Frame { return []wire.Frame{{Kind: wire.Ping, Total: i}} }},
		{"refusals", func(i uint64) []wire.Frame {
			return []wire.Frame{{Kind: wire.Request, Mine: true, ID: i, Handler: 1000}}
		}},
		{"acks", func(i uint64) []wire.Frame {
			return []wire.Frame{
				{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: i, Handler: 1000, Xfer: i, Total: 1},
				{Kind: wire.Chunk, Xfer: i, Body: []byte("x")},
			}
		}},
		{"grants", func(i uint64) []wire.Frame {
			return []wire.Frame{
				{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: i, Handler: numBlock, Xfer: i, Total: 1, Ask: true},
				{Kind: wire.Abort, Xfer: i},
			}
		}},
		{"credit", func(i uint64) []wire.Frame {
			if i == 1 {
				return []wire.Frame{{Kind: wire.Open, Mine: true, ID: 1, Handler: 4}}
			}
			for read.Load() < i-2 && x.Err() == nil { // it guesses well when the last message was read
				runtime.Gosched()
			}
			return []wire.Frame{{Kind: wire.Data, Mine: true, ID: 1}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p *hostile
			x, p = attack(t, l, true, append(attacked(), reads)...)
			p.sync()
			p.deaf()
			most := 0
			for i := uint64(1); x.Err() == nil && i < 100_000; i++ {
				if !p.send(c.frame(i)...) {
					break
				}
				x.out.mu.Lock()
				most = max(most, x.out.queued)
				x.out.mu.Unlock()
			}
			var cut *CutError
			if !errors.As(x.Err(), &cut) || cut.Code != CodeQueue {
				t.Errorf("ended by %v, want %s, with %d bytes pending", x.Err(), CodeQueue, most)
			}
			if most > 2*l.ControlQueue { // as much again may be in the writer's hands
				t.Errorf("%d bytes were pending, the limit is %d", most, l.ControlQueue)
			}
			x.Terminate(CodeClosed, "test over")
			x.Wait()
			balanced(t, x)
		})
	}
}

// Replies that nobody reads hold their handlers, which are bounded, and the
// queue, which is bounded; and a socket that takes nothing ends the link within
// the time for a write (fault rows 29, 39).
func TestUnreadRepliesAreBounded(t *testing.T) {
	l := testLimits()
	l.MaxCalls, l.SendQueue = 100, 256<<10
	l.WriteTimeout, l.GoodbyeWait = 500*time.Millisecond, 10*time.Millisecond
	theirs, ours := webSockets(t, l)
	x, p := attackOver(t, l, true, ours, theirs)
	p.sync()
	p.deaf()
	goroutines := runtime.NumGoroutine()
	body := make([]byte, 4<<10)
	for i := uint64(1); x.Err() == nil; i++ {
		if !p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: i, Handler: numEcho, Body: body}) {
			break
		}
		s := x.Stats()
		if most := l.SendQueue + l.Chunk + l.ControlQueue; s.QueueBytes > most {
			t.Fatalf("%d bytes are pending, the most are %d", s.QueueBytes, most)
		}
		if s.CallsIn > l.MaxCalls {
			t.Fatalf("%d handlers run, the most are %d", s.CallsIn, l.MaxCalls)
		}
		if n := runtime.NumGoroutine(); n > goroutines+l.MaxCalls+8 {
			t.Fatalf("%d goroutines for %d calls, before there were %d", n, l.MaxCalls, goroutines)
		}
	}
	<-x.Done()
	var cut *CutError
	if !errors.As(x.Err(), &cut) || cut.Code != CodeLost { // and not because of anything that was sent
		t.Errorf("ended by %v", x.Err())
	}
	x.Wait()
	balanced(t, x)
}

// Streams and calls beyond the quota are refused, and no goroutine is made for
// them (fault row 37).
func TestOpenFloodMakesNoGoroutines(t *testing.T) {
	l := testLimits()
	l.MaxCalls = 64
	for name, open := range map[string]wire.Frame{
		"streams": {Kind: wire.Open, Handler: numStream},
		"calls":   {Kind: wire.Request, Handler: numBlock},
		"bodies":  {Kind: wire.Begin, Inner: wire.Request, Handler: numBlock, Total: 1 << 20, Ask: true},
	} {
		t.Run(name, func(t *testing.T) {
			x, p := attack(t, l, true)
			p.sync()
			goroutines := runtime.NumGoroutine()
			const flood = 20_000
			open.Mine = true
			for i := range uint64(flood / 100) {
				var fs []wire.Frame
				for j := range uint64(100) {
					f := open
					f.ID = i*100 + j + 1
					if f.Kind == wire.Begin {
						f.Xfer = f.ID
					}
					fs = append(fs, f)
				}
				if !p.send(fs...) {
					t.Fatal(x.Err())
				}
				if n := runtime.NumGoroutine(); n > goroutines+l.MaxCalls+8 {
					t.Fatalf("%d goroutines, before the flood there were %d", n, goroutines)
				}
			}
			p.sync()
			if got, want := p.seen(wire.Refused), flood-l.MaxCalls; got != want {
				t.Errorf("%d were refused, want %d", got, want)
			}
			p.mu.Lock()
			for _, f := range p.got {
				if f.Kind == wire.Refused && string(f.Code) != CodeOverloaded {
					t.Errorf("refused as %s", f.Code)
					break
				}
			}
			p.mu.Unlock()
			if s := x.Stats(); s.Overloads != uint64(flood-l.MaxCalls) {
				t.Errorf("%d overloads counted", s.Overloads)
			}
		})
	}
}

// Opening and cancelling in a loop never runs more handlers than the quota,
// whether they heed their context or not, and is no violation (fault row 36,
// rule R6).
func TestResetFloodKeepsToTheQuota(t *testing.T) {
	for name, heeds := range map[string]bool{"handlers that heed their context": true, "handlers that don't": false} {
		t.Run(name, func(t *testing.T) {
			l := testLimits()
			l.MaxCalls = 16
			var running, most, ran atomic.Int64
			release := make(chan struct{})
			work := func(ctx context.Context) {
				ran.Add(1)
				now := running.Add(1)
				for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
				if heeds {
					<-ctx.Done()
				} else {
					<-release
				}
				running.Add(-1)
			}
			slow := single("single", func(ctx context.Context, _ []byte) ([]byte, error) { work(ctx); return nil, nil })
			slow.slow.Store(1 << 30)
			x, p := attack(t, l, true, slow, streaming("stream", 1, 1, func(ctx context.Context, _ *Stream) error { work(ctx); return nil }))
			for i := uint64(1); i <= 40_000; i += 2 {
				if !p.send(
					wire.Frame{Kind: wire.Request, Mine: true, ID: i, Handler: 0},
					wire.Frame{Kind: wire.Cancel, Mine: true, ID: i, Code: []byte(CodeCanceled)},
					wire.Frame{Kind: wire.Open, Mine: true, ID: i + 1, Handler: 1},
					wire.Frame{Kind: wire.Cancel, Mine: true, ID: i + 1, Code: []byte(CodeCanceled)},
				) {
					t.Fatal(x.Err())
				}
			}
			p.sync()
			if n := most.Load(); n > int64(l.MaxCalls) {
				t.Errorf("%d handlers ran at once, the quota is %d", n, l.MaxCalls)
			}
			if !heeds && ran.Load() != int64(l.MaxCalls) {
				t.Errorf("%d handlers ran though none of the first %d has ended", ran.Load(), l.MaxCalls)
			}
			close(release)
			balanced(t, x)
		})
	}
}

// A peer that grants nothing holds up its own streams only, for little memory,
// and their contexts end them (fault row 32).
func TestWithheldCreditHoldsLittle(t *testing.T) {
	const streams = 1000
	t.Run("to our handlers", func(t *testing.T) {
		var waiting atomic.Int64
		x, p := attack(t, testLimits(), true, streaming("flood", 0, 4, func(ctx context.Context, s *Stream) error {
			msg := make([]byte, 100)
			for {
				waiting.Add(1)
				if err := s.Send(ctx, msg); err != nil {
					return err
				}
				waiting.Add(-1)
			}
		}), echo())
		p.keep = func(f *wire.Frame) bool { return f.Kind != wire.Data }
		before := heap()
		for i := range uint64(streams) {
			p.send(wire.Frame{Kind: wire.Open, Mine: true, ID: i + 1})
		}
		p.sync()
		waitFor(t, func() bool { return waiting.Load() == streams && p.seen(wire.Data) == 4*streams })
		if held := (heap() - before) / streams; held > 64<<10 {
			t.Errorf("%d bytes a stream", held)
		}
		p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: streams + 1, Handler: 1})
		p.next(wire.Reply)
		for i := range uint64(streams) {
			p.send(wire.Frame{Kind: wire.Cancel, Mine: true, ID: i + 1})
		}
		p.sync()
		balanced(t, x)
		if n := p.seen(wire.Data); n != 4*streams {
			t.Errorf("%d messages were sent, want %d", n, 4*streams)
		}
	})
	t.Run("to our callers", func(t *testing.T) {
		x, p := attack(t, testLimits(), true)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var sent atomic.Int64
		for range streams {
			callers.Go(func() {
				s, err := x.Open(ctx, &Call{Handler: "stream"})
				for err == nil {
					if err = s.Send(ctx, make([]byte, 100)); err == nil {
						sent.Add(1)
					}
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("ended by %v", err)
				}
			})
		}
		waitFor(t, func() bool { return p.seen(wire.Data) == 2*streams })
		p.sync()
		cancel()
		callers.Wait()
		balanced(t, x)
		if sent.Load() != 2*streams {
			t.Errorf("%d messages were sent, want %d", sent.Load(), 2*streams)
		}
	})
}

// Empty messages cost credit like others: what lies unread never exceeds the
// window (fault row 27).
func TestEmptyMessagesCostCredit(t *testing.T) {
	x, p := attack(t, testLimits(), true, streaming("sleepy", 1000, 0, func(ctx context.Context, _ *Stream) error {
		<-ctx.Done()
		return nil
	}))
	p.send(wire.Frame{Kind: wire.Open, Mine: true, ID: 1})
	p.send(slices.Repeat([]wire.Frame{{Kind: wire.Data, Mine: true, ID: 1}}, 1000)...)
	p.sync()
	c, _ := x.serving.calls.Get(1)
	c.stream.mu.Lock()
	n := 0
	for _, it := range c.stream.queue {
		n += 1 + it.again
	}
	c.stream.mu.Unlock()
	if n != 1000 {
		t.Errorf("%d messages are queued, want 1000", n)
	}
	p.send(wire.Frame{Kind: wire.Data, Mine: true, ID: 1})
	p.goodbye(x.Link, CodeViolation)
	balanced(t, x)
}

// Of lists handed over faster than they are looked at, the newest is kept, and no other.
func TestListFloodKeepsTheNewest(t *testing.T) {
	const lists = 500
	l := testLimits()
	ours, theirs := MemoryPair()
	s := NewShared(l, &Registry{}, quiet, encodeTest)
	t.Cleanup(s.Close)
	entered, release := make(chan struct{}, lists), make(chan struct{})
	var got [][]byte
	x := Start(Config{
		Transport: ours, Ours: Side{MaxMessage: l.MaxMessage, EagerWindow: l.EagerWindow}, Shared: s,
		OnList: func(raw []byte) { got = append(got, raw[:1]); entered <- struct{}{}; <-release },
	})
	p := newHostile(t, theirs, false)
	list := func(i int) wire.Frame {
		return wire.Frame{Kind: wire.List, Body: bytes.Repeat([]byte{byte(i)}, 200<<10)}
	}
	p.send(list(0))
	<-entered
	before := heap()
	for i := range lists {
		p.send(list(i + 1))
	}
	p.sync()
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("%d bytes more after %d lists", grown, lists)
	}
	release <- struct{}{}
	<-entered
	release <- struct{}{}
	p.sync()
	x.Terminate(CodeClosed, "test over")
	x.Wait()
	if last := byte(lists % 256); len(got) != 2 || got[1][0] != last {
		t.Errorf("%d lists were looked at, want the first and the newest", len(got))
	}
}

// Announcements cost what they say: with as many handlers known as may be, one
// that adds nothing must not touch them all, and neither must each of those that
// add one.
func TestAnnouncementsCostWhatTheySay(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("handler-%d", i) }
	x, p := attack(t, testLimits(), false)
	most, known := x.limits.MaxHandlers, len(x.shared.Registry.All())
	allocated := func(do func()) uint64 {
		p.sync()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		p.sync()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	flood := func(frames ...wire.Frame) func() {
		return func() {
			var b []byte
			for i := range frames {
				b = wire.Append(b, &frames[i])
				if len(b) > 64<<10 || i == len(frames)-1 {
					if err := p.tr.WriteBatch(b); err != nil {
						t.Fatal(err)
					}
					b = nil
				}
			}
		}
	}
	var single []wire.Frame
	for i := known; i < most; i++ {
		single = append(single, wire.Frame{Kind: wire.Announce, Body: wire.AppendHandlers(nil, []wire.Handler{{Name: name(i), Number: uint64(i)}})})
	}
	if got := allocated(flood(single...)); got > 64<<20 {
		t.Errorf("%d handlers, announced one by one, cost %d MiB", len(single), got>>20)
	}
	for i := known; i < most; i++ {
		if h, ok := x.Supports(name(i)); !ok || h.Number != uint64(i) {
			t.Fatalf("%s is %v", name(i), h)
		}
	}
	if got := allocated(flood(slices.Repeat([]wire.Frame{{Kind: wire.Announce}}, 1000)...)); got > 4<<20 {
		t.Errorf("1000 announcements of nothing cost %d MiB", got>>20)
	}
	p.send(wire.Frame{Kind: wire.Announce, Body: wire.AppendHandlers(nil, []wire.Handler{{Name: name(most)}})})
	<-x.Done()
	if cut := x.cause.Load(); cut.Code != CodeViolation {
		t.Errorf("one more than may be: %v", cut)
	}
}

// Replies that a peer asks for and does not take are bounded: beyond its share
// calls are refused, known not to have run, until it takes some. It may grant
// none of the large ones, or not read on while the queue is full.
func TestUntakenRepliesAreBounded(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		size  int // of a reply
		slow  bool
		calls uint64
	}{
		{"large, on the spot", mib, false, 100},
		{"large, by workers", mib, true, 100},
		{"small, on the spot", 32 << 10, false, 3000},
		{"small, by workers", 32 << 10, true, 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := testLimits()
			l.MaxMessage, l.ProcessBytes, l.SendQueue, l.GoodbyeWait = mib, 16*mib, mib, 10*time.Millisecond
			var ran atomic.Int64
			big := &Handler{Name: "big", Single: func(context.Context, *Incoming, []byte) ([]byte, error) {
				ran.Add(1)
				return make([]byte, c.size), nil
			}}
			if c.slow {
				big.slow.Store(1 << 30)
			}
			x, p := attack(t, l, false, big)
			large := c.size > l.Chunk
			before := heap()
			if !large {
				p.mu.Lock() // it does not read
			}
			for id := range c.calls {
				p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: id + 1})
			}
			waitFor(t, func() bool { return x.count.overloads.Load()+uint64(ran.Load()) == c.calls })
			// From a quarter of ProcessBytes on calls are refused, and what those give
			// that had begun is dropped beyond a half.
			waitFor(t, func() bool { return heap()-before < 16*mib }) // once all have ended that could
			if waits := x.owed.Load(); waits > 8*mib || waits < 2*mib {
				t.Errorf("%d MiB of replies wait", waits/mib)
			}
			if large {
				x.Terminate(CodeClosed, "test over")
				x.Wait()
			} else {
				p.mu.Unlock()
			}
			balanced(t, x)
			waitFor(t, func() bool { return x.owed.Load() == 0 && x.shared.owed.Load() == 0 })
			if large {
				return
			}
			p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: c.calls + 1})
			if f, ok := p.wait(func(f *wire.Frame) bool { return f.ID == c.calls+1 }); !ok || f.Kind != wire.Reply {
				t.Errorf("after it has read, a call is answered by %v", f.Kind)
			}
		})
	}
}

// How many messages may be unread on a stream to a peer is the peer's own word,
// up to 2^31-1, and empty ones take none of the bytes of the window: they are
// counted, not kept, and still come one by one and in their place (fault row 27).
func TestEmptyMessagesTakeNoMemory(t *testing.T) {
	const batches, each = 200, 10_000
	flood := streaming("flood", 0, 1<<31-1, func(context.Context, *Stream) error { return nil })
	x, p := attack(t, testLimits(), false, flood)
	s, err := x.Open(context.Background(), &Call{Handler: "flood"})
	if err != nil {
		t.Fatal(err)
	}
	id := p.next(wire.Open).ID
	before := heap()
	p.send(wire.Frame{Kind: wire.Data, ID: id, Body: []byte("first")})
	empty := slices.Repeat([]wire.Frame{{Kind: wire.Data, ID: id}}, each)
	for range batches {
		p.send(empty...)
	}
	p.send(wire.Frame{Kind: wire.Data, ID: id, Body: []byte("last")}, wire.Frame{Kind: wire.Data, ID: id}, wire.Frame{Kind: wire.End, ID: id})
	p.sync()
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d MiB more with %d empty messages unread", grown>>20, batches*each)
	}
	next := func(want string) {
		t.Helper()
		if msg, err := s.Recv(context.Background()); err != nil || msg == nil || string(msg) != want {
			t.Fatalf("got %q, %v, want %q", msg, err, want)
		}
	}
	next("first")
	for range batches * each {
		next("")
	}
	next("last")
	next("")
	if _, err := s.Recv(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	balanced(t, x)
}
