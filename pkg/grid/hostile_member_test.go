package grid

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// member is a scripted dialer that is in the list: it makes links, and writes
// frames on them as it likes.
type member struct {
	*stranger

	hello   *hello     // the acceptor's
	writing sync.Mutex // one batch at a time
}

// join makes a link to to. Where a token is given, the link takes the place of
// that one; with renew, that one may go on.
func (n *network) join(t testing.TB, from, to string, token linkToken, renew bool) *member {
	t.Helper()
	s := n.knock(t, from, to, nil)
	h := helloOf(from, to)
	h.Token, h.Renew = token, renew
	s.hello(h)
	answer, ref := s.answer()
	if answer == nil {
		t.Fatalf("refused: %v", ref)
	}
	return &member{stranger: s, hello: answer}
}

// write writes one batch.
func (m *member) write(frames ...wire.Frame) {
	m.t.Helper()
	if err := m.put(frames...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) put(frames ...wire.Frame) error {
	b := make([]byte, wire.ChecksumSize)
	for i := range frames {
		b = wire.Append(b, &frames[i])
	}
	wire.Seal(b)
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.ws.WriteMessage(websocket.BinaryMessage, b)
}

// stayAlive pings until the stop that it gives.
func (m *member) stayAlive() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for number := uint64(1); ; number++ {
			select {
			case <-end:
				return
			case <-time.After(4 * time.Second):
				_ = m.put(wire.Frame{Kind: wire.Ping, Total: number}) // until says that the link has ended
			}
		}
	}()
	return func() { close(end); <-done }
}

// until reads frames up to one that is wanted; none if the link ends before.
func (m *member) until(wanted func(*wire.Frame) bool) *wire.Frame {
	m.t.Helper()
	for {
		_, b, err := m.ws.ReadMessage()
		if err != nil {
			return nil
		}
		if b, err = wire.Unseal(b); err != nil {
			m.t.Fatal(err)
		}
		for len(b) > 0 {
			var f wire.Frame
			n, err := wire.Parse(b, &f)
			if err != nil {
				m.t.Fatal(err)
			}
			if f.Kind == wire.Ping {
				_ = m.put(wire.Frame{Kind: wire.Pong, Total: f.Total})
			}
			if b = b[n:]; wanted(&f) {
				return &f
			}
		}
	}
}

// echo calls the handler "echo", the second that every node registers here.
func (m *member) echo(id uint64) (answer wire.Kind) {
	m.t.Helper()
	m.write(wire.Frame{Kind: wire.Request, Mine: true, ID: id, Handler: 1, Body: []byte("hello")})
	f := m.until(func(f *wire.Frame) bool { return f.ID == id && f.Kind <= wire.Refused })
	if f == nil {
		return 0
	}
	return f.Kind
}

// lives counts the links of a peer that have not ended.
func (nd *node) lives() (count int) {
	for _, lf := range nd.allLives() {
		if lf.peer != nd.self && lf.link.Err() == nil {
			count++
		}
	}
	return count
}

// A member that remakes its link again and again, with calls that never end on
// each, keeps a few of them: links of a pair are bounded, or one member could
// have as many budgets and sockets as it likes.
func TestLinksOfAPairAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", []string{"node-0:1"})
		started, _ := block(t, nd)
		var all []*member
		token := linkToken{}
		for i := range 3 * maxLinks {
			m := n.join(t, "node-0:1", "node-1:1", token, true)
			token = m.hello.Token
			m.write(wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: 2})
			<-started
			all = append(all, m)
			synctest.Wait()
			if got, want := nd.lives(), min(i+1, maxLinks); got != want {
				t.Fatalf("after %d links, %d are alive, want %d", i+1, got, want)
			}
		}
		for i, m := range all {
			if i < len(all)-maxLinks {
				if f := m.until(func(f *wire.Frame) bool { return f.Kind == wire.Goodbye }); f == nil || string(f.Code) != codeRotated {
					t.Errorf("link %d ends with %+v", i, f)
				}
				continue
			}
			if got := m.echo(2); got != wire.Reply {
				t.Errorf("a call on link %d is answered by %v", i, got)
			}
		}
	})
}

