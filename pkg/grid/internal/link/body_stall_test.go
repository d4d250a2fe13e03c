package link

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// obliging makes a peer answer pings, but for those that it keeps to itself.
func obliging(p *hostile, answer func() bool) {
	p.keep = func(f *wire.Frame) bool {
		if f.Kind == wire.Ping && answer() {
			number := f.Total
			go p.send(wire.Frame{Kind: wire.Pong, Total: number}) // the reader must not wait for its own writes
		}
		return f.Kind != wire.Ping
	}
}

func always() bool { return true }

// A body that has the other side's memory has to come: who keeps it waiting
// while answering pings, and whatever else he sends, loses the link, with the
// reason, and the memory is free.
func TestBodyThatNeverComes(t *testing.T) {
	begin := func(kind wire.Kind, total uint64, ask bool) wire.Frame {
		f := wire.Frame{Kind: wire.Begin, Mine: true, Inner: kind, ID: 1, Handler: numBlock, Xfer: 1, Total: total, Ask: ask}
		if kind == wire.List {
			f.Mine, f.ID, f.Handler = false, 0, 0
		}
		return f
	}
	nothing := func(*hostile, int) {}
	for name, c := range map[string]struct {
		begin wire.Frame
		first []byte // of it that does come
		each  func(p *hostile, second int)
	}{
		"asked for, nothing of it":  {begin(wire.Request, 1<<20, true), nil, nothing},
		"asked for, half of it":     {begin(wire.Request, 10, true), []byte("half!"), nothing},
		"not asked for":             {begin(wire.Request, 10, false), nil, nothing},
		"not asked for, half of it": {begin(wire.Request, 10, false), []byte("half!"), nothing},
		"a list":                    {begin(wire.List, 1<<20, true), nil, nothing},
		"among many small calls": {begin(wire.Request, 1<<20, true), nil, func(p *hostile, second int) {
			p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: uint64(second + 10), Handler: numEcho})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, p := attack(t, testLimits(), true)
				obliging(p, always)
				p.send(c.begin)
				if c.begin.Ask {
					p.next(wire.Grant)
				}
				if c.first != nil {
					p.send(wire.Frame{Kind: wire.Chunk, Xfer: 1, Body: c.first})
				}
				began := time.Now()
				for second := 0; x.Err() == nil && second < 120; second++ {
					c.each(p, second)
					time.Sleep(time.Second)
				}
				if took := time.Since(began); took < 15*time.Second || took > 31*time.Second {
					t.Errorf("it took %v", took)
				}
				if f := p.goodbye(x.Link, CodeViolation); !strings.Contains(string(f.Message), "1 bodies don't come") {
					t.Errorf("goodbye says %s", f.Message)
				}
				balanced(t, x)
			})
		})
	}
}

// Slow but moving is never cut: a byte now and then, or answers to pings that
// take their time on the way. Nor is a body that nobody has granted.
func TestBodyThatComesSlowly(t *testing.T) {
	limits := testLimits()
	limits.RequestBytes = 1 << 20
	limits.MaxMessage = 1 << 20
	for name, c := range map[string]struct {
		answer func() func() bool
		each   func(p *hostile, second int)
	}{
		"a byte every 12 s": {func() func() bool { return always }, func(p *hostile, second int) {
			if second%12 == 0 {
				p.send(wire.Frame{Kind: wire.Chunk, Xfer: 1, Body: []byte("x")})
			}
		}},
		"behind small frames on a slow path": {func() func() bool {
			began := time.Now()
			return func() bool { return time.Since(began) > 25*time.Second }
		}, func(p *hostile, second int) {
			p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: uint64(second + 10), Handler: numEcho})
			if second == 30 {
				p.send(wire.Frame{Kind: wire.Chunk, Xfer: 1, Body: []byte("x")})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, p := attack(t, limits, true)
				obliging(p, c.answer())
				p.send(
					wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 1, Handler: numBlock, Xfer: 1, Total: 1 << 20, Ask: true},
					wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 2, Handler: numBlock, Xfer: 2, Total: 1 << 20, Ask: true},
				)
				p.next(wire.Grant)
				for second := range 45 {
					c.each(p, second)
					time.Sleep(time.Second)
				}
				if x.Err() != nil {
					t.Fatal(x.Err())
				}
				p.send(wire.Frame{Kind: wire.Abort, Xfer: 1})
				p.next(wire.Grant)
				p.send(wire.Frame{Kind: wire.Abort, Xfer: 2})
				for range 120 { // nothing is due any more
					time.Sleep(time.Second)
				}
				p.sync()
				balanced(t, x)
			})
		})
	}
}

