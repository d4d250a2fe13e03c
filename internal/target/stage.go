package target

import (
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/spool"
)

// entryCost is what an entry counts in a stage besides its bytes.
const entryCost = 32

// stage is the entries that calls have left and that intake has not taken yet.
// Whoever logs or is audited holds its lock for a copy of a few hundred bytes,
// never for I/O.
type stage struct {
	most int           // bytes
	wake chan struct{} // has room for one: that there is something to take

	// From so many entries or bytes on intake gathers no longer.
	enough, enoughBytes int

	mu      sync.Mutex // protects all below
	entries []staged
	data    []byte
	last    uint64  // id of the newest entry offered, taken or not
	missing uint64  // id of the newest one refused since the last one taken; 0: none
	refused uint64  // how many were since takeRefused
	reason  string  // why
	heir    *Target // set when the target has closed: who takes what comes late
	closed  bool
}

// staged is one entry; its bytes end in data at end.
type staged struct {
	id  uint64
	end int
	gap bool
}

func newStage(most, enough, enoughBytes int) stage {
	return stage{most: most, enough: enough, enoughBytes: enoughBytes, wake: make(chan struct{}, 1)}
}

// fitsLocked reports whether so many bytes may be added.
func (s *stage) fitsLocked(size int) bool {
	return len(s.data)+len(s.entries)*entryCost+size+entryCost <= s.most
}

// refuseLocked notes an entry that is not taken.
func (s *stage) refuseLocked(id uint64, reason string) {
	s.missing, s.reason = id, reason
	s.refused++
}

// markLocked puts a mark where entries are missing.
func (s *stage) markLocked() {
	if s.missing == 0 {
		return
	}
	s.data = append(s.data, s.reason...)
	s.entries = append(s.entries, staged{id: s.missing, end: len(s.data), gap: true})
	s.missing = 0
}

// wakeLocked tells intake that there is something. A full channel says so already.
func (s *stage) wakeLocked() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// addedLocked tells intake of an entry before which there were so many, if there
// was none or if they are enough now: to wake it for each would cost more than
// the entry.
func (s *stage) addedLocked(entries, bytes int) {
	if entries == 0 || entries < s.enough && len(s.entries) >= s.enough || bytes < s.enoughBytes && len(s.data) >= s.enoughBytes {
		s.wakeLocked()
	}
}

// take moves what is staged to into, whose memory it keeps for what comes next.
func (s *stage) take(into *taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markLocked() // whatever is missing now has room to be told of
	s.entries, into.staged = into.staged[:0], s.entries
	s.data, into.data = into.data[:0], s.data
}

// free lets go of the memory of a stage that has closed.
func (s *stage) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.data = nil, nil
}

// takeRefused gives how many entries were refused since it was asked last, and
// why the newest one was.
func (s *stage) takeRefused() (n uint64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, s.refused = s.refused, 0
	return n, s.reason
}

// size is how many bytes and entries are staged.
func (s *stage) size() (bytes, entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data), len(s.entries)
}

// taken is what intake has taken from the stage.
type taken struct {
	staged []staged
	data   []byte
	list   []spool.Entry
}

// all gives the entries; they are valid until the next take.
func (t *taken) all() []spool.Entry {
	t.list = t.list[:0]
	start, now := 0, time.Now()
	for _, e := range t.staged {
		t.list = append(t.list, spool.Entry{ID: e.id, Gap: e.gap, At: now, Data: t.data[start:e.end]})
		start = e.end
	}
	return t.list
}
