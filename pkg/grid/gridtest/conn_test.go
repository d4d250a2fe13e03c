package gridtest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair gives both ends of a connection.
func pair() (*wire, *conn, *conn) {
	n := newNetwork()
	w := n.wire("a:1", "b:1")
	a, b := newConns(w, "a:1", "b:1")
	w.add(a, b)
	return w, a, b
}

// sendAll writes data in odd pieces and closes.
func sendAll(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	for size := 1; len(data) > 0; size = size*3 + 1 {
		n, err := c.Write(data[:min(size, len(data))])
		if err != nil {
			t.Errorf("write: %v", err)
			break
		}
		data = data[n:]
	}
	_ = c.Close()
}

func TestConnCarriesAllInOrder(t *testing.T) {
	for _, is := range []conditions{{}, {latency: time.Second}, {speed: 1 << 20}, {latency: time.Minute, speed: 100 << 10}} {
		synctest.Test(t, func(t *testing.T) {
			w, a, b := pair()
			w.set(func(c *conditions) { *c = is })
			sent := make([]byte, 3*socketBuffer+17)
			_, _ = rand.Read(sent)
			go sendAll(t, a, sent)
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%+v: got %d bytes and %v, want the %d sent", is, len(got), err, len(sent))
			}
			_ = b.Close()
			if left := w.open(); len(left) != 0 {
				t.Errorf("%d ends are open", len(left))
			}
		})
	}
}

func TestConnTakesItsTime(t *testing.T) {
	for _, c := range []struct {
		is    conditions
		bytes int
		want  time.Duration
	}{
		{conditions{}, socketBuffer, 0},
		{conditions{latency: 30 * time.Millisecond}, socketBuffer, 30 * time.Millisecond},
		{conditions{speed: socketBuffer}, socketBuffer, time.Second},
		{conditions{speed: socketBuffer / 2}, 4 * socketBuffer, 8 * time.Second},
		{conditions{speed: socketBuffer, latency: time.Second}, socketBuffer, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, a, b := pair()
			w.set(func(now *conditions) { *now = c.is })
			start := time.Now()
			go sendAll(t, a, make([]byte, c.bytes))
			if n, err := io.Copy(io.Discard, b); n != int64(c.bytes) || err != nil {
				t.Errorf("got %d bytes and %v, want %d", n, err, c.bytes)
			}
			if took := time.Since(start).Round(time.Microsecond); took != c.want {
				t.Errorf("%d bytes at %+v took %v, want %v", c.bytes, c.is, took, c.want)
			}
			_ = b.Close()
		})
	}
}

// TestConnStall: while it lasts nothing arrives, no end either, and who writes
// waits when a buffer is full; then everything comes.
func TestConnStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := pair()
		stall := func(yes bool) { w.set(func(c *conditions) { c.stalled = yes }) }
		stall(true)
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			sendAll(t, a, make([]byte, socketBuffer+1))
		}()
		_ = b.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read while stalled: got %d bytes and %v, want the deadline's error", n, err)
		}
		select {
		case <-wrote:
			t.Error("more than a buffer was written while stalled")
		default:
		}
		_ = b.SetReadDeadline(time.Time{})
		stall(false)
		if n, err := io.Copy(io.Discard, b); n != socketBuffer+1 || err != nil {
			t.Errorf("after the stall: got %d bytes and %v", n, err)
		}
		<-wrote
		_ = b.Close()
	})
}

// TestConnEnds: each way to end a connection wakes who waits, with the error
// that a socket would give.
func TestConnEnds(t *testing.T) {
	fill := func(c net.Conn) (int, error) { return c.Write(make([]byte, 2*socketBuffer)) }
	read := func(c net.Conn) (int, error) { return c.Read(make([]byte, 1)) }
	for _, c := range []struct {
		name string
		do   func(net.Conn) (int, error) // at a
		end  func(a, b *conn)
		want error
	}{
		{"read, closed here", read, func(a, _ *conn) { _ = a.Close() }, net.ErrClosed},
		{"write, closed here", fill, func(a, _ *conn) { _ = a.Close() }, net.ErrClosed},
		{"read, closed there", read, func(_, b *conn) { _ = b.Close() }, io.EOF},
		{"write, closed there", fill, func(_, b *conn) { _ = b.Close() }, syscall.EPIPE},
		{"read, cut", read, func(a, _ *conn) { a.wire.cut() }, errCut},
		{"write, cut", fill, func(_, b *conn) { b.wire.cut() }, errCut},
		{"read, deadline", read, func(a, _ *conn) { _ = a.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"write, deadline", fill, func(a, _ *conn) { _ = a.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := pair()
			result := make(chan error, 1)
			go func() {
				_, err := c.do(a)
				result <- err
			}()
			synctest.Wait()
			select {
			case err := <-result:
				t.Errorf("%s: it did not wait: %v", c.name, err)
			default:
			}
			c.end(a, b)
			if err := <-result; !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			if _, err := c.do(a); !errors.Is(err, c.want) {
				t.Errorf("%s, again: got %v, want %v", c.name, err, c.want)
			}
			_ = a.Close()
			_ = b.Close()
		})
	}
}
