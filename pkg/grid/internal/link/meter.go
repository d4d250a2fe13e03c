package link

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// writeSlice is the number of bytes that get a write deadline of their own: a
// slow link that moves is never cut, a dead one is found.
const writeSlice = 64 << 10

// errOverhead ends a link whose other side spends far more bytes on WebSocket
// framing than on content: gorilla counts no fragments.
var errOverhead = errors.New("WebSocket framing takes more bytes than its content; is it cut into tiny fragments?")

// meter is a connection with our own write deadlines, byte counts and a limit on overhead.
type meter struct {
	net.Conn

	timeout   time.Duration
	overhead  uint64
	in, out   atomic.Uint64
	delivered atomic.Uint64
	until     time.Time // the write deadline set last; only the writer touches it
}

// Meter wraps the connection below a WebSocket (above TLS, if there is TLS).
// Every 64 KiB written gets l.WriteTimeout; bytes are counted; and reads fail
// once what came in exceeds twice what was delivered by more than
// l.WireOverhead. It sets the TCP options that links want, where there are any.
func Meter(c net.Conn, l Limits) net.Conn {
	tune(c, l)
	return &meter{Conn: c, timeout: l.WriteTimeout, overhead: uint64(l.WireOverhead)}
}

// Write writes b slice by slice, each with the whole timeout.
func (m *meter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), writeSlice)]
		// Deadlines cost a timer each: one is good until a tenth of it has passed.
		if now := time.Now(); m.until.Sub(now) < m.timeout-m.timeout/10 {
			m.until = now.Add(m.timeout)
			if err := m.Conn.SetWriteDeadline(m.until); err != nil {
				return n, err
			}
		}
		done, err := m.Conn.Write(part)
		n += done
		m.out.Add(uint64(done))
		if err != nil {
			return n, err
		}
		b = b[done:]
	}
	return n, nil
}

// SetWriteDeadline does nothing: gorilla sets one before each write, Write has its own.
func (m *meter) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the read deadline alone, for the same reason.
func (m *meter) SetDeadline(t time.Time) error {
	if t.IsZero() {
		m.until = time.Time{}
		return m.Conn.SetDeadline(t)
	}
	return m.Conn.SetReadDeadline(t)
}

// Read reads, counts, and checks the overhead.
func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	in := m.in.Add(uint64(n))
	if in > 2*m.delivered.Load()+m.overhead {
		return 0, errOverhead
	}
	return n, err
}

// Delivered counts n bytes of content as having reached the link.
func (m *meter) Delivered(n int) { m.delivered.Add(uint64(n)) }

// Wire gives the bytes read and written.
func (m *meter) Wire() (in, out uint64) { return m.in.Load(), m.out.Load() }
