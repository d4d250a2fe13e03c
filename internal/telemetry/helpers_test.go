package telemetry

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/target/targettest"
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
		lines = append(lines, targettest.ParseLines(text)...)
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
