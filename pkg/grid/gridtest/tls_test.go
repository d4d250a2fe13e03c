package gridtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// certificate gives one that is its own authority, for the host of every node.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"*.grid.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// TestTLS: with certificates the servers serve TLS, and all else is the same.
func TestTLS(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		cert, roots := certificate(t)
		mesh := New(t, 3, func(o *grid.Options) { o.TLS = grid.StaticTLS(cert, roots) })
		mesh.Register(echo)
		mesh.WaitLinked()
		callAll(t, mesh)
		if id := mesh.Node(0).Stats().Links[0].Identity; id == "" {
			t.Error("the link has no identity")
		}
		mesh.Restart(1)
		mesh.WaitLinked()
		callAll(t, mesh)
	})
}
