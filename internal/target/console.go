package target

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Console is a writer that several targets share, such as standard error: what
// one writes is not torn by the others.
type Console struct {
	mu sync.Mutex // one write at a time
	w  io.Writer
}

// NewConsole makes a console.
func NewConsole(w io.Writer) *Console { return &Console{w: w} }

// Sink makes a sink that writes to the console, on a goroutine of its own.
func (c *Console) Sink() (Sink, error) {
	s := &consoleSink{console: c, lines: make(chan []byte), written: make(chan error, 1)}
	go s.run()
	return s, nil
}

// consoleLast is how long a write has that is under way when the target ends.
const consoleLast = time.Second

// errConsole is what a console fails with that nobody reads any more.
var errConsole = errors.New("the console takes nothing")

// consoleSink hands lines to a goroutine. Nothing cuts a write to a pipe that is
// full and that nobody reads, and a program has to end all the same: it leaves
// that goroutine behind, and that one alone.
type consoleSink struct {
	console *Console
	buf     []byte
	lines   chan []byte
	written chan error // of lines; closed when the goroutine has ended
	left    bool       // in the middle of a write
}

func (s *consoleSink) run() {
	defer close(s.written)
	for lines := range s.lines {
		s.written <- s.console.write(lines)
	}
}

func (c *Console) write(lines []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.w.Write(lines)
	return err
}

func (s *consoleSink) Send(ctx context.Context, b Batch) error {
	if s.left {
		return errConsole
	}
	s.buf = b.AppendLines(s.buf[:0])
	s.lines <- s.buf // it waits for them
	select {
	case err := <-s.written:
		return err
	case <-ctx.Done():
	}
	last := time.NewTimer(consoleLast)
	defer last.Stop()
	select {
	case err := <-s.written:
		return err
	case <-last.C:
		s.left = true
		return errConsole
	}
}

func (s *consoleSink) Close() error {
	close(s.lines)
	if s.left {
		return nil
	}
	for range s.written { // nothing comes, but its end
	}
	return nil
}

// AppendLines appends the items, each with a newline.
func (b Batch) AppendLines(to []byte) []byte {
	for _, item := range b.Items {
		to = append(append(to, item.Data...), '\n')
	}
	return to
}
