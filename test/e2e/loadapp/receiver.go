package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// Where the receiver has what it needs.
const (
	receiverDir = "/etc/receiver" // a Secret: tls.crt, tls.key, ca.crt of senders, token
	receivedDir = "/data"         // outlives the process
)

// store is what the receiver was sent: a file, and what is known of it. Its
// methods may be called concurrently.
type store struct {
	mu       sync.Mutex
	file     *os.File
	receipts ledger.Receipts
	seen     map[string]bool // path and id
}

// line is an entry as the file keeps it.
type line struct {
	Path  string          `json:"path"`
	Entry json.RawMessage `json:"entry"`
}

// openStore reads what an earlier process was sent.
func openStore(name string) (*store, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &store{file: file, receipts: make(ledger.Receipts), seen: make(map[string]bool)}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue // cut off: it was not acknowledged
		}
		if err := s.count(l); err != nil {
			return nil, err
		}
	}
	return s, lines.Err()
}

// take keeps a batch, and returns when it is on disk.
func (s *store) take(path string, body io.Reader) error {
	var text bytes.Buffer
	var batch []line
	entries := bufio.NewScanner(body)
	entries.Buffer(nil, 2<<20)
	for entries.Scan() {
		l := line{Path: path, Entry: json.RawMessage(bytes.Clone(entries.Bytes()))}
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text.Write(append(raw, '\n'))
		batch = append(batch, l)
	}
	if err := entries.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(text.Bytes()); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	for _, l := range batch {
		if err := s.count(l); err != nil {
			return err
		}
	}
	return nil
}

// count notes an entry.
func (s *store) count(l line) error {
	var e struct {
		ID        string `json:"id"`
		Node      string `json:"node"`
		Event     string `json:"event"`
		Handler   string `json:"handler"`
		Direction string `json:"direction"`
		Result    string `json:"result"`
	}
	if err := json.Unmarshal(l.Entry, &e); err != nil {
		return fmt.Errorf("%s: %w", l.Entry, err)
	}
	run, text, _ := strings.Cut(e.ID, "-")
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("id of %s: %w", l.Entry, err)
	}
	if s.receipts[l.Path] == nil {
		s.receipts[l.Path] = make(map[string]*ledger.Received)
	}
	r := s.receipts[l.Path][run]
	if r == nil {
		r = &ledger.Received{Node: e.Node, First: number, Calls: make(map[string]int)}
		s.receipts[l.Path][run] = r
	}
	if s.seen[l.Path+e.ID] {
		r.Twice++
		return nil
	}
	s.seen[l.Path+e.ID] = true
	r.Entries++
	r.First, r.Last = min(r.First, number), max(r.Last, number)
	switch {
	case e.Event == "gap":
		r.Gaps = append(r.Gaps, string(l.Entry))
	case e.Event == "call" && e.Direction == "in":
		r.Calls[e.Handler+" "+e.Result]++
	}
	return nil
}

// sum writes what there is.
func (s *store) sum(w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, runs := range s.receipts {
		for run, r := range runs {
			r.Missing = nil
			for n := r.First; n < r.Last && len(r.Missing) < ledger.MaxMissing; n++ {
				if !s.seen[fmt.Sprintf("%s%s-%016d", path, run, n)] {
					r.Missing = append(r.Missing, n)
				}
			}
		}
	}
	return json.NewEncoder(w).Encode(s.receipts)
}

// runReceiver takes log and audit over mutual TLS on :8443, and says on :8080
// what it has.
func runReceiver(ctx context.Context) error {
	away := filepath.Join(receivedDir, "away-until")
	if text, err := os.ReadFile(away); err == nil {
		until, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			return err
		}
		select {
		case <-time.After(time.Until(until)):
		case <-ctx.Done():
			return nil
		}
	}
	s, err := openStore(filepath.Join(receivedDir, "received"))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(receiverDir, "token"))
	if err != nil {
		return err
	}
	senders := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(receiverDir, "ca.crt")); err != nil || !senders.AppendCertsFromPEM(text) {
		return fmt.Errorf("ca.crt: no certificate in it, %w", err)
	}
	takes := http.NewServeMux()
	takes.HandleFunc("POST /{path}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+string(token) {
			http.Error(w, "another token", http.StatusUnauthorized)
			return
		}
		if err := s.takeRequest(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	tells := http.NewServeMux()
	tells.HandleFunc("GET /summary", func(w http.ResponseWriter, _ *http.Request) {
		_ = s.sum(w) // who asked has gone, if this fails
	})
	tells.HandleFunc("POST /crash", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("away"))
		if err == nil {
			err = os.WriteFile(away, []byte(time.Now().Add(d).Format(time.RFC3339Nano)), 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		os.Exit(1) //nolint:forbidigo // to end in the middle of whatever else is going on is what it is for
	})
	return serve(ctx,
		&http.Server{Addr: ":8080", Handler: tells, ReadHeaderTimeout: time.Minute},
		&http.Server{Addr: ":8443", Handler: takes, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: senders,
		}})
}

// takeRequest keeps the batch in a request.
func (s *store) takeRequest(r *http.Request) error {
	body := io.Reader(http.MaxBytesReader(nil, r.Body, 64<<20))
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	return s.take(r.PathValue("path"), body)
}

// serve serves in plain text and in TLS until ctx ends or one of the two does.
func serve(ctx context.Context, plain, secure *http.Server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var both sync.WaitGroup
	both.Go(func() { cancel(plain.ListenAndServe()) })
	both.Go(func() {
		cancel(secure.ListenAndServeTLS(filepath.Join(receiverDir, "tls.crt"), filepath.Join(receiverDir, "tls.key")))
	})
	<-ctx.Done()
	_, _ = plain.Close(), secure.Close() // there is nothing that a caller could do
	both.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
