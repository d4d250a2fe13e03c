package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// console keeps what was printed.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// openSystem opens a system whose console is kept. It is closed at the latest
// when the test ends.
func openSystem(t *testing.T, o Options) (*System, *console) {
	t.Helper()
	c := &console{}
	if o.Console == nil {
		o.Console = c
	}
	if o.Node == "" {
		o.Node = "node-0:7700"
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel() // nobody looks any more
		if err := s.Close(ended); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

// closeSystem waits until all is delivered.
func closeSystem(t *testing.T, s *System) {
	t.Helper()
	ctx, cancel := timeout(time.Minute) // for what hangs
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// apply applies a configuration that is right.
func apply(t *testing.T, s *System, text string) {
	t.Helper()
	c, err := Parse([]byte(text))
	if err == nil {
		err = s.Apply(c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// receiver is a webhook that keeps what it gets.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	status  int // that it answers; 0: 200
	lines   []map[string]any
	batches map[string]int // by key, how often it came
	changed chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{batches: make(map[string]int)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || r.status != 0 {
		w.WriteHeader(max(r.status, http.StatusBadRequest))
		return
	}
	key := q.Header.Get("Idempotency-Key")
	r.batches[key]++
	if r.batches[key] == 1 {
		r.lines = append(r.lines, parseLines(body)...)
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// got gives what has come. What a target gave up may come later.
func (r *receiver) got() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// wait waits until enough holds of what has come.
func (r *receiver) wait(t *testing.T, enough func([]map[string]any) bool) []map[string]any {
	t.Helper()
	for {
		r.mu.Lock()
		if lines := r.lines; enough(lines) {
			r.mu.Unlock()
			return lines
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("it has not come")
		}
	}
}

func parseLines(text []byte) (lines []map[string]any) {
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, 1<<21)
	for in.Scan() {
		var line map[string]any
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			line = map[string]any{"msg": "torn: " + in.Text()}
		}
		lines = append(lines, line)
	}
	return lines
}

// readLines reads a file, and those that were rotated before it.
func readLines(t *testing.T, path string) (lines []map[string]any) {
	t.Helper()
	ext := filepath.Ext(path)
	old, err := filepath.Glob(strings.TrimSuffix(path, ext) + "-*" + ext)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(old, path) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, parseLines(text)...)
	}
	return lines
}

func messages(lines []map[string]any) (all []string) {
	for _, l := range lines {
		if msg, ok := l["msg"].(string); ok {
			all = append(all, msg)
		}
	}
	return all
}

func events(lines []map[string]any) (all []string) {
	for _, l := range lines {
		if event, ok := l["event"].(string); ok {
			all = append(all, event)
		}
	}
	return all
}

// info has the system say something.
func info(s *System, words string) { s.Log().Logger().Info(words) } //nolint:sloglint // tests tell entries apart by it

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
