package grid

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// current are the certificate and the roots of this moment.
func (t *TLS) current() (*tls.Certificate, *x509.CertPool, error) {
	cert, err := t.Certificate()
	if err != nil {
		return nil, nil, fmt.Errorf("TLS.Certificate: %w", err)
	}
	if cert == nil || len(cert.Certificate) == 0 {
		return nil, nil, errors.New("TLS.Certificate gives no certificate")
	}
	roots, err := t.Roots()
	if err != nil {
		return nil, nil, fmt.Errorf("TLS.Roots: %w", err)
	}
	if roots == nil {
		return nil, nil, errors.New("TLS.Roots gives no roots; the system's are never used")
	}
	return cert, roots, nil
}

// proven is what a peer's certificate has shown.
type proven struct {
	identity string // the URI, or the host, that it is valid for
	expiry   time.Time
}

// verifyPeer checks that the certificate of the other end of cs leads to
// roots now, may be used as usage says, and is that of name. It looks at
// nothing that an earlier handshake may have found: a resumed session is
// checked like a new one.
func verifyPeer(cs *tls.ConnectionState, roots *x509.CertPool, usage x509.ExtKeyUsage, grid, name string, demandURI bool) (proven, error) {
	leaf, err := verifyChain(cs, roots, usage)
	if err != nil {
		return proven{}, err
	}
	uri := "gridmesh://" + grid + "/" + name
	for _, u := range leaf.URIs {
		if u.String() == uri {
			return proven{uri, leaf.NotAfter}, nil
		}
	}
	if demandURI {
		return proven{}, fmt.Errorf("the certificate of %s does not carry the URI %s, which is demanded in strict mode and where names share a host", name, uri)
	}
	host := hostOf(name)
	if err := leaf.VerifyHostname(host); err != nil {
		return proven{}, fmt.Errorf("the certificate of %s is for another name: %w; it carries no URI %s either", name, err, uri)
	}
	return proven{host, leaf.NotAfter}, nil
}

// verifyChain checks all of a certificate but whose it is.
func verifyChain(cs *tls.ConnectionState, roots *x509.CertPool, usage x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		return nil, errors.New("the other side shows no certificate")
	}
	leaf := cs.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	return leaf, err
}

// clientTLS is the configuration for dialling p, made anew for each dial.
func (m *Manager) clientTLS(p *peer, show func(proven)) (*tls.Config, error) {
	cert, roots, err := m.o.TLS.current()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: hostOf(p.name),
		NextProtos: []string{"http/1.1"},
		// Not more lax but stricter: VerifyConnection checks chain, usage and
		// name, and does so for resumed sessions too.
		InsecureSkipVerify:     true, //nolint:gosec // see above
		SessionTicketsDisabled: true,
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
		VerifyConnection: func(cs tls.ConnectionState) error {
			demand := m.members.Load().demandsURI(p.name, m.o.TLS.Strict)
			got, err := verifyPeer(&cs, roots, x509.ExtKeyUsageServerAuth, m.o.Grid, p.name, demand)
			if err != nil {
				return &refusal{Code: refusedCert, Message: err.Error(), ours: true}
			}
			show(got)
			return nil
		},
	}, nil
}

// serverTLS is the configuration for a server, which asks for the
// certificates of the moment at each handshake.
func (m *Manager) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert, roots, err := m.o.TLS.current()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:             tls.VersionTLS13,
				NextProtos:             []string{"http/1.1"}, // h2 cannot be upgraded
				Certificates:           []tls.Certificate{*cert},
				SessionTicketsDisabled: true,
				// Verified by the handshake itself, because its alerts tell the
				// other side what is wrong; and again, with the name, at the hello.
				ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs:  roots,
				VerifyConnection: func(cs tls.ConnectionState) error {
					_, err := verifyChain(&cs, roots, x509.ExtKeyUsageClientAuth)
					return err
				},
			}, nil
		},
	}
}

// verifyDialer checks the certificate of who has come in as name.
func (m *Manager) verifyDialer(cs *tls.ConnectionState, name string) (proven, error) {
	if m.o.TLS == nil {
		return proven{}, nil
	}
	_, roots, err := m.o.TLS.current()
	if err != nil {
		return proven{}, err
	}
	return verifyPeer(cs, roots, x509.ExtKeyUsageClientAuth, m.o.Grid, name, m.members.Load().demandsURI(name, m.o.TLS.Strict))
}

// exporterOf is what binds a token's proof to one TLS connection, nil without TLS.
func exporterOf(cs *tls.ConnectionState) ([]byte, error) {
	if cs == nil {
		return nil, nil
	}
	return cs.ExportKeyingMaterial(exporterLabel, nil, 32)
}

// alert reports whether err is the other side's refusal during the TLS
// handshake. In TLS 1.3 a dialer sees it with its first read after it.
func alert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
