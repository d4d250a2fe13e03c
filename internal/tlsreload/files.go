package tlsreload

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxFile bounds each file. A bundle of all public authorities is 250 KiB.
const maxFile = 1 << 20

// Files are the three files of one identity, in PEM.
type Files struct {
	Cert string // the leaf first, then intermediates
	Key  string
	CA   string // whom to trust: one or more authorities
}

// InDir are the files of a folder as a Kubernetes TLS secret names them.
func InDir(dir string) Files {
	return Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
}

// reading is what the files held at one time.
type reading struct{ cert, key, ca []byte }

func (f Files) read() (r reading, err error) {
	for _, file := range []struct {
		name string
		into *[]byte
	}{{f.Cert, &r.cert}, {f.Key, &r.key}, {f.CA, &r.ca}} {
		if *file.into, err = readFile(file.name); err != nil {
			return reading{}, err
		}
	}
	return r, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return text, err
}

// digest tells one content of the files from another.
func (r reading) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{r.cert, r.key, r.ca} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// identity is a set of files that works.
type identity struct {
	cert  *tls.Certificate
	roots *x509.CertPool
	from  reading
}

// parse makes an identity of a reading, or says what is wrong with it.
func (f Files) parse(r reading, now time.Time, check func(*x509.Certificate) error) (*identity, error) {
	cert, err := tls.X509KeyPair(r.cert, r.key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %s", f.Cert, f.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := cert.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("%s: the certificate expired at %s", f.Cert, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("%s: the certificate is not valid before %s; is the clock right?", f.Cert, leaf.NotBefore.Format(time.RFC3339))
	}
	for _, usage := range []struct {
		id   x509.ExtKeyUsage
		name string
	}{{x509.ExtKeyUsageServerAuth, "serverAuth"}, {x509.ExtKeyUsageClientAuth, "clientAuth"}} {
		if !allows(leaf, usage.id) {
			return nil, fmt.Errorf("%s: the certificate lacks the extended key usage %s; a node both dials and is dialled", f.Cert, usage.name)
		}
	}
	if check != nil {
		if err := check(leaf); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Cert, err)
		}
	}
	roots, err := parseAuthorities(r.ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.CA, err)
	}
	return &identity{cert: &cert, roots: roots, from: r}, nil
}

func allows(leaf *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return true // a certificate that names none is good for all
	}
	return slices.Contains(leaf.ExtKeyUsage, usage) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// parseAuthorities demands that the whole bundle can be read: the authority
// that x509.CertPool would skip in silence is the one that a peer needs.
func parseAuthorities(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	count := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a %s among the authorities", strings.ToLower(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authority %d: %s", count+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		pool.AddCert(cert)
		count++
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("what follows authority %d is cut off or not PEM", count)
	}
	if count == 0 {
		return nil, errors.New("no authority in it")
	}
	return pool, nil
}
