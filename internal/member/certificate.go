package member

import (
	"crypto/x509"
	"fmt"
	"net"

	"github.com/gridmesh/gridmesh/internal/tlsreload"
)

// openCertificates reads the certificate; nil without TLS.
func (me *Member) openCertificates() (*tlsreload.Source, error) {
	if !me.config.TLS() {
		return nil, nil //nolint:nilnil // plain text is no error, and has no certificate
	}
	return tlsreload.Open(tlsreload.Options{
		Files: me.config.Certificate, Logger: me.log,
		Check: func(leaf *x509.Certificate) error { return checkOwnName(leaf, &me.config) },
		OnChange: func(authorities bool) {
			if authorities {
				me.m.Rotate() // links that an authority vouched for which may be gone
			}
		},
	})
}

// checkOwnName refuses a certificate that every peer would refuse.
func checkOwnName(leaf *x509.Certificate, config *Config) error {
	want := "gridmesh://" + config.Grid + "/" + config.Name
	for _, uri := range leaf.URIs {
		if uri.String() == want {
			return nil
		}
	}
	host, _, err := net.SplitHostPort(config.Name)
	if err != nil {
		return err
	}
	if config.Strict {
		return fmt.Errorf("the certificate lacks the URI %s, which tls-strict demands", want)
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return fmt.Errorf("the certificate is neither for the host of this node's name nor for %s: %w", want, err)
	}
	return nil
}
