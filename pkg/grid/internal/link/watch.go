package link

import (
	"sync"
	"time"
)

// idleTicks is how many looks at a link that runs no handlers end the watch over it.
const idleTicks = 16

// watch looks, every tick, at the readers of all links that run handlers, and
// takes the token from one that is in the same handler as a tick before. It
// is one timer for all links of a manager, and stops when no handler runs.
type watch struct {
	tick time.Duration

	mu     sync.Mutex // protects what follows
	links  []*Link
	armed  bool
	closed bool
	timer  *time.Timer
}

func newWatch(tick time.Duration) *watch {
	w := &watch{tick: tick}
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Stop()
	return w
}

// add starts to watch l.
func (w *watch) add(l *Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || l.watched.Swap(true) {
		return
	}
	l.idle = 0
	w.links = append(w.links, l)
	if !w.armed {
		w.armed = true
		w.timer.Reset(w.tick)
	}
}

// look is one tick.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	kept := w.links[:0]
	for _, l := range w.links {
		if w.keep(l) {
			kept = append(kept, l)
		}
	}
	clear(w.links[len(kept):])
	w.links = kept
	w.armed = len(kept) > 0
	if w.armed {
		w.timer.Reset(w.tick)
	}
}

// keep looks at one link and reports whether to go on watching it.
func (w *watch) keep(l *Link) bool {
	word := l.turn.word.Load()
	if word != l.seen {
		l.seen, l.idle = word, 0
		return true
	}
	if word&1 == 1 {
		l.steal()
		return true
	}
	if l.idle++; l.idle < idleTicks {
		return true
	}
	// The reader turns the word odd before it looks at watched: either it sees
	// false and adds the link again, or we see the word here.
	l.watched.Store(false)
	if l.turn.word.Load() == word {
		return false
	}
	return !l.watched.Swap(true)
}

func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	w.links = nil
	w.timer.Stop()
	w.mu.Unlock()
}
