package link

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// fault is what happens to a connection, once.
type fault struct {
	after   int64 // bytes that one side writes before it happens; < 0: never
	write   int   // the write that fails, from 1; 0: none does
	arrives bool  // what that write was given arrives nevertheless
	swallow bool  // the writer isn't told: what it writes is lost, as in a kernel's buffers
}

// faulty is a side of a connection that the fault happens to when it writes.
type faulty struct {
	net.Conn
	other net.Conn

	mu      sync.Mutex // protects what follows
	armed   bool       // the handshake is over
	fault   fault
	written int64
	writes  int
	broken  bool
}

func (f *faulty) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return f.Conn.Write(b)
	}
	if f.writes++; f.writes == f.fault.write {
		if f.fault.arrives {
			_, _ = f.Conn.Write(b)
		}
		return 0, errors.New("this write fails")
	}
	part := b
	if left := f.fault.after - f.written; f.fault.after >= 0 && int64(len(b)) > left {
		part = b[:left]
	}
	n := 0
	var err error
	if len(part) > 0 {
		n, err = f.Conn.Write(part)
	}
	f.written += int64(n)
	if err != nil || n == len(b) {
		return n, err
	}
	if !f.broken { // both sides see the end of what came
		f.broken = true
		_ = f.Conn.Close()
		_ = f.other.Close()
	}
	if f.fault.swallow {
		return len(b), nil
	}
	return n, errors.New("connection reset")
}

// upgraded takes over a connection in the place of an http.Server.
type upgraded struct {
	http.ResponseWriter
	conn net.Conn
	rw   *bufio.ReadWriter
}

func (u upgraded) Hijack() (net.Conn, *bufio.ReadWriter, error) { return u.conn, u.rw, nil }
func (u upgraded) Header() http.Header                          { return http.Header{} }

// webSocketsOverConns gives the transports of a real WebSocket over a and b.
func webSocketsOverConns(t *testing.T, l Limits, a, b net.Conn) (dialed, accepted Transport) {
	t.Helper()
	size, pool := WriteBuffers(l)
	got := make(chan *websocket.Conn, 1)
	go func() {
		conn := Meter(b, l)
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		up := websocket.Upgrader{WriteBufferSize: size, WriteBufferPool: pool}
		ws, err := up.Upgrade(upgraded{conn: conn, rw: bufio.NewReadWriter(r, bufio.NewWriter(conn))}, req, nil)
		if err != nil {
			t.Error(err)
			return
		}
		got <- ws
	}()
	d := websocket.Dialer{
		WriteBufferSize: size, WriteBufferPool: pool,
		NetDialContext: func(context.Context, string, string) (net.Conn, error) { return Meter(a, l), nil },
	}
	ws, _, err := d.Dial("ws://test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return NewWebSocket(ws, l), NewWebSocket(<-got, l)
}

// ledger says which calls have run.
type ledger struct {
	mu  sync.Mutex // protects ran
	ran map[string]int
}

func (l *ledger) note(key []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran[string(key[:4])]++
}

// key is the first four bytes of a body, which say whose it is.
func keyed(key string, size int) []byte {
	return append([]byte(key), bytes.Repeat([]byte("."), size-4)...)
}

// messages are what a stream of a conversation sends each way: small, in chunks, small.
var messages = [][]byte{keyed("msg0", 10), keyed("msg1", 80), keyed("msg2", 20)}

// handlers serve a conversation.
func (l *ledger) handlers(t *testing.T) []*Handler {
	return []*Handler{
		single("echo", func(_ context.Context, req []byte) ([]byte, error) { l.note(req); return req, nil }),
		streaming("talk", 2, 2, func(ctx context.Context, s *Stream) error {
			l.note(s.Payload())
			for i := 0; ; i++ {
				msg, err := s.Recv(ctx)
				if err == io.EOF {
					if i != len(messages) {
						t.Errorf("handler: a clean end after %d messages", i)
					}
					return nil
				}
				if err != nil {
					if cause := context.Cause(ctx); !errors.Is(cause, ErrDisconnected) {
						t.Errorf("handler: %v, and its context says %v", err, cause)
					}
					return nil // which must not make it a clean end
				}
				if i >= len(messages) || !bytes.Equal(msg, messages[i]) {
					t.Errorf("handler: message %d is %q", i, msg)
				}
				if s.Send(ctx, msg) != nil {
					return nil //nolint:nilerr // likewise
				}
			}
		}),
	}
}

// ended is a call that has ended, with what.
type ended struct {
	key string
	err error
}

// conversation is calls of all sizes and a stream with messages both ways, by
// both sides at once. It gives how each call ended.
func conversation(t *testing.T, x, y end) []ended {
	var mu sync.Mutex
	var all []ended
	var wg sync.WaitGroup
	done := func(key string, err error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, ended{key, err})
	}
	for side, l := range map[string]*Link{"x": x.Link, "y": y.Link} {
		for i, size := range []int{4, 100, 300} { // small, eager, asked for
			wg.Go(func() {
				key := fmt.Sprintf("%s%03d", side, i)
				req := keyed(key, size)
				got, err := l.Call(t.Context(), &Call{Handler: "echo", Body: req})
				if err == nil && !bytes.Equal(got, req) {
					t.Errorf("%s: %d bytes came back of %d", key, len(got), size)
				}
				done(key, err)
			})
		}
		wg.Go(func() {
			key := side + "str"
			s, err := l.Open(t.Context(), &Call{Handler: "talk", Body: keyed(key, 100)})
			if err == nil {
				err = exchange(t, s)
			}
			done(key, err)
		})
	}
	wg.Wait()
	return all
}

