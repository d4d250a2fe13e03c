package gridtest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// socketBuffer is how many bytes a direction of a connection holds before its
// writer waits, as a kernel's buffers do.
const socketBuffer = 64 << 10

// piece is how many bytes travel together where the speed is limited.
const piece = 4 << 10

// errCut is what both ends of a connection see after a cut.
var errCut = errors.New("gridtest: the connection was cut")

// conn is one end of a connection: net.Conn over two halves.
type conn struct {
	wire          *wire
	in, out       *half
	local, remote addr
	once          sync.Once
}

// addr is a node's name as an address.
type addr string

func (a addr) Network() string { return "gridtest" }
func (a addr) String() string  { return string(a) }

// newConns gives both ends of a connection over w.
func newConns(w *wire, dialer, acceptor addr) (a, b *conn) {
	ab, ba := newHalf(w), newHalf(w)
	a = &conn{wire: w, in: ba, out: ab, local: dialer, remote: acceptor}
	b = &conn{wire: w, in: ab, out: ba, local: acceptor, remote: dialer}
	return a, b
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

// Close ends both directions: what was written still arrives.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.out.change(func(h *half) { h.ended = true })
		c.in.change(func(h *half) { h.deaf = true })
		c.wire.remove(c)
	})
	return nil
}

// cut breaks the connection for both ends; what is under way is lost.
func (c *conn) cut() {
	c.in.change(func(h *half) { h.broken = true })
	c.out.change(func(h *half) { h.broken = true })
}

// wake makes who waits look at the wire again.
func (c *conn) wake() {
	c.in.change(func(*half) {})
	c.out.change(func(*half) {})
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t) // never fails
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.change(func(h *half) { h.readBy = t })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.change(func(h *half) { h.writeBy = t })
	return nil
}

// segment is bytes that arrive together.
type segment struct {
	b  []byte
	at time.Time // zero: at once
}

// half is one direction of a connection.
type half struct {
	wire *wire

	mu      sync.Mutex // protects what follows
	changed sync.Cond  // anything of what follows has, or the wire
	queue   []segment  // written and not read
	size    int        // its bytes
	free    time.Time  // when all before has left the writer, where speed is limited
	last    time.Time  // when the last segment arrives: none overtakes
	readBy  time.Time
	writeBy time.Time
	ended   bool // the writer has closed
	deaf    bool // the reader has closed
	broken  bool // cut
}

func newHalf(w *wire) *half {
	h := &half{wire: w}
	h.changed.L = &h.mu
	return h
}

func (h *half) change(f func(*half)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	h.changed.Broadcast()
}

// waitLocked waits for a change, or for the first of the moments that are not zero.
func (h *half) waitLocked(moments ...time.Time) {
	var first time.Time
	for _, t := range moments {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		timer := time.AfterFunc(time.Until(first), func() { h.change(func(*half) {}) })
		defer timer.Stop()
	}
	h.changed.Wait()
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		stalled := h.wire.now().stalled
		var arrives time.Time
		switch {
		case h.deaf:
			return 0, net.ErrClosed
		case h.broken:
			return 0, errCut
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case stalled:
		case len(h.queue) > 0:
			if arrives = h.queue[0].at; arrives.IsZero() || passed(arrives) {
				return h.takeLocked(b), nil
			}
		case h.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		h.waitLocked(h.readBy, arrives)
	}
}

// takeLocked reads what has arrived.
func (h *half) takeLocked(b []byte) (n int) {
	for n < len(b) && len(h.queue) > 0 {
		first := &h.queue[0]
		if !first.at.IsZero() && !passed(first.at) {
			break
		}
		done := copy(b[n:], first.b)
		n += done
		if first.b = first.b[done:]; len(first.b) == 0 {
			h.queue[0] = segment{}
			h.queue = h.queue[1:]
		}
	}
	h.size -= n
	h.changed.Broadcast()
	return n
}

func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		is := h.wire.now()
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.broken:
			return n, errCut
		case h.deaf && !is.stalled:
			return n, syscall.EPIPE
		case passed(h.writeBy):
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		case h.size < socketBuffer:
			part := min(len(b), socketBuffer-h.size)
			if is.speed > 0 {
				part = min(part, piece)
			}
			h.putLocked(b[:part], is)
			n += part
			b = b[part:]
			continue
		}
		h.waitLocked(h.writeBy)
	}
}

// putLocked sends b on its way.
func (h *half) putLocked(b []byte, is conditions) {
	var at time.Time
	if is.latency > 0 || is.speed > 0 {
		now := time.Now()
		at = now
		if is.speed > 0 {
			if h.free.Before(now) {
				h.free = now
			}
			h.free = h.free.Add(time.Duration(len(b)) * time.Second / time.Duration(is.speed))
			at = h.free
		}
		at = at.Add(is.latency)
	}
	if at.Before(h.last) {
		at = h.last
	}
	h.last = at
	h.queue = append(h.queue, segment{append([]byte(nil), b...), at})
	h.size += len(b)
	h.changed.Broadcast()
}
