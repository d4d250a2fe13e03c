package adminport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Limits of an admin port.
const (
	MaxHeader  = 16 << 10         // bytes of a request's head. Against memory for strangers
	HeaderTime = 5 * time.Second  // to send it. Against slowloris
	ReadTime   = 15 * time.Second // to send a small body, from the head on. Against the same
	WriteTime  = 30 * time.Second // to take an answer. Against who does not read
	idleTime   = 30 * time.Second // of a connection without a request
	// maxConnections are kept at once: beyond, the one idle for longest is cut, and
	// beyond twice as many the one busy for longest. Against connections that pile up.
	maxConnections = 512
)

// NewServer makes a server for an admin port: HTTP/1.1 and HTTP/2, on which up
// to streams requests of one connection run at once. With a certificate it
// speaks TLS, and asks nobody for one in return: what counts is the token, and
// the signature of a list.
func NewServer(handler http.Handler, streams int, certificate func() (*tls.Certificate, error), log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(certificate != nil)
	protocols.SetUnencryptedHTTP2(certificate == nil) // a stream of calls goes both ways at once
	limit := &connLimit{most: maxConnections}
	s := &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams},
		ReadHeaderTimeout: HeaderTime,
		ReadTimeout:       ReadTime,
		WriteTimeout:      WriteTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    MaxHeader,
		ConnState:         limit.state,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if certificate != nil {
		s.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS13,
			// Asked at every handshake: the next connection has the newest one.
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
			// A ticket would let a client go on with the certificate of before.
			SessionTicketsDisabled: true,
		}
	}
	return s
}

// Shut ends a server: requests that run get a moment to end.
func Shut(s *http.Server, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}

// connLimit bounds the connections of a server: beyond, the one that has been
// without a request for longest makes room; and beyond twice as many, the one
// that has been at its request for longest.
type connLimit struct {
	most int

	mu         sync.Mutex // protects what follows
	count      int
	idle, busy []net.Conn // new or between requests, and in one; the longest first
}

func (l *connLimit) state(c net.Conn, s http.ConnState) {
	same := func(other net.Conn) bool { return other == c }
	l.mu.Lock()
	l.idle, l.busy = slices.DeleteFunc(l.idle, same), slices.DeleteFunc(l.busy, same)
	switch s {
	case http.StateNew:
		l.count++
		l.idle = append(l.idle, c)
	case http.StateIdle:
		l.idle = append(l.idle, c)
	case http.StateActive:
		l.busy = append(l.busy, c)
	case http.StateHijacked, http.StateClosed:
		l.count--
	}
	var oldest net.Conn
	switch {
	case l.count > l.most && len(l.idle) > 1:
		oldest = l.idle[0]
	case l.count > 2*l.most && len(l.busy) > 1:
		oldest = l.busy[0]
	}
	l.mu.Unlock()
	if oldest != nil {
		cut(oldest)
	}
}

// cut closes a connection, upon which its server says StateClosed. TLS would
// try to say goodbye first, to who does not read.
func cut(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}