// exchange sends all messages and reads them back.
func exchange(t *testing.T, s *Stream) error {
	sent := make(chan error, 1)
	go func() {
		for _, msg := range messages {
			if err := s.Send(t.Context(), msg); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for i := 0; ; i++ {
		msg, err := s.Recv(t.Context())
		switch {
		case err == io.EOF:
			if i != len(messages) {
				t.Errorf("a clean end after %d messages", i)
			}
			return <-sent
		case err != nil:
			<-sent //nolint:errcheck // the same end
			return err
		case i >= len(messages) || !bytes.Equal(msg, messages[i]):
			t.Errorf("message %d is %q", i, msg)
		}
	}
}

// outcomes counts how calls ended: answered, cut before they were sent, and cut
// afterwards, those that have run and those that have not.
type outcomes struct{ answered, notSent, ran, lost int }

// cutConversation has a conversation over a connection with a fault on the
// side that dials, or on the other one, and checks what became of it. It gives
// how many bytes and writes that side made.
func cutConversation(t *testing.T, f fault, dialer bool, sum *outcomes) (written int64, writes int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		fa, fb := &faulty{Conn: a, other: b, fault: fault{after: -1}}, &faulty{Conn: b, other: a, fault: fault{after: -1}}
		l := testLimits()
		l.Chunk, l.Eager, l.EagerWindow, l.StreamWindow = 64, 256, 300, 1000
		ta, tb := webSocketsOverConns(t, l, fa, fb)
		side := fa
		if !dialer {
			side = fb
		}
		side.mu.Lock()
		side.fault, side.armed = f, true
		side.mu.Unlock()
		book := &ledger{ran: map[string]int{}}
		x, y := pairOver(t, l, ta, tb, false, book.handlers(t), book.handlers(t))
		began := time.Now()
		all := conversation(t, x, y)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		whole := f.after < 0 && f.write == 0
		x.Terminate(CodeClosed, "over")
		x.Wait()
		y.Wait()
		synctest.Wait() // handlers return
		for _, e := range all {
			ran := book.ran[e.key]
			var fail *Failure
			switch {
			case ran > 1:
				t.Errorf("%s ran %d times", e.key, ran)
			case e.err == nil:
				if ran != 1 {
					t.Errorf("%s was answered and has not run", e.key)
				}
			case whole:
				t.Errorf("%s: %v without a fault", e.key, e.err)
			case !errors.As(e.err, &fail) || fail.Cut == nil:
				t.Errorf("%s: %#v, want a cut", e.key, e.err)
			case !fail.Sent && ran != 0:
				t.Errorf("%s was said not to have been sent, and has run", e.key)
			case !fail.Sent:
				sum.notSent++
			case ran != 0:
				sum.ran++
			default:
				sum.lost++
			}
			if e.err == nil {
				sum.answered++
			}
		}
		for _, e := range []end{x, y} {
			if s, held := e.Stats(), e.held(); s.CallsIn != 0 || s.CallsOut != 0 || s.Streams != 0 || len(held) != 0 {
				t.Errorf("left: %+v, %v", s, held)
			}
		}
		side.mu.Lock()
		written, writes = side.written, side.writes
		side.mu.Unlock()
	})
	return written, writes
}

// A connection that breaks after any number of bytes, either way, whether the
// writer is told or not, gives each call one outcome, the right one, at once:
// answered, cut before it was sent, in which case it never runs, or cut
// afterwards. No stream ends cleanly that was cut (fault row 9; field case 2).
func TestFaultAtEveryByteAndWrite(t *testing.T) {
	var sum outcomes
	for name, dialer := range map[string]bool{"dialer": true, "acceptor": false} {
		written, writes := cutConversation(t, fault{after: -1}, dialer, &sum)
		if written < 1000 {
			t.Fatalf("%s wrote %d bytes: is this a conversation?", name, written)
		}
		var faults []fault
		t.Logf("%s: %d bytes, %d writes", name, written, writes)
		for n := range written + 50 { // what is in a batch differs a little each time
			faults = append(faults, fault{after: n}, fault{after: n, swallow: true})
		}
		for k := range writes + 5 {
			faults = append(faults, fault{after: -1, write: k + 1}, fault{after: -1, write: k + 1, arrives: true})
		}
		for _, f := range faults {
			if cutConversation(t, f, dialer, &sum); t.Failed() {
				t.Fatalf("%s, %+v", name, f)
			}
		}
	}
	if sum.answered == 0 || sum.notSent == 0 || sum.ran == 0 || sum.lost == 0 {
		t.Errorf("not all outcomes were seen: %+v", sum)
	}
}
