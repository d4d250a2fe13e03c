package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// writeTimes remembers when each Grid's status was written last. Its methods
// may be called concurrently.
type writeTimes struct {
	mu    sync.Mutex // protects all below
	last  map[types.NamespacedName]time.Time
	start time.Time
}

// begun is when this process began to write: the first time that it was asked.
func (w *writeTimes) begun() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.start.IsZero() {
		w.start = time.Now()
	}
	return w.start
}

func (w *writeTimes) of(grid types.NamespacedName) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[grid]
}

func (w *writeTimes) set(grid types.NamespacedName, t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = make(map[types.NamespacedName]time.Time)
	}
	w.last[grid] = t
}

func (w *writeTimes) forget(grid types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, grid)
}
