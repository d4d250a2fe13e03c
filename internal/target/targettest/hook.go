package targettest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Hook is a webhook that keeps the entries of each batch, once. Its zero value is
// an http.Handler that works.
type Hook struct {
	URL string

	mu      sync.Mutex // protects all below
	status  int        // that it answers; 0: 200
	lines   []map[string]any
	keys    map[string]int // how often each batch has come
	changed chan struct{}  // closed when something comes; nil: nobody waits
}

// NewHook starts one, which ends with the test.
func NewHook(t *testing.T) *Hook {
	t.Helper()
	h := &Hook{}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.URL = s.URL
	return h
}

// ServeHTTP takes a batch.
func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || h.status != 0 {
		w.WriteHeader(max(h.status, http.StatusBadRequest))
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if h.keys == nil {
		h.keys = make(map[string]int)
	}
	if h.keys[key]++; h.keys[key] > 1 {
		return
	}
	h.lines = append(h.lines, ParseLines(body)...)
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Answer has it take nothing, and answer with a status; 0: it takes all again.
func (h *Hook) Answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

// Lines gives what has come.
func (h *Hook) Lines() []map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

// Twice is how often a batch came that had come before.
func (h *Hook) Twice() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.keys {
		n += times - 1
	}
	return n
}

// All gives the lines whose key has this value.
func (h *Hook) All(key string, value any) []map[string]any { return With(h.Lines(), key, value) }

// Wait waits until enough holds of what has come.
func (h *Hook) Wait(t *testing.T, enough func([]map[string]any) bool) []map[string]any {
	t.Helper()
	for {
		h.mu.Lock()
		lines := slices.Clone(h.lines)
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		if enough(lines) {
			return lines
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("it has not come")
		}
	}
}

// With gives those of some lines whose key has this value.
func With(lines []map[string]any, key string, value any) (found []map[string]any) {
	for _, l := range lines {
		if l[key] == value {
			found = append(found, l)
		}
	}
	return found
}

// ParseLines reads entries, one a line. One that is torn has a msg that says so.
func ParseLines(text []byte) (lines []map[string]any) {
	for line := range strings.Lines(string(text)) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			l = map[string]any{"msg": "torn: " + line}
		}
		lines = append(lines, l)
	}
	return lines
}