// The links of a removed peer that were remade before end with its last one: no
// new work, and a cut after the grace.
func TestRemovalReachesLinksThatWereRemade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", []string{"node-0:1"})
		started, _ := block(t, nd)
		old := n.join(t, "node-0:1", "node-1:1", linkToken{}, false)
		old.write(wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: 2})
		<-started
		last := n.join(t, "node-0:1", "node-1:1", old.hello.Token, true)
		if got := old.echo(2); got != wire.Reply {
			t.Fatalf("a call on the link that was remade is answered by %v", got)
		}
		if err := nd.SetPeers([]string{"node-2:1"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		removed := time.Now()
		if got := old.echo(3); got != wire.Refused {
			t.Errorf("a call of a removed peer is answered by %v", got)
		}
		bye := func(f *wire.Frame) bool { return f.Kind == wire.Goodbye }
		if f := last.until(bye); f == nil || string(f.Code) != link.CodeRemoved {
			t.Errorf("the last link ends with %+v", f)
		}
		stop := old.stayAlive()
		f := old.until(bye)
		stop()
		if f == nil || string(f.Code) != link.CodeRemoved {
			t.Errorf("the old link ends with %+v", f)
		}
		if took := time.Since(removed); took < 29*time.Second || took > 31*time.Second {
			t.Errorf("the old link was cut after %v", took)
		}
	})
}

// Handlers that go on after their link has ended count for the peer's next one:
// MaxCalls is how many run for a peer, however often it comes back (fault row 36).
func TestRunningHandlersCountAcrossLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4
		n := newNetwork()
		nd := n.start(t, "node-1:1", []string{"node-0:1"}, func(o *Options) { o.Limits.MaxCalls = most })
		var running atomic.Int64
		release := make(chan struct{})
		if err := nd.RegisterSingle("deaf", func(context.Context, []byte) ([]byte, error) {
			running.Add(1)
			defer running.Add(-1)
			<-release // whatever its context says
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
		token := linkToken{}
		var last *member
		for range 3 {
			last = n.join(t, "node-0:1", "node-1:1", token, false)
			token = last.hello.Token
			for id := range uint64(2 * most) {
				last.write(wire.Frame{Kind: wire.Request, Mine: true, ID: id + 1, Handler: 2})
				synctest.Wait()
			}
			if got := running.Load(); got != most {
				t.Errorf("%d handlers run, allowed are %d", got, most)
			}
		}
		if got := last.echo(100); got != wire.Refused {
			t.Errorf("beyond the limit a call is answered by %v", got)
		}
		close(release)
		synctest.Wait()
		if got := last.echo(101); got != wire.Reply {
			t.Errorf("after they have ended a call is answered by %v", got)
		}
	})
}

// One member, on however many links, takes no more than its share of what the
// process may hold: another one still opens streams and makes calls.
func TestOnePeerLeavesRoomToOthers(t *testing.T) {
	for name, c := range map[string]struct {
		in   int // of the handler
		body int
	}{
		"windows of streams": {in: 1},
		"bodies of requests": {body: 16 * kib},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				nd := n.start(t, "node-1:1", []string{"node-0:1", "node-3:1"}, func(o *Options) {
					l := &o.Limits
					l.MaxMessage, l.StreamWindow, l.ProcessBytes = 64*kib, 16*kib, 1*mib
					l.RequestBytes, l.ReplyBytes, l.DataBytes = 256*kib, 256*kib, 256*kib
				})
				var running sync.Map // of *atomic.Int64, by peer
				serve := func(ctx context.Context, _ *HandlerStream) error {
					count, _ := running.LoadOrStore(CallInfo(ctx).Peer, new(atomic.Int64))
					count.(*atomic.Int64).Add(1)
					<-ctx.Done()
					return nil
				}
				runs := func(peer string) int64 {
					synctest.Wait()
					count, _ := running.LoadOrStore(peer, new(atomic.Int64))
					return count.(*atomic.Int64).Load()
				}
				if err := nd.RegisterStream("wait", StreamHandler{Serve: serve, InCapacity: c.in}); err != nil {
					t.Fatal(err)
				}
				open := func(m *member, id uint64) {
					m.write(wire.Frame{Kind: wire.Open, Mine: true, ID: id, Handler: 2, Body: make([]byte, c.body)})
				}
				token := linkToken{}
				for range maxLinks - 1 {
					m := n.join(t, "node-0:1", "node-1:1", token, true)
					token = m.hello.Token
					for id := range uint64(100) {
						open(m, id+1)
					}
					if got := runs("node-0:1"); got != 16 {
						t.Fatalf("%d calls of 16 KiB run, a peer's share are 256 KiB", got)
					}
				}
				open(n.join(t, "node-3:1", "node-1:1", linkToken{}, false), 1)
				if got := runs("node-3:1"); got != 1 {
					t.Error("another peer finds no room")
				}
			})
		})
	}
}
