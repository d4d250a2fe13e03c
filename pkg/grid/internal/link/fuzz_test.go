package link

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// program is bytes that say what a peer does, and what the users of the link do
// meanwhile. Every sequence of bytes is a program.
type program struct {
	code []byte
	x    end
	p    *hostile
	peer *player
	wild bool // it breaks the rules now and then
	ctx  context.Context
}

// next gives the next byte, 0 at the end.
func (g *program) next() byte {
	if len(g.code) == 0 {
		return 0
	}
	b := g.code[0]
	g.code = g.code[1:]
	return b
}

// number gives a number: mostly small, sometimes huge.
func (g *program) number() uint64 {
	switch b := g.next(); {
	case b < 200:
		return uint64(b % 16)
	case b < 250:
		return uint64(b) << (g.next() % 64)
	default:
		return ^uint64(b - 250)
	}
}

// body gives some bytes, mostly few.
func (g *program) body() []byte {
	n := int(g.next())
	if n > 250 {
		n = (n - 250) * 13_000
	}
	return make([]byte, n)
}

// frame gives a frame that is right by accident only.
func (g *program) frame() wire.Frame {
	kinds := []wire.Kind{
		wire.Request, wire.Open, wire.Data, wire.End, wire.Begin, wire.Chunk, wire.Cancel, wire.Credit, wire.Reply, wire.Error,
		wire.Refused, wire.Grant, wire.Abort, wire.Ack, wire.Ping, wire.Pong, wire.Drain, wire.List, wire.Announce, wire.Goodbye,
	}
	shape := g.next()
	f := wire.Frame{
		Kind: kinds[int(g.next())%len(kinds)], Mine: shape&1 == 0, ID: g.number(), Handler: uint64(g.next() % 6),
		Msgs: uint64(g.next() % 3), Bytes: uint64(g.next()), Code: []byte("code"),
	}
	switch f.Kind {
	case wire.Request, wire.Open:
		f.Timeout = g.number()
		if shape&2 == 0 {
			g.peer.id++
			f.Mine, f.ID = true, g.peer.id
		}
	case wire.Begin:
		f.Inner = []wire.Kind{wire.Request, wire.Open, wire.Reply, wire.Data, wire.List}[g.next()%5]
		f.Total, f.Ask = g.number(), shape&4 == 0
		f.Xfer = g.number()
		if shape&2 == 0 {
			g.peer.xfer++
			f.Xfer = g.peer.xfer
			if f.Inner == wire.Request || f.Inner == wire.Open {
				g.peer.id++
				f.Mine, f.ID = true, g.peer.id
			}
		}
	case wire.Chunk, wire.Abort, wire.Grant:
		f.Xfer = g.number()
		if shape&2 == 0 {
			f.Xfer = g.peer.xfer
		}
	case wire.Ack, wire.Ping, wire.Pong:
		f.Total = g.number()
	}
	f.Body = g.body()
	if f.Kind == wire.Announce {
		f.Body = wire.AppendHandlers(nil, []wire.Handler{{Name: string(rune('a' + g.next()%26)), Number: g.number(), Stream: shape&4 == 0, In: 2, Out: 2}})
	}
	return f
}

// user does what a user of the link does, on its own goroutine.
func (g *program) user() {
	handler := []string{"echo", "block", "stream", "silent", "pipe", "a"}[g.next()%6]
	body, after := g.body(), time.Duration(g.next())*100*time.Millisecond
	ctx, cancel := context.WithTimeout(g.ctx, after)
	x := g.x.Link
	switch g.next() % 3 {
	case 0:
		go func() {
			defer cancel()
			_, _ = x.Call(ctx, &Call{Handler: handler, Body: body, Timeout: after, Expire: after%2 == 0})
		}()
	default:
		go func() {
			defer cancel()
			s, err := x.Open(ctx, &Call{Handler: handler, Body: body})
			if err != nil {
				return
			}
			go func() {
				for s.Send(ctx, body) == nil {
				}
				_ = s.CloseSend()
			}()
			for {
				if _, err := s.Recv(ctx); err != nil {
					return
				}
			}
		}()
	}
}

// programLimits are small, so that programs reach them.
func programLimits() Limits {
	l := testLimits()
	l.MaxMessage, l.RequestBytes, l.ReplyBytes, l.DataBytes = 40_000, 50_000, 50_000, 50_000
	l.Chunk, l.Eager, l.EagerWindow, l.StreamWindow = 1000, 4000, 10_000, 3000
	l.MaxCalls, l.SendQueue, l.ControlQueue = 6, 8000, 64_000
	return l
}

// pipe is a stream that answers with what it is sent.
func pipe() *Handler {
	return streaming("pipe", 2, 2, func(ctx context.Context, s *Stream) error {
		for {
			msg, err := s.Recv(ctx)
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = s.Send(ctx, msg)
			}
			if err != nil {
				return err
			}
		}
	})
}

