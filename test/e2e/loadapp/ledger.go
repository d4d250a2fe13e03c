package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// entry is what is known of one call.
type entry struct {
	ran     int
	outcome string // how it ended for its caller; "" while it has not
}

// book is the ledger. Its methods may be called concurrently.
type book struct {
	mu      sync.Mutex
	entries map[string]*entry
	closed  bool // no more calls
	summary ledger.Summary
}

// note writes an event down. It says no to the start of a call when the ledger
// is closed.
func (b *book) note(e ledger.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.entries[e.ID]
	if known == nil && e.ID != "" {
		known = new(entry)
		b.entries[e.ID] = known
	}
	switch e.Kind {
	case ledger.Starts:
		if b.closed {
			delete(b.entries, e.ID)
			return false
		}
		b.summary.Started++
	case ledger.Runs:
		known.ran++
	case ledger.Ends:
		known.outcome = e.Outcome
		b.summary.Retries += e.Retries
		if e.Outcome != ledger.Answered && len(b.summary.Failures) < ledger.MaxFailures {
			b.summary.Failures = append(b.summary.Failures, e.ID+" "+e.Outcome+": "+e.Text)
		}
	case ledger.Stops:
		b.summary.Stops = append(b.summary.Stops, ledger.Stop{Pod: e.Pod, Running: e.Running, At: time.Now()})
	}
	return true
}

// sum is the summary up to now.
func (b *book) sum() ledger.Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.summary
	s.Failures, s.Stops = slices.Clone(s.Failures), slices.Clone(s.Stops)
	s.Outcomes = make(map[string]int)
	for id, e := range b.entries {
		if e.outcome == "" {
			s.Open++
		} else {
			s.Outcomes[e.outcome]++
		}
		wrong := e.ran > 1 || e.outcome == ledger.Answered && e.ran != 1 || e.outcome == ledger.NotSent && e.ran != 0
		if wrong {
			s.Wrong = append(s.Wrong, ledger.Wrong{ID: id, Ran: e.ran, Outcome: e.outcome})
		}
	}
	return s
}

func runLedger(ctx context.Context) error {
	b := &book{entries: make(map[string]*entry)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /event", func(w http.ResponseWriter, r *http.Request) {
		var e ledger.Event
		if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if !b.note(e) {
			w.WriteHeader(http.StatusGone)
		}
	})
	mux.HandleFunc("POST /close", func(http.ResponseWriter, *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.closed = true
	})
	mux.HandleFunc("GET /summary", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(b.sum()) // who asked has gone, if this fails
	})
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: time.Minute}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