// A body that never has its turn while others have theirs does not come either,
// however busy the link is with chunks: below, at and above the bound.
func TestBodyThatIsPassedByOthers(t *testing.T) {
	l := testLimits()
	l.MaxMessage, l.RequestBytes, l.ReplyBytes, l.DataBytes, l.EagerWindow = 1<<20, 2<<20, 1<<20, 1<<20, 1<<20
	x, p := attack(t, l, false)
	p.send(wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 1, Handler: numBlock, Xfer: 1, Total: 1 << 20, Ask: true})
	p.next(wire.Grant)
	most := 2 * (5 << 20) // twice the sum of the above
	sent := 0
	for xfer := uint64(2); p.alive(); xfer++ {
		if sent > most+(4<<20) {
			t.Fatalf("%d bytes of others have passed", sent)
		}
		if !p.send(wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: xfer, Handler: numEcho, Xfer: xfer, Total: 256 << 10}) {
			break
		}
		for range 4 {
			p.send(wire.Frame{Kind: wire.Chunk, Xfer: xfer, Body: make([]byte, 64<<10)})
		}
		sent += 256 << 10
	}
	if sent <= most {
		t.Errorf("ended after %d bytes of others, allowed are %d", sent, most)
	}
	if f := p.goodbye(x.Link, CodeViolation); !strings.Contains(string(f.Message), "body 1 doesn't come") {
		t.Errorf("goodbye says %s", f.Message)
	}
	balanced(t, x)
}

// Headers of calls whose bodies are on their way or whose handlers run are
// counted: below, at and above what there is for small requests.
func TestHeadersAreCounted(t *testing.T) {
	l := testLimits()
	l.RequestBytes, l.MaxMessage = 64<<10, 64<<10
	header := make([]byte, 4<<10)
	for name, frame := range map[string]func(id uint64) wire.Frame{
		"begun": func(id uint64) wire.Frame {
			return wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: id, Handler: numBlock, Xfer: id, Total: 1 << 10, Ask: true, Header: header}
		},
		"running": func(id uint64) wire.Frame {
			return wire.Frame{Kind: wire.Request, Mine: true, ID: id, Handler: numBlock, Header: header}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, p := attack(t, l, true)
			for id := range uint64(17) {
				p.send(frame(id + 1))
				p.sync()
				if got, want := x.small.Used(), int64(min(id+1, 16)*(4<<10)); got != want {
					t.Fatalf("%d headers: %d bytes are taken, want %d", id+1, got, want)
				}
			}
			if f := p.next(wire.Refused); f.ID != 17 || string(f.Code) != CodeOverloaded {
				t.Errorf("refused: %d, %s", f.ID, f.Code)
			}
			if n := p.seen(wire.Refused); n != 1 {
				t.Errorf("%d are refused", n)
			}
			if name == "begun" { // the first is whole, and runs: its header is counted once
				p.next(wire.Grant)
				p.send(wire.Frame{Kind: wire.Chunk, Xfer: 1, Body: make([]byte, 1<<10)})
				p.send(wire.Frame{Kind: wire.Abort, Xfer: 2})
				p.sync()
				if got := x.small.Used(); got != 15*(4<<10) {
					t.Errorf("%d bytes are taken", got)
				}
			}
			x.Terminate(CodeClosed, "over")
			balanced(t, x)
		})
	}
}
