package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cutAfter is a connection that dies after so many bytes in one direction.
type cutAfter struct {
	net.Conn
	in, out *atomic.Int64 // bytes that are left; nil: without end
}

// allow cuts b to what is left and reports whether that is the end.
func allow(left *atomic.Int64, b []byte) ([]byte, bool) {
	if left == nil {
		return b, false
	}
	if n := left.Load(); int64(len(b)) >= n {
		return b[:max(n, 0)], true
	}
	return b, false
}

func (c *cutAfter) Write(b []byte) (int, error) {
	part, end := allow(c.out, b)
	n, err := c.Conn.Write(part)
	if c.out != nil {
		c.out.Add(-int64(n))
	}
	if end {
		_ = c.Conn.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}

func (c *cutAfter) Read(b []byte) (int, error) {
	part, end := allow(c.in, b)
	if end && len(part) == 0 {
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(part)
	if c.in != nil {
		c.in.Add(-int64(n))
	}
	return n, err
}

// scope is a part of a test with cleanups of its own.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// tally counts how often each numbered call ran.
type tally struct {
	mu  sync.Mutex
	ran map[string]int
}

func (y *tally) handler() *Handler {
	return single("count", func(_ context.Context, req []byte) ([]byte, error) {
		number, _, _ := bytes.Cut(req, []byte{' '})
		y.mu.Lock()
		y.ran[string(number)]++
		y.mu.Unlock()
		return req, nil
	})
}

// converse calls both ways, streams, and checks every outcome against what ran.
func converse(t *testing.T, x, y end, ran *tally, pad int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs := map[string]error{}
	for i := range 6 {
		from, number := x, strconv.Itoa(i)
		if i%3 == 2 {
			from = y
		}
		body := append([]byte(number+" "), make([]byte, pad)...)
		reply, err := from.Call(ctx, &Call{Handler: "count", Body: body})
		if err == nil && !bytes.Equal(reply, body) {
			t.Errorf("call %s: a reply of %d bytes to %d", number, len(reply), len(body))
		}
		errs[number] = err
	}
	if s, err := x.Open(ctx, &Call{Handler: "echo stream"}); err == nil {
		streamErr := func() error {
			for i := range 3 {
				if err := s.Send(ctx, []byte{byte(i)}); err != nil {
					return err
				}
				if msg, err := s.Recv(ctx); err != nil || msg[0] != byte(i) {
					return errors.Join(err, errors.New("wrong message"))
				}
			}
			if err := s.CloseSend(); err != nil {
				return err
			}
			if _, err := s.Recv(ctx); err != io.EOF {
				return err
			}
			return nil
		}()
		if f := (*Failure)(nil); streamErr != nil && (!errors.As(streamErr, &f) || f.Cut == nil) {
			t.Errorf("stream: %v", streamErr)
		}
	}
	if ctx.Err() != nil {
		t.Error("something hung")
	}
	x.Terminate(CodeClosed, "over")
	y.Terminate(CodeClosed, "over")
	x.Wait()
	y.Wait()
	waitFor(t, func() bool { return x.Stats().CallsIn+y.Stats().CallsIn == 0 })
	ran.mu.Lock()
	defer ran.mu.Unlock()
	for number, err := range errs {
		n := ran.ran[number]
		f := (*Failure)(nil)
		switch {
		case err == nil:
			if n != 1 {
				t.Errorf("call %s was answered and ran %d times", number, n)
			}
		case !errors.As(err, &f) || f.Cut == nil:
			t.Errorf("call %s: %v", number, err)
		case !f.Sent && n != 0:
			t.Errorf("call %s is said not to be sent and ran", number)
		case n > 1:
			t.Errorf("call %s ran %d times", number, n)
		}
	}
}

// A connection that dies at any byte of a conversation, in either direction:
// every call ends once, with an outcome that is true, and nothing hangs (fault
// row 9, field case 2).
func TestCutAtEveryByte(t *testing.T) {
	l := testLimits()
	for _, size := range []struct{ pad, step int }{{0, 1}, {70 << 10, 6007}} {
		for _, direction := range []string{"in", "out"} {
			ended, cuts := false, 0
			for n := int64(1); !ended && !t.Failed(); n += int64(size.step) {
				left := &atomic.Int64{}
				left.Store(1 << 60) // the upgrade passes
				test := &scope{TB: t}
				d, a := webSocketsOver(test, l, func(c net.Conn) net.Conn {
					if direction == "in" {
						return &cutAfter{Conn: c, in: left}
					}
					return &cutAfter{Conn: c, out: left}
				})
				ran := &tally{ran: map[string]int{}}
				hs := []*Handler{ran.handler(), echoStream()}
				left.Store(n)
				x, y := pairOver(test, l, d, a, true, hs, []*Handler{ran.handler(), echoStream()})
				converse(t, x, y, ran, size.pad)
				test.end()
				cuts++
				if ended = left.Load() > 0; t.Failed() {
					t.Errorf("cut after %d bytes %s", n, direction)
				}
			}
			t.Logf("%d cuts %s", cuts, direction)
		}
	}
}
