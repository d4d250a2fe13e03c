package logger

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// Limit logs what happens again and again: the first time, and then at most
// once in Every, with how often it happened since. With Every 0 it is logged
// once. Its methods may be called concurrently.
//
// A key names what happens and holds no changing part: no text of an error, no
// port, no count. The error may change as it likes; it is logged as it is then.
type Limit struct {
	Every time.Duration

	mu   sync.Mutex // protects all below
	seen map[string]*repeat
}

// repeat is what is known of one key.
type repeat struct {
	told time.Time
	left int // out since then
}

// mostKeys bounds the keys that are known, whatever their makers think.
const mostKeys = 1024

// Log logs for key if it is time to. The entry's source is the caller.
func (l *Limit) Log(ctx context.Context, to *slog.Logger, level slog.Level, key, message string, attrs ...slog.Attr) {
	if !to.Enabled(ctx, level) {
		return
	}
	now := time.Now()
	left, tell := l.count(key, now)
	if !tell {
		return
	}
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:])
	r := slog.NewRecord(now, level, message, pcs[0])
	r.AddAttrs(attrs...)
	if left > 0 {
		r.AddAttrs(slog.Int("left_out", left))
	}
	_ = to.Handler().Handle(ctx, r) // ours never fails
}

// Forget has the next entry for key be the first one again: what was wrong has
// ended.
func (l *Limit) Forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

func (l *Limit) count(key string, now time.Time) (left int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.seen[key]
	if known == nil {
		if l.seen == nil {
			l.seen = make(map[string]*repeat)
		}
		if len(l.seen) >= mostKeys {
			l.forgetOldest()
		}
		l.seen[key] = &repeat{told: now}
		return 0, true
	}
	if l.Every == 0 || now.Sub(known.told) < l.Every {
		known.left++
		return 0, false
	}
	left = known.left
	known.told, known.left = now, 0
	return left, true
}

func (l *Limit) forgetOldest() {
	oldest := ""
	for key, known := range l.seen {
		if oldest == "" || known.told.Before(l.seen[oldest].told) {
			oldest = key
		}
	}
	delete(l.seen, oldest)
}
