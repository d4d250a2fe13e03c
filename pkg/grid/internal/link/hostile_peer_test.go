package link

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// hostile is the other side of a link, played by a test: it writes what the
// test says, and keeps what the link writes.
type hostile struct {
	tb       testing.TB
	tr       Transport
	checksum bool
	syncs    uint64

	mu    sync.Mutex // protects what follows
	cond  *sync.Cond
	got   []wire.Frame // what the link sent, oldest first, but for what keep drops
	keep  func(*wire.Frame) bool
	count map[wire.Kind]int
	ended bool // the link has closed the transport
}

// The handlers of a link under attack, by number.
const (
	numEcho   = iota // a single that answers at once
	numBlock         // a single that waits for its context's end
	numStream        // a stream of 2 messages each way that waits for its context's end
	numSilent        // a stream without messages, likewise
)

// attacked gives the handlers of a link under attack.
func attacked() []*Handler {
	wait := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	block := single("block", func(ctx context.Context, _ []byte) ([]byte, error) { return nil, wait(ctx) })
	block.slow.Store(1 << 30) // on a worker from the start
	return []*Handler{
		echo(), block,
		streaming("stream", 2, 2, func(ctx context.Context, _ *Stream) error { return wait(ctx) }),
		streaming("silent", 0, 0, func(ctx context.Context, _ *Stream) error { return wait(ctx) }),
	}
}

// attack gives a link with the handlers of attacked, or others, whose other
// side is the test's. The same handlers are what the other side announced.
func attack(tb testing.TB, l Limits, checksum bool, handlers ...*Handler) (end, *hostile) {
	tb.Helper()
	ours, theirs := MemoryPair()
	return attackOver(tb, l, checksum, ours, theirs, handlers...)
}

func attackOver(tb testing.TB, l Limits, checksum bool, ours, theirs Transport, handlers ...*Handler) (end, *hostile) {
	tb.Helper()
	if handlers == nil {
		handlers = attacked()
	}
	r := &Registry{}
	for _, h := range handlers {
		if err := r.Add(h); err != nil {
			tb.Fatal(err)
		}
	}
	s := NewShared(l, r, quiet, encodeTest)
	tb.Cleanup(s.Close)
	return attackShared(tb, s, checksum, ours, theirs), newHostile(tb, theirs, checksum)
}

// attackShared starts one more link of a manager, to a side of the test's.
func attackShared(tb testing.TB, s *Shared, checksum bool, ours, theirs Transport) end {
	tb.Helper()
	l := s.Limits
	side := Side{MaxMessage: l.MaxMessage, MaxCalls: l.MaxCalls, StreamWindow: l.StreamWindow, EagerWindow: l.EagerWindow}
	known := s.Registry.Announcements(0)
	x := Start(Config{
		Transport: ours, Remote: "hostile:1", Checksum: checksum, Ours: side, Theirs: side,
		TheirHandlers: known, Announced: len(known), Shared: s,
	})
	tb.Cleanup(func() {
		x.Terminate(CodeClosed, "test over")
		_ = theirs.Close()
		x.Wait()
	})
	return end{x, s}
}

func newHostile(tb testing.TB, tr Transport, checksum bool) *hostile {
	p := &hostile{tb: tb, tr: tr, checksum: checksum, count: map[wire.Kind]int{}}
	p.cond = sync.NewCond(&p.mu)
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read()
	}()
	tb.Cleanup(func() {
		_ = tr.Close()
		<-read
	})
	return p
}

// read takes what the link writes until it ends.
func (p *hostile) read() {
	for {
		b, err := p.tr.ReadBatch()
		if err != nil {
			p.mu.Lock()
			p.ended = true
			p.cond.Broadcast()
			p.mu.Unlock()
			return
		}
		rest := b.b
		if p.checksum {
			if rest, err = wire.Unseal(rest); err != nil {
				p.tb.Errorf("the link wrote a batch that fails its checksum: %v", err)
			}
		}
		p.mu.Lock()
		for len(rest) > 0 {
			var f wire.Frame
			n, err := wire.Parse(rest, &f)
			if err != nil {
				p.tb.Errorf("the link wrote what can't be parsed: %v", err)
				break
			}
			rest = rest[n:]
			p.count[f.Kind]++
			if p.keep != nil && !p.keep(&f) {
				continue
			}
			f.Body, f.Header = slices.Clone(f.Body), slices.Clone(f.Header)
			f.Code, f.Message = slices.Clone(f.Code), slices.Clone(f.Message)
			p.got = append(p.got, f)
		}
		p.cond.Broadcast()
		p.mu.Unlock()
		putBatch(b)
	}
}

