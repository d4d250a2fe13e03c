package grid

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Handler is where peers come in: mount it at Options.Path. It answers
// everything but the upgrade of a peer with a short error and closes the
// connection. Anything with an Origin is refused: no browser belongs here.
func (m *Manager) Handler() http.Handler { return http.HandlerFunc(m.serveHTTP) }

// NewServer gives a server for Handler with the right TLS, HTTP/1.1 only, with
// header time-outs and sizes, and with a limit on connections that are not
// links yet. Set its Addr, and serve with ListenAndServe, or with
// ListenAndServeTLS("", "") if there is TLS. Shut the Manager down before it.
//
// Limits.HandshakeTimeout counts from the connection on. With another server,
// which does not say when that was, it counts from the end of the request's
// head.
func (m *Manager) NewServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // an HTTP/2 connection cannot be upgraded
	s := &http.Server{
		Handler:                      m.Handler(),
		Protocols:                    &protocols,
		ReadHeaderTimeout:            m.limits.HandshakeTimeout,
		ReadTimeout:                  m.limits.HandshakeTimeout,
		WriteTimeout:                 m.limits.HandshakeTimeout,
		IdleTimeout:                  m.limits.HandshakeTimeout,
		MaxHeaderBytes:               m.limits.HeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(serverLog{m}, slog.LevelWarn),
		ConnState:                    m.connState,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, arrivalKey{}, arrival{time.Now(), m.rotations.Load()})
		},
	}
	if m.o.TLS != nil {
		s.TLSConfig = m.serverTLS()
	}
	return s
}

// gate bounds what strangers hold: connections that are not links yet, and
// handshakes at once. Who makes room for the newest is the oldest of the host that
// has most, so that no host can keep the others out.
type gate struct {
	most       int
	handshakes int
	timeout    time.Duration // for a handshake, from the connection on
	stale      time.Duration // age of a handshake that has to make room

	mu      sync.Mutex   // protects what follows
	order   []visitor    // the oldest first
	running []*handshake // the oldest first
}

// visitor is a connection that is no link yet.
type visitor struct {
	conn  net.Conn
	host  string
	since time.Time
	late  *time.Timer // cuts it
}

// arrival is when a connection came, before its TLS handshake.
type arrival struct {
	at        time.Time
	rotations uint64 // of the manager at that time
}

// arrivalKey finds the arrival of a connection in the context of its request.
type arrivalKey struct{}

// came is the arrival of the connection of r, as far as that is known.
func (m *Manager) came(r *http.Request) arrival {
	if a, ok := r.Context().Value(arrivalKey{}).(arrival); ok {
		return a
	}
	return arrival{time.Now(), m.rotations.Load()}
}

// handshake is one that comes in.
type handshake struct {
	host  string
	came  arrival   // of its connection
	since time.Time // its upgrade
	conn  net.Conn  // nil: not taken over yet
}

func newGate(most, handshakes int, timeout time.Duration) gate {
	// A real handshake takes a few round trips; one that has used a fifth of
	// its time may keep its place only while nobody else wants it.
	return gate{most: most, handshakes: handshakes, timeout: timeout, stale: timeout / 5}
}

// crowd finds the oldest of the host that has most, and how many each host has.
func crowd[T any](all []T, host func(T) string) (oldest int, held map[string]int) {
	held = make(map[string]int)
	for _, one := range all {
		held[host(one)]++
	}
	for i, one := range all {
		if held[host(one)] > held[host(all[oldest])] {
			oldest = i
		}
	}
	return oldest, held
}

// enter counts a connection, cuts another one if there are too many, and cuts
// this one when its time is over.
func (g *gate) enter(c net.Conn, since time.Time) {
	v := visitor{c, hostOf(c.RemoteAddr().String()), since, time.AfterFunc(time.Until(since.Add(g.timeout)), func() { cut(c) })}
	g.mu.Lock()
	var leaves net.Conn
	g.order = append(g.order, v)
	if len(g.order) > g.most {
		i, _ := crowd(g.order, func(v visitor) string { return v.host })
		leaves = g.takeLocked(i).conn
	}
	g.mu.Unlock()
	if leaves != nil {
		cut(leaves)
	}
}

// leave counts a connection no more. It reports whether its time was over.
func (g *gate) leave(c net.Conn) (late bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.indexLocked(c)
	return i >= 0 && time.Since(g.takeLocked(i).since) >= g.timeout
}

