package nodectl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/internal/settings"
)

// errCertificate marks what is wrong with the certificate of an admin port.
var errCertificate = errors.New("bad certificate")

// fromKubernetes takes from the folder that a pod has mounted what was not said.
func (o *options) fromKubernetes(set *settings.Loaded, environ []string) error {
	host, err := poddir.PodName(environ)
	if err != nil {
		return err
	}
	dir, err := poddir.Read(o.kubernetes, host)
	if err != nil {
		return err
	}
	if !set.IsSet("admin-addr") {
		o.admin = net.JoinHostPort("127.0.0.1", strconv.Itoa(dir.AdminPort))
	}
	if dir.TLS && o.ca == "" && !o.insecure {
		o.ca = filepath.Join(dir.Certificate(), "ca.crt")
	}
	return nil
}

// clientTLS says how to find out that a host is the node's; nil for plain text.
func (o *options) clientTLS(host string) (*tls.Config, error) {
	local := isLoopback(host)
	switch {
	case o.insecure && o.ca != "":
		return nil, errors.New("--admin-insecure looks at no certificate, and --admin-ca says how to; leave one")
	case o.insecure && !local:
		return nil, fmt.Errorf("--admin-insecure is for loopback only, as through a port-forward, and %s may be anybody; "+
			"give the authority of its certificate with --admin-ca", host)
	case o.insecure:
		return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}, nil //nolint:gosec // as the user said, on their own machine
	case o.ca == "":
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", o.ca)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: host}
	if local {
		// A node's certificate is for its name in the mesh, which is not that of
		// loopback. What was forwarded here was chosen by who forwarded it; that
		// it is of the grid, the authority says.
		config.InsecureSkipVerify = true // VerifyConnection does it, all but the name
		config.VerifyConnection = func(cs tls.ConnectionState) error { return verifyChain(&cs, roots) }
	}
	return config, nil
}

func verifyChain(cs *tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errCertificate, err)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