// batchOf gives a batch of frames.
func (p *hostile) batchOf(fs ...wire.Frame) []byte {
	var b []byte
	for i := range fs {
		b = wire.Append(b, &fs[i])
	}
	return p.seal(b)
}

// seal puts the checksum in front of frames, if there is one.
func (p *hostile) seal(frames []byte) []byte {
	if !p.checksum {
		return frames
	}
	b := append(make([]byte, wire.ChecksumSize), frames...)
	wire.Seal(b)
	return b
}

// send writes one batch of frames. It reports false once the link is closed.
func (p *hostile) send(fs ...wire.Frame) bool {
	return len(fs) == 0 || p.tr.WriteBatch(p.batchOf(fs...)) == nil
}

// next waits for a frame of a kind and takes it.
func (p *hostile) next(k wire.Kind) wire.Frame {
	p.tb.Helper()
	f, ok := p.wait(func(f *wire.Frame) bool { return f.Kind == k })
	if !ok {
		p.tb.Fatalf("the link ended without sending %s", k)
	}
	return f
}

// wait waits for the first frame that fits and takes it. It reports false if
// the link ends before.
func (p *hostile) wait(fits func(*wire.Frame) bool) (wire.Frame, bool) {
	alarm := time.AfterFunc(10*time.Second, func() { _ = p.tr.Close() }) // else it could be for ever
	defer alarm.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for i, f := range p.got {
			if fits(&f) {
				p.got = slices.Delete(p.got, i, i+1)
				return f, true
			}
		}
		if p.ended {
			return wire.Frame{}, false
		}
		p.cond.Wait()
	}
}

// seen is how many frames of a kind have come.
func (p *hostile) seen(k wire.Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[k]
}

// sync waits until the link has taken all that was sent before.
func (p *hostile) sync() {
	p.tb.Helper()
	if !p.alive() {
		p.tb.Fatal("the link has ended")
	}
}

// alive waits until the link has taken all that was sent before, and reports
// whether it lived on.
func (p *hostile) alive() bool {
	p.syncs++
	number := 1<<60 + p.syncs
	p.send(wire.Frame{Kind: wire.Ping, Total: number})
	_, ok := p.wait(func(f *wire.Frame) bool { return f.Kind == wire.Pong && f.Total == number })
	return ok
}

// ping is a frame that does nothing but keep a batch from being empty.
var ping = wire.Frame{Kind: wire.Ping, Total: 7}

// goodbye waits for the link's end and checks what it said at last.
func (p *hostile) goodbye(l *Link, code string) wire.Frame {
	p.tb.Helper()
	if p.alive() {
		p.tb.Fatalf("the link lives, want its end by %s", code)
	}
	<-l.Done()
	var cut *CutError
	if !errors.As(l.Err(), &cut) || cut.Code != code || cut.Remote {
		p.tb.Fatalf("the link ended by %v, want %s", l.Err(), code)
	}
	f := p.next(wire.Goodbye)
	if string(f.Code) != code {
		p.tb.Fatalf("goodbye says %s (%s), want %s", f.Code, f.Message, code)
	}
	l.Wait()
	return f
}

// held is the bytes taken from each budget that isn't whole.
func (x end) held() map[string]int64 {
	held := map[string]int64{}
	for name, b := range map[string]*credit.Budget{
		"requests": x.requests, "small requests": x.small, "replies": x.replies, "data": x.data,
		"the process' requests": x.shared.requests, "the process' small requests": x.shared.small,
		"the process' replies": x.shared.replies, "the process' data": x.shared.data, "the process' windows": x.shared.windows,
	} {
		if used := b.Used(); used != 0 {
			held[name] = used
		}
	}
	return held
}

// balanced waits until a link holds nothing any more: no call, no stream, no bytes.
func balanced(t *testing.T, x end) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		s, held := x.Stats(), x.held()
		if s.CallsIn == 0 && s.CallsOut == 0 && s.Streams == 0 && len(held) == 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("left: calls in %d, out %d, streams %d, bytes %v", s.CallsIn, s.CallsOut, s.Streams, held)
		}
	}
}
