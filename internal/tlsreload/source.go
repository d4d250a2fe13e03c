package tlsreload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// PollEvery is how often the files are read, unless told otherwise.
const PollEvery = 5 * time.Second

// Options say what to load and whom to tell.
type Options struct {
	Files Files
	Check func(leaf *x509.Certificate) error // a further demand on the certificate; nil: none
	Every time.Duration                      // between two polls; 0: PollEvery

	// OnChange is called after a new set is in use, from the goroutine that
	// found it. authorities says whether the bundle changed: links that an
	// authority vouched for which is gone ought to be made again.
	OnChange func(authorities bool)

	Logger *slog.Logger // nil: slog.Default()
}

// Source is the current certificate and authorities. Its methods may be called
// concurrently.
type Source struct {
	options Options
	current atomic.Pointer[identity] // never nil

	mu      sync.Mutex // one reload at a time; protects all below
	refused [sha256.Size]byte
	why     string // why refused was refused; "" if what is in the files is in use
	unsure  [sha256.Size]byte
	stats   Stats
}

// Stats is how reloading went.
type Stats struct {
	Leaf      *x509.Certificate // in use
	Loaded    time.Time         // since when
	Reloads   uint64            // changes that were taken
	Refused   uint64            // changes that were not
	LastError string            // why the files are not in use; "" if they are
}

// Open reads the files for the first time. It fails if they do not work: a
// node that cannot prove who it is has nothing to start for.
func Open(o Options) (*Source, error) {
	if o.Every <= 0 {
		o.Every = PollEvery
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	now := time.Now()
	r, err := o.Files.read()
	if err != nil {
		return nil, err
	}
	id, err := o.Files.parse(r, now, o.Check)
	if err != nil {
		return nil, err
	}
	s := &Source{options: o}
	s.current.Store(id)
	s.stats = Stats{Leaf: id.cert.Leaf, Loaded: now}
	return s, nil
}

// LogTo makes l the logger. It must come before all else but Open.
func (s *Source) LogTo(l *slog.Logger) { s.options.Logger = l }

// Certificate gives the certificate in use.
func (s *Source) Certificate() (*tls.Certificate, error) { return s.current.Load().cert, nil }

// Roots gives the authorities in use.
func (s *Source) Roots() (*x509.CertPool, error) { return s.current.Load().roots, nil }

// Stats says how reloading went so far.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.LastError = s.why
	return stats
}

// Run polls until ctx ends.
func (s *Source) Run(ctx context.Context) {
	ticker := time.NewTicker(s.options.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = s.reload(true) // logged and counted where it is found
		}
	}
}

// Reload reads the files at once. The error says why they are not in use.
func (s *Source) Reload() error { return s.reload(false) }

// reload takes what is in the files. A poll that finds something bad waits for
// the next one before it believes it: files may be caught while they are being
// replaced one by one.
func (s *Source) reload(patient bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	r, err := s.options.Files.read()
	digest := r.digest()
	if err == nil && digest == old.from.digest() {
		s.why, s.unsure, s.refused = "", [sha256.Size]byte{}, [sha256.Size]byte{}
		return nil
	}
	var id *identity
	now := time.Now()
	if err == nil {
		id, err = s.options.Files.parse(r, now, s.options.Check)
	}
	if err != nil {
		if patient && s.unsure != digest {
			s.unsure = digest
			return err
		}
		if s.refused != digest || s.why != err.Error() {
			s.refused, s.why = digest, err.Error()
			s.stats.Refused++
			s.options.Logger.Error("certificate files refused, the old ones stay in use",
				"error", err, "in_use_until", old.cert.Leaf.NotAfter)
		}
		return err
	}
	authorities := !bytes.Equal(r.ca, old.from.ca)
	s.current.Store(id)
	s.why, s.unsure, s.refused = "", [sha256.Size]byte{}, [sha256.Size]byte{}
	s.stats.Leaf, s.stats.Loaded = id.cert.Leaf, now
	s.stats.Reloads++
	s.options.Logger.Info("certificate files reloaded", "expires", id.cert.Leaf.NotAfter, "authorities_changed", authorities)
	if s.options.OnChange != nil {
		s.options.OnChange(authorities)
	}
	return nil
}
