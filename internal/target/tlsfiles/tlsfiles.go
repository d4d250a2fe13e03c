// Package tlsfiles keeps what a target needs for TLS as it is in its files: the
// authorities that vouch for the receiver, and the certificate that is shown to
// it. Files are read again when they are asked for, at most every few seconds,
// and a new content that does not work is refused: the old one stays, and the
// error says so. Never is a certificate left out because it cannot be read.
//
// The package starts nothing and dials nothing; internal/tlsreload is its like
// for the links of the grid.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	lookEvery = 5 * time.Second
	maxFile   = 1 << 20 // a bundle of all public authorities is 250 KiB
)

// Options name the files. All of them may be empty: then the authorities of the
// system count, and no certificate is shown.
type Options struct {
	CA         string // one or more authorities, instead of those of the system
	Cert, Key  string // both or none
	ServerName string // whom the receiver's certificate must name; "": the host that is dialled
}

// Check says what cannot work whatever is in the files.
func (o Options) Check() error {
	if (o.Cert == "") != (o.Key == "") {
		return errors.New("a certificate and its key go together; name both or none")
	}
	return nil
}

// Files are the files and what was in them. Its methods may be called
// concurrently.
type Files struct {
	o Options

	mu     sync.Mutex // protects all below; held while files are read
	looked time.Time
	texts  [3][]byte
	config *tls.Config
}

// Open reads the files for the first time.
func Open(o Options) (*Files, error) {
	f := &Files{o: o}
	if err := errors.Join(o.Check(), f.load()); err != nil {
		return nil, err
	}
	return f, nil
}

// Config gives the configuration of a client as the files are now, and whether
// it is another one than the last time. With an error it is the one from before,
// and Config looks again the next time.
func (f *Files) Config() (config *tls.Config, changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < lookEvery {
		return f.config, false, nil
	}
	old := f.config
	err = f.load()
	return f.config, f.config != old, err
}

// load reads the files, and takes what is in them if it is new and works.
func (f *Files) load() error {
	var texts [3][]byte
	for i, name := range []string{f.o.CA, f.o.Cert, f.o.Key} {
		if name == "" {
			continue
		}
		text, err := read(name)
		if err != nil {
			return err
		}
		texts[i] = text
	}
	f.looked = time.Now()
	if f.config != nil && bytes.Equal(texts[0], f.texts[0]) && bytes.Equal(texts[1], f.texts[1]) && bytes.Equal(texts[2], f.texts[2]) {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.o.ServerName}
	if f.o.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(texts[0]) {
			return fmt.Errorf("%s: no authority in it", f.o.CA)
		}
	}
	if f.o.Cert != "" {
		cert, err := tls.X509KeyPair(texts[1], texts[2])
		if err != nil {
			f.looked = time.Time{} // perhaps only one of the two is new yet
			return fmt.Errorf("%s with %s: %w", f.o.Cert, f.o.Key, err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	f.texts, f.config = texts, config
	return nil
}

func read(name string) ([]byte, error) {
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return text, err
}

// Secret is a text in a file, such as a token, read again each time.
type Secret struct{ Path string }

// maxSecret bounds a secret.
const maxSecret = 16 << 10

// Read gives the text without the white space around it; "" without a path.
func (s Secret) Read() (string, error) {
	if s.Path == "" {
		return "", nil
	}
	text, err := read(s.Path)
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return "", fmt.Errorf("%s: nothing in it", s.Path)
	case len(text) > maxSecret || bytes.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%s: longer than %d bytes, or more than a line", s.Path, maxSecret)
	}
	return string(text), nil
}

// LookAgain has the next Config read the files, whenever that was done last.
func (f *Files) LookAgain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Time{}
}
