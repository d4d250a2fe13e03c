package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"time"
)

// Lives of certificates, and how much of one is left when it is replaced.
const (
	AuthorityLife = 10 * 365 * 24 * time.Hour
	LeafLife      = 30 * 24 * time.Hour

	// A third remains: ten days in which the operator may be away, the API
	// server down or a person asleep before anything expires.
	renewAt = 3

	// spread is by how much lives of certificates differ.
	spread = time.Hour

	// Backdate is how far a certificate's beginning lies in the past, for nodes
	// whose clocks are behind.
	Backdate = 5 * time.Minute
)

// Authority issues certificates, or did.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer // nil: the key is lost, so it issues nothing more
}

// NewAuthority makes the authority of a Grid.
func NewAuthority(grid string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the authority: %w", err)
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Gridmesh authority " + hex.EncodeToString(serial.Bytes()[:4]), Organization: []string{grid}},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(AuthorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it issues leaves, no further authorities
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	return &Authority{Cert: cert, Key: key}, nil
}

// Pair is a certificate with its key, in PEM.
type Pair struct{ Cert, Key []byte }

// PEM is the authority as it is kept. An authority without key gives none.
func (a *Authority) PEM() (Pair, error) {
	pair := Pair{Cert: encode("CERTIFICATE", a.Cert.Raw)}
	if a.Key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(a.Key)
		if err != nil {
			return Pair{}, fmt.Errorf("key of the authority: %w", err)
		}
		pair.Key = encode("PRIVATE KEY", der)
	}
	return pair, nil
}

// ParseAuthority reads what PEM wrote. Nothing at all is no authority and no
// error.
func ParseAuthority(p Pair) (*Authority, error) {
	if len(p.Cert) == 0 && len(p.Key) == 0 {
		return nil, nil
	}
	certs, err := ParseCerts(p.Cert)
	switch {
	case err != nil:
		return nil, err
	case len(certs) != 1 || !certs[0].IsCA:
		return nil, errors.New("not the certificate of one authority")
	case len(p.Key) == 0:
		return &Authority{Cert: certs[0]}, nil
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, err
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !public.Equal(certs[0].PublicKey) {
		return nil, errors.New("the authority's key is not that of its certificate")
	}
	return &Authority{Cert: certs[0], Key: key}, nil
}

// Issue makes a certificate for every node of a Grid. Both ends of a link show
// it, so it is good for dialling and for being dialled.
//
// Nodes say until when their certificate is valid, and are known by it to have
// read it. So no two end in the same second, short of an accident.
func (a *Authority) Issue(host string, now time.Time) (Pair, error) {
	if a.Key == nil {
		return Pair{}, errors.New("the authority's key is lost")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("key for %s: %w", host, err)
	}
	until := now.Add(LeafLife - mathrand.N(spread))
	if until.After(a.Cert.NotAfter) {
		until = a.Cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: commonName(host)},
		DNSNames:     []string{host},
		NotBefore:    now.Add(-Backdate),
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, &key.PublicKey, a.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("certificate for %s: %w", host, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("key for %s: %w", host, err)
	}
	return Pair{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", secret)}, nil
}

// commonName is for people; the standard allows it 64 bytes.
func commonName(host string) string { return host[:min(len(host), 64)] }

// ID tells one certificate from another, in logs and events.
func ID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:4])
}

// ParseCerts reads a bundle of certificates, all of it or nothing.
func ParseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a %q among the certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return certs, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return signer, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newSerial() *big.Int {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	random[0] |= 0x40           // so that it always has 16 bytes
	random[0] &= 0x7f
	return new(big.Int).SetBytes(random[:])
}
