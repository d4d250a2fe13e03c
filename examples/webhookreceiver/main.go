// Webhookreceiver takes the log and the audit of nodes, each entry once: a file for each sender, a line for each entry.
//
//	webhookreceiver -listen :8443 -dir /var/lib/received -cert tls.crt -key tls.key -client-ca ca.crt -token-file token
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

func main() {
	listen, dir := flag.String("listen", ":8443", "address"), flag.String("dir", ".", "folder of the files")
	cert, key := flag.String("cert", "tls.crt", "our certificate"), flag.String("key", "tls.key", "its key")
	clientCA := flag.String("client-ca", "ca.crt", "authority of the senders' certificates")
	tokenFile := flag.String("token-file", os.DevNull, "file with a token that senders have to show as well")
	flag.Parse()
	fmt.Fprintln(os.Stderr, run(*listen, *dir, *cert, *key, *clientCA, *tokenFile))
	os.Exit(1)
}

func run(listen, dir, cert, key, clientCA, tokenFile string) error {
	authority, err := os.ReadFile(clientCA)
	token, tokenErr := os.ReadFile(tokenFile)
	folder, dirErr := os.Open(dir)
	config := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	if err := errors.Join(err, tokenErr, dirErr); err != nil || !config.ClientCAs.AppendCertsFromPEM(authority) {
		return fmt.Errorf("client-ca, token-file and dir have to be there, with a certificate in the first: %w", err)
	}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key) // each time: it may have been renewed
		return &pair, err
	}
	server := &http.Server{Addr: listen, TLSConfig: config, ReadTimeout: time.Minute, Handler: &receiver{folder: folder, token: bytes.TrimSpace(token)}}
	return server.ListenAndServeTLS("", "") // it may be killed at any time
}

type receiver struct {
	folder *os.File
	token  []byte
	mu     sync.Mutex // one batch at a time
}

// ServeHTTP answers 2xx for what is on the disk, and for nothing else; what can be mended is sent again after any 5xx.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if len(r.token) > 0 && subtle.ConstantTimeCompare([]byte(q.Header.Get("Authorization")), append([]byte("Bearer "), r.token...)) != 1 {
		http.Error(w, "a token is missing, or wrong", http.StatusUnauthorized)
		return
	}
	body, err := q.Body, error(nil)
	if q.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(q.Body)
	}
	var batch []byte
	if err == nil {
		batch, err = io.ReadAll(http.MaxBytesReader(w, body, 16<<20)) // inflated; a node sends 1 MiB unless told otherwise
	}
	if err == nil { // the key is "sender/run-first-last": the same whenever the same entries are sent
		err = r.take(path.Dir(strings.Trim(q.Header.Get("Idempotency-Key"), `"`)), batch)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// take appends those entries of a batch that came for the first time: ids of one sender rise, and are in order as text.
func (r *receiver) take(sender string, batch []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	file, err := os.OpenFile(path.Join(r.folder.Name(), url.PathEscape(sender)+".ndjson"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	tail := make([]byte, min(size, 4<<20)) // more than any entry
	if _, readErr := file.ReadAt(tail, size-int64(len(tail))); err != nil || readErr != nil {
		return errors.Join(err, readErr)
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1 // what is behind it was cut off, and never answered for
	end := size - int64(len(tail)-whole)
	last := id(tail[bytes.LastIndexByte(tail[:max(whole-1, 0)], '\n')+1 : whole])
	var fresh []byte
	for line := range bytes.Lines(batch) {
		if at := id(line); at == "" || at > last {
			fresh = append(append(fresh, bytes.TrimSuffix(line, []byte{'\n'})...), '\n')
		}
	}
	if err = file.Truncate(end); err == nil {
		_, err = file.WriteAt(fresh, end)
	}
	if err = errors.Join(err, file.Sync(), r.folder.Sync()); err != nil {
		return errors.Join(err, file.Truncate(end))
	}
	return nil
}

func id(line []byte) string {
	var entry struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(line, &entry) // what is no entry has no id
	return entry.ID
}
