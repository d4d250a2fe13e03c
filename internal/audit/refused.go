package audit

import (
	"sync"
	"time"
)

// Refused handshakes that have a record of their own: so many at once, and then
// one each time that so long has passed. A rolling restart of a large mesh has
// some hundred; a stranger at the grid port, who needs no credentials for it,
// can have thousands a second, which would fill the queues of all targets, and
// with that lose the records of calls, or stop the calls of members.
const (
	refusedAtOnce = 100
	refusedEvery  = time.Second
)

// strangers bounds the records of handshakes that were refused: by this node, or
// by the other side, which may be a stranger's word as well.
type strangers struct {
	mu         sync.Mutex // protects all below
	begun      bool
	left       int       // that may have a record now
	at         time.Time // up to which left is reckoned
	unrecorded uint64    // refused since the last record that told of them
}

// enter reports whether one that was refused at now has a record of its own, and
// how many before it had none.
func (s *strangers) enter(now time.Time) (unrecorded uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun, s.left, s.at = true, refusedAtOnce, now
	}
	if passed := now.Sub(s.at).Truncate(refusedEvery); passed > 0 { // a clock that was set back brings nothing
		s.left = int(min(int64(s.left)+int64(passed/refusedEvery), refusedAtOnce))
		s.at = s.at.Add(passed)
	}
	if s.left == 0 {
		s.unrecorded++
		return 0, false
	}
	s.left--
	return s.takeLocked(), true
}

// take gives how many had no record and were not yet told of.
func (s *strangers) take() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked()
}

func (s *strangers) takeLocked() (unrecorded uint64) {
	unrecorded, s.unrecorded = s.unrecorded, 0
	return unrecorded
}
