package feed

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
)

// Trust says how the admin ports of a Grid are spoken to.
type Trust struct {
	TLS bool
	// CA is PEM of the authorities that the nodes' certificates lead to. Without
	// any, certificates are taken as they are, and what nodes say is for people
	// to read.
	CA []byte
}

// access is the way to the admin ports of one Grid, with its warm connections. It
// may be used concurrently.
type access struct {
	sum       [sha256.Size]byte // of the Trust that it was made from
	scheme    string
	verifies  bool // what comes back is from who it should be
	transport *http.Transport
}

func (t Trust) sum() [sha256.Size]byte {
	kind := byte(0)
	if t.TLS {
		kind = 1
	}
	return sha256.Sum256(append([]byte{kind}, t.CA...))
}

// newAccess makes the way for a Trust. Authorities that cannot be read are none.
func newAccess(t Trust) *access {
	a := &access{sum: t.sum(), scheme: "http"}
	dialer := &net.Dialer{Timeout: dialTime}
	a.transport = &http.Transport{
		DialContext:            dialer.DialContext,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1, // a member has one attempt at a time
		IdleConnTimeout:        idleTime,
		ResponseHeaderTimeout:  attemptTime,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         2 << 10, // thousands of them wait for nothing
	}
	if !t.TLS {
		return a
	}
	a.scheme = "https"
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if roots := x509.NewCertPool(); roots.AppendCertsFromPEM(t.CA) {
		config.RootCAs, a.verifies = roots, true
	} else {
		config.InsecureSkipVerify = true // the answers are for people to read, and decide nothing
	}
	a.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		own := config.Clone()
		own.ServerName = serverName(ctx)
		raw, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, tlsTime)
		defer cancel()
		conn := tls.Client(raw, own)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		return conn, nil
	}
	return a
}

// close lets go of the connections that are idle; attempts that run end first.
func (a *access) close() { a.transport.CloseIdleConnections() }

// serverName travels to where a connection is made, beside the address: pods are
// dialled by address, and known by name.
type serverNameKey struct{}

func withServerName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, serverNameKey{}, name)
}

func serverName(ctx context.Context) string {
	name, _ := ctx.Value(serverNameKey{}).(string)
	return name
}

// provenBy reports whether the connection behind an answer is that of the pod
// whose host is given. A connection is kept for an address, which another pod
// may have by now, so each answer is looked at.
func (a *access) provenBy(state *tls.ConnectionState, host string) bool {
	return a.verifies && state != nil && len(state.PeerCertificates) > 0 && state.PeerCertificates[0].VerifyHostname(host) == nil
}
