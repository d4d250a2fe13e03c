package envtestkit

import (
	"bytes"
	"sync"
	"testing"
)

// ears are all that listen to what libraries log: a library keeps its logger for
// the whole process, so that a test cannot set one of its own.
var ears listeners

type listeners struct {
	mu  sync.Mutex // protects all
	all map[*Log]struct{}
}

func (l *listeners) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for log := range l.all {
		_, _ = log.Write(p) // never fails
	}
	return len(p), nil
}

func (l *listeners) set(log *Log, listens bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*Log]struct{})
	}
	if delete(l.all, log); listens {
		l.all[log] = struct{}{}
	}
}

// Listen returns a log that gets what libraries say until the test ends: their
// errors, with -v all. The test may have others write into it, too.
func Listen(tb testing.TB) *Log {
	tb.Helper()
	log := new(Log)
	ears.set(log, true)
	tb.Cleanup(func() { ears.set(log, false) })
	return log
}

// Log is lines of text. It may be written and read concurrently.
type Log struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

// Write appends p. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