// batch gives the next batch: what an honest peer may send, or, of a wild one,
// now and then anything.
func (g *program) batch(op byte) []byte {
	var b []byte
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	for range op%8 + 1 {
		if g.wild && g.next()%64 == 0 {
			if g.next()%4 == 0 {
				n := min(int(g.next()), len(g.code))
				b, g.code = append(b, g.code[:n]...), g.code[n:]
				continue
			}
			f := g.frame()
			b = wire.Append(b, &f)
			continue
		}
		if f, ok := g.peer.move(g.next(), g.next(), g.next()); ok {
			b = wire.Append(b, &f)
		}
	}
	return b
}

// step does what the next byte says.
func (g *program) step() {
	switch op := g.next(); {
	case op < 180:
		if b := g.batch(op); len(b) > 0 {
			_ = g.p.tr.WriteBatch(g.p.seal(b)) // fails only when the link has ended
		}
	case op < 215:
		g.user()
	case op < 248:
		time.Sleep(time.Duration(g.next()) * time.Millisecond)
		synctest.Wait()
	case op < 250:
		g.x.Drain()
	default:
		list := make([]byte, int(g.next())*100)
		go g.x.SendList(list)
	}
}

// runProgram runs a program in a bubble. Whatever it does, the link neither panics
// nor hangs, and at its end nothing is left, no goroutine, no call, no byte of a
// budget (fault rows 18, 35); and a peer that keeps to the rules is never cut.
func runProgram(t *testing.T, code []byte) {
	synctest.Test(t, func(t *testing.T) {
		g := &program{code: code[:min(len(code), 2000)]} // longer ones only take longer
		ctx, quit := context.WithCancel(t.Context())
		g.ctx = ctx
		l, kind := programLimits(), g.next()
		g.wild = kind&1 == 0
		g.peer = &player{l: l}
		g.x, g.p = attack(t, l, kind&2 == 0, append(attacked(), pipe())...)
		g.p.mu.Lock()
		g.p.keep = g.peer.heard
		g.p.mu.Unlock()
		for len(g.code) > 0 && g.x.Err() == nil {
			g.step()
		}
		quit()
		synctest.Wait()
		if g.x.Err() == nil { // then it works
			g.p.sync()
		} else if !g.wild {
			t.Errorf("a peer that kept to the rules was cut: %v", g.x.Err())
		}
		if !g.wild {
			g.settle()
			g.check(t, "of a link that lives")
		}
		g.x.Terminate(CodeClosed, "program over")
		g.x.Wait()
		synctest.Wait()
		g.check(t, "in the end")
	})
}

// settle lets the peer end what is under way until nothing is.
func (g *program) settle() {
	for {
		synctest.Wait()
		g.p.mu.Lock()
		fs := g.peer.settle()
		g.p.mu.Unlock()
		if !g.p.send(fs...) || len(fs) == 0 {
			return
		}
	}
}

// check finds what a link holds though nothing is under way.
func (g *program) check(t *testing.T, when string) {
	t.Helper()
	x := g.x
	s := x.Stats()
	if s.CallsIn != 0 || s.CallsOut != 0 || s.Streams != 0 || s.QueueBytes != 0 && x.Err() == nil {
		t.Errorf("left %s: %+v", when, s)
	}
	for name, used := range x.held() {
		t.Errorf("left %s: %d bytes of %s", when, used, name)
	}
	x.out.mu.Lock()
	defer x.out.mu.Unlock()
	if o := &x.out; len(o.transfers)+len(o.turns)+len(o.room) != 0 || o.chosen != nil || x.Err() == nil && (o.eager != 0 || o.bulkBytes != 0) {
		t.Errorf("left %s: %d transfers, %d turns, %d in line, %d bytes eager, %d pending", when, len(o.transfers), len(o.turns), len(o.room), o.eager, o.bulkBytes)
	}
	if in := &x.in; len(in.assemblies) != 0 || x.Err() == nil && in.eager != 0 || x.serving.begun.Load() != 0 {
		t.Errorf("left %s: %d bodies, %d bytes eager, %d calls begun", when, len(in.assemblies), in.eager, x.serving.begun.Load())
	}
}

// FuzzPeer runs a peer and users made of random bytes against a whole link.
func FuzzPeer(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		f.Add(random(rnd, 20+10*n))
	}
	f.Fuzz(runProgram)
}

// TestRandomPeers is the fuzzer for a moment, with a seed that it says.
func TestRandomPeers(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for n := range 1500 {
		runProgram(t, random(rnd, rnd.IntN(400)))
		if t.Failed() {
			t.Fatalf("program %d of seed %d", n, seed)
		}
	}
}

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}
