// Package certs makes throw-away certificates: for `make demo`, and for tests
// that need good, expired or misissued ones. Its keys are never meant to
// outlive the process that made them.
//
// Nothing that runs in production imports it: certificates of a real mesh come
// from its operator.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Names of the files that Write makes, which are those of a Kubernetes TLS secret.
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
	CAFile   = "ca.crt"
)

// Authority issues certificates.
type Authority struct {
	PEM []byte // its own certificate

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf is what a certificate says.
type Leaf struct {
	Grid, Name string // the URI gridmesh://<grid>/<name>, unless Grid is ""
	NoHost     bool   // leave the host of Name out of the certificate

	NotBefore, NotAfter time.Time          // zero: an hour ago, and in a day
	Usages              []x509.ExtKeyUsage // nil: both to dial and to be dialled
}

// Issued is a certificate with its key, in PEM.
type Issued struct{ Cert, Key []byte }

// NewAuthority makes an authority that is valid for a week.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of authority %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(7 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate of authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of authority %s: %w", name, err)
	}
	return &Authority{PEM: encode("CERTIFICATE", der), cert: cert, key: key}, nil
}

// Issue makes a certificate.
func (a *Authority) Issue(leaf Leaf) (Issued, error) {
	fail := func(err error) (Issued, error) { return Issued{}, fmt.Errorf("certificate of %s: %w", leaf.Name, err) }
	host, _, err := net.SplitHostPort(leaf.Name)
	if err != nil {
		return fail(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: leaf.Name},
		NotBefore:    leaf.NotBefore,
		NotAfter:     leaf.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  leaf.Usages,
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	switch ip := net.ParseIP(host); {
	case leaf.NoHost:
	case ip != nil:
		template.IPAddresses = []net.IP{ip}
	default:
		template.DNSNames = []string{host}
	}
	if leaf.Grid != "" {
		uri, err := url.Parse("gridmesh://" + leaf.Grid + "/" + leaf.Name) // a grid may be namespace/name
		if err != nil {
			return fail(err)
		}
		template.URIs = []*url.URL{uri}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fail(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	return Issued{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", secret)}, nil
}

// Write issues a certificate into a folder of its own: tls.crt, tls.key and ca.crt.
func (a *Authority) Write(dir string, leaf Leaf) error {
	issued, err := a.Issue(leaf)
	if err != nil {
		return err
	}
	return issued.Write(dir, a.PEM)
}

// Write puts the certificate, its key and a bundle of authorities into a
// folder. Each file is replaced whole.
func (i Issued) Write(dir string, authorities []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string][]byte{CertFile: i.Cert, KeyFile: i.Key, CAFile: authorities} {
		temporary := filepath.Join(dir, "."+name)
		if err := os.WriteFile(temporary, text, 0o600); err != nil {
			return err
		}
		if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return new(big.Int).SetBytes(random[:])
}