func (g *gate) indexLocked(c net.Conn) int {
	return slices.IndexFunc(g.order, func(v visitor) bool { return v.conn == c })
}

func (g *gate) takeLocked(i int) visitor {
	v := g.order[i]
	g.order = slices.Delete(g.order, i, i+1)
	v.late.Stop()
	return v
}

// begin counts a handshake of host; nil: there are too many that have just begun,
// and none of a host that has more places than this one would.
func (g *gate) begin(host string, came arrival) *handshake {
	g.mu.Lock()
	var leaves net.Conn
	if len(g.running) >= g.handshakes {
		i, held := crowd(g.running, func(h *handshake) string { return h.host })
		if held[g.running[i].host] <= held[host]+1 {
			i = 0
			if time.Since(g.running[i].since) < g.stale {
				g.mu.Unlock()
				return nil
			}
		}
		leaves = g.running[i].conn
		g.running = slices.Delete(g.running, i, i+1)
	}
	h := &handshake{host: host, came: came, since: time.Now()}
	g.running = append(g.running, h)
	g.mu.Unlock()
	if leaves != nil {
		cut(leaves)
	}
	return h
}

// over counts a handshake and its connection no more. It reports false if others
// have taken its place, or its time is over: then it is cut.
func (g *gate) over(h *handshake) (kept bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.running)
	g.running = slices.DeleteFunc(g.running, func(r *handshake) bool { return r == h })
	i := g.indexLocked(h.conn)
	if i < 0 {
		return false
	}
	kept = g.order[i].late.Stop() && len(g.running) < n
	g.takeLocked(i)
	return kept
}

// took notes the connection that h has taken over from the server.
func (g *gate) took(h *handshake, c net.Conn) {
	g.mu.Lock()
	h.conn = c
	g.mu.Unlock()
	g.enter(c, h.came.at)
}

// connState follows the connections of a server made by NewServer. Such a
// server has a time-out for each step; the one for all of them is ours.
func (m *Manager) connState(c net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		m.gate.enter(c, time.Now())
	case http.StateClosed:
		if m.gate.leave(c) {
			m.refused.note(hostOf(c.RemoteAddr().String()), refusedMalformed, fmt.Sprintf("no handshake within %v", m.limits.HandshakeTimeout), true)
		}
	case http.StateHijacked: // the handshake counts it again
		m.gate.leave(c)
	default: // it is still on the way
	}
}

// cut closes a connection without waiting: TLS would try to say goodbye first,
// to who does not read.
func cut(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}

// serverLog turns what an http.Server logs, mostly failed TLS handshakes, into
// refusals: they are logged once per remote host, and counted.
type serverLog struct{ m *Manager }

func (s serverLog) Enabled(context.Context, slog.Level) bool { return true }
func (s serverLog) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s serverLog) WithGroup(string) slog.Handler            { return s }

func (s serverLog) Handle(_ context.Context, r slog.Record) error {
	rest, ok := strings.CutPrefix(r.Message, "http: TLS handshake error from ")
	if !ok {
		if s.m.refused.fresh("", ofServer) {
			s.m.log.Warn("error of the http server", "error", r.Message)
		}
		return nil
	}
	addr, reason, _ := strings.Cut(rest, ": ")
	if lost(reason) {
		return nil // a port scan, a probe that only connects, a dialer that was stopped; connState sees who was too slow
	}
	ours := !strings.HasPrefix(reason, "remote error")
	s.m.refused.note(hostOf(addr), tlsRefusal(reason), "TLS handshake: "+reason, ours)
	return nil
}

// lost reports whether a failed TLS handshake failed with its connection. An
// http.Server gives the text only, in which that of a net.OpError begins with
// what was tried.
func lost(reason string) bool {
	return strings.HasPrefix(reason, "read ") || strings.HasPrefix(reason, "write ") || strings.HasPrefix(reason, "context ") ||
		strings.HasSuffix(reason, "EOF") || strings.HasSuffix(reason, "i/o timeout") || strings.Contains(reason, net.ErrClosed.Error()) ||
		reason == io.ErrClosedPipe.Error()
}

// tlsRefusal is the code of a TLS handshake that either side refused with the
// sentence reason.
func tlsRefusal(reason string) string {
	for _, of := range []string{"certificate", "x509", "TLS."} { // the last is ours, of a certificate that we lack
		if strings.Contains(reason, of) {
			return refusedCert
		}
	}
	return refusedMalformed
}
