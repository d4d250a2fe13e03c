package logger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gridmesh/gridmesh/internal/entry"
	"github.com/gridmesh/gridmesh/internal/target"
)

// Options say how a program logs before it knows of any targets.
type Options struct {
	Console *target.Console // where the console is
	Text    bool            // for people; else JSON
	Color   bool            // in text
	Level   slog.Level      // what is logged, by all targets that have no level of their own

	// Quiet leaves the console to what targets tell of their own failures: the
	// program has another place for the rest.
	Quiet bool
}

// Output is a target with what it gets.
type Output struct {
	Target *target.Target
	Level  *slog.Level // nil: that of the Log
	Text   bool        // a line for people instead of JSON
	Color  bool        // in it
}

// Log is where a program's entries go. Its methods may be called concurrently.
type Log struct {
	set     atomic.Pointer[[]*Output] // immutable; the console first
	least   atomic.Int64              // the lowest level that anybody wants
	level   atomic.Int64              // of outputs without one
	ring    *Ring
	console *Output
	report  *slog.Logger

	swaps sync.Mutex // one change of set or level at a time
}

// New makes a log that writes to the console. Close it.
func New(o Options) *Log {
	l := &Log{ring: NewRing()}
	l.level.Store(int64(o.Level))
	l.console = &Output{
		Text: o.Text, Color: o.Color,
		Target: target.New(target.Options{
			Name: "console", Kind: "console", Sink: o.Console.Sink, Lossy: true, BatchAge: -1,
			Sequence: target.NewSequence(),
			Gap:      Gap(o.Text, o.Color),
			// What fails here can be told nowhere: it is counted.
			Report: slog.New(slog.DiscardHandler),
		}),
	}
	l.console.Target.Start(nil)
	only := &Log{ring: nil}
	failures := *l.console
	only.set.Store(&[]*Output{&failures})
	if o.Quiet {
		only.level.Store(int64(DefaultLevel()))
		never := slog.Level(math.MaxInt)
		l.console.Level = &never
	}
	l.report = slog.New(only.Handler())
	l.set.Store(&[]*Output{l.console})
	l.settle()
	return l
}

// Console is a logger that writes to the console and to nothing else: where
// targets tell of their failures.
func (l *Log) Console() *slog.Logger { return l.report }

// Logger is a logger over all targets.
func (l *Log) Logger() *slog.Logger { return slog.New(l.Handler()) }

// Ring holds the newest entries.
func (l *Log) Ring() *Ring { return l.ring }

// Outputs gives the set as it is now, the console first. It can be used without
// a lock, and must not be changed.
func (l *Log) Outputs() []*Output { return *l.set.Load() }

// SetLevel changes what is logged by targets that have no level of their own.
func (l *Log) SetLevel(level slog.Level) {
	l.swaps.Lock()
	defer l.swaps.Unlock()
	l.level.Store(int64(level))
	l.settle()
}

// Level is what is logged by targets that have no level of their own.
func (l *Log) Level() slog.Level { return slog.Level(l.level.Load()) }

// settle finds the lowest level that anybody wants, the ring included.
func (l *Log) settle() {
	least := int64(math.MaxInt64)
	if l.ring != nil {
		least = l.level.Load()
	}
	for _, o := range *l.set.Load() {
		least = min(least, l.levelOf(o))
	}
	l.least.Store(least)
}

func (l *Log) levelOf(o *Output) int64 {
	if o.Level != nil {
		return int64(*o.Level)
	}
	return l.level.Load()
}

// Swap puts others in the place of all outputs but the console, which go on
// where those of the same name end: what those have not delivered is theirs.
// Outputs that are in both sets go on as they are. It gives those that are left
// over, which deliver what they hold until they are closed. New targets must not
// have been started.
func (l *Log) Swap(others []*Output) (left []*target.Target) {
	l.swaps.Lock()
	defer l.swaps.Unlock()
	old := (*l.set.Load())[1:]
	next := append([]*Output{l.console}, others...)
	stays := func(o *Output) bool {
		return slices.ContainsFunc(old, func(p *Output) bool { return p.Target == o.Target })
	}
	before := make(map[*target.Target]*target.Target)
	for _, o := range others {
		if stays(o) {
			continue
		}
		for _, p := range old {
			if p.Target.Name() == o.Target.Name() {
				p.Target.Retire(o.Target)
				before[o.Target] = p.Target
			}
		}
	}
	l.set.Store(&next)
	l.settle()
	for _, o := range others {
		if !stays(o) {
			o.Target.Start(before[o.Target])
		}
	}
	for _, p := range old {
		kept := slices.ContainsFunc(others, func(o *Output) bool { return o.Target == p.Target || o.Target.Name() == p.Target.Name() })
		if !kept {
			p.Target.Retire(nil)
			left = append(left, p.Target)
		}
	}
	return left
}

// Close delivers what all targets hold, until ctx ends. Entries logged from now
// on go nowhere.
func (l *Log) Close(ctx context.Context) {
	l.swaps.Lock()
	defer l.swaps.Unlock()
	all := *l.set.Load()
	var group sync.WaitGroup
	for _, o := range all[1:] {
		group.Go(func() { o.Target.Close(ctx) })
	}
	group.Wait()
	all[0].Target.Close(ctx) // last: the others may have told it something
}

// Gap makes the entry that says that others are missing.
func Gap(text, color bool) func(target.Missing) []byte {
	return func(m target.Missing) []byte {
		e := newEncoder()
		defer e.free()
		count := m.Last - m.First + 1
		if text {
			e.text(gapTime(), slog.LevelWarn, "entries are missing here", color)
			e.buf = fmt.Appendf(e.buf, " count=%d reason=%q", count, m.Reason)
		} else {
			e.json(gapTime(), slog.LevelWarn, "entries are missing here")
			e.buf = fmt.Appendf(e.buf, `,"count":%d,"first_id":"%s","last_id":"%s","reason":`, count, m.FirstID, m.LastID)
			e.buf = append(entry.AppendString(e.buf, m.Reason), '}')
		}
		return slices.Clone(e.buf)
	}
}

// IsTerminal reports whether a writer is a terminal.
func IsTerminal(w io.Writer) bool { return isTerminal(w) }
