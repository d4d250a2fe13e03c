// Package logtest has a test look at what a program logs: nothing is printed,
// errors that the test expects are taken, and those that it does not expect
// fail it.
package logtest

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Entry is an entry that was logged.
type Entry struct {
	Time    time.Time
	Level   slog.Level
	Message string
	Attrs   map[string]slog.Value // keys of groups as "group.key"
}

// Log keeps what is logged. Its methods may be called concurrently.
type Log struct {
	t testing.TB

	mu      sync.Mutex // protects all below
	entries []Entry
	expect  []string
	changed chan struct{} // closed at the next entry; nil: nobody waits
}

// New makes a log for a test. An error that is logged and was not expected fails
// the test when it ends.
func New(t testing.TB) *Log {
	l := &Log{t: t}
	t.Cleanup(func() {
		for _, e := range l.Entries() {
			if e.Level >= slog.LevelError && !l.isExpected(e) {
				t.Errorf("logged, and not expected: %s %v", e.Message, e.Attrs)
			}
		}
	})
	return l
}

// Logger is a logger for the program under test.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l}) }

// Expect says that errors with these words in their message are part of the test.
func (l *Log) Expect(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expect = append(l.expect, words)
}

func (l *Log) isExpected(e Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.expect, func(words string) bool { return strings.Contains(e.Message, words) })
}

// Entries are those that were logged so far.
func (l *Log) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Wait waits until an entry has these words in its message, and gives the first
// one. The test's context bounds it.
func (l *Log) Wait(words string) Entry {
	l.t.Helper()
	for {
		l.mu.Lock()
		if i := slices.IndexFunc(l.entries, func(e Entry) bool { return strings.Contains(e.Message, words) }); i >= 0 {
			found := l.entries[i]
			l.mu.Unlock()
			return found
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-l.t.Context().Done():
			l.t.Fatalf("nothing was logged with %q in it", words)
		}
	}
}

type handler struct {
	log    *Log
	attrs  []slog.Attr // their keys with their groups
	prefix string
}

func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	e := Entry{Time: r.Time, Level: r.Level, Message: r.Message, Attrs: make(map[string]slog.Value)}
	for _, a := range h.attrs {
		e.Attrs[a.Key] = a.Value
	}
	for a := range r.Attrs {
		for _, flat := range flatten(h.prefix, a) {
			e.Attrs[flat.Key] = flat.Value
		}
	}
	l := h.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		next.attrs = append(next.attrs, flatten(h.prefix, a)...)
	}
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.prefix += name + "."
	return &next
}

// flatten takes groups apart.
func flatten(prefix string, a slog.Attr) []slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() != slog.KindGroup {
		return []slog.Attr{{Key: prefix + a.Key, Value: a.Value}}
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	var all []slog.Attr
	for _, member := range a.Value.Group() {
		all = append(all, flatten(prefix, member)...)
	}
	return all
}
