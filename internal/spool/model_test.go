package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gridmesh/gridmesh/internal/fsys/crashfs"
)

// model is what a spool must do, in its simplest form.
type model struct {
	next     uint64          // id of the next entry
	again    []Entry         // were refused, and come again
	tried    map[uint64]bool // given to Append, whatever it said
	accepted []uint64        // Append took them, and they were not acknowledged
	unsure   map[uint64]bool // of these, what a failed sync may have lost to a machine without power
	safe     uint64          // up to this id even a machine without power keeps them
	acked    uint64          // nothing up to here may come again
	mayAcked uint64          // up to here an Ack may or may not have taken place
}

func payload(id uint64) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("entry %d;", id)), 1+int(id*7919%23))
}

// TestModel makes a million steps at random, among them failures of single
// operations, full disks, ends of the process and losses of power at any
// operation, and compares the spool with the model all the time (faults.md 79,
// 80, 81).
func TestModel(t *testing.T) {
	steps := 1_000_000
	if testing.Short() {
		steps = 50_000
	}
	r := rand.New(rand.NewPCG(7, 7))
	for round := uint64(0); steps > 0; round++ {
		fs := crashfs.New(round)
		m := &model{next: 1, tried: make(map[uint64]bool), unsure: make(map[uint64]bool)}
		for life := range 1 + r.IntN(12) {
			fs.Fails = []float64{0, 0, 0.02, 0.3}[r.IntN(4)]
			fs.Room = []int64{0, 0, 40 << 10}[r.IntN(3)]
			if r.IntN(4) > 0 {
				fs.CrashAt = 1 + r.IntN(300)
			}
			n := min(20+r.IntN(400), steps)
			steps -= n
			if err := m.live(fs, r, n); err != nil {
				t.Fatalf("round %d, life %d: %v", round, life, err)
			}
			powerLost := r.IntN(2) == 0
			fs.Restart(powerLost)
			if !powerLost {
				continue
			}
			m.accepted = slices.DeleteFunc(m.accepted, func(id uint64) bool { return id > m.safe || m.unsure[id] })
		}
		fs.Fails, fs.Room = 0, 0
		if err := m.drain(fs); err != nil {
			t.Fatalf("round %d, drained: %v", round, err)
		}
	}
}

// live is one life of a process: it opens the spool and uses it until it ends.
func (m *model) live(fs *crashfs.FS, r *rand.Rand, steps int) error {
	q, err := Open(Options{Dir: "q", FS: fs, MaxBytes: 64 << 10, Damaged: func(string, int64, string) {}})
	if fs.Fails > 0 {
		m.syncFailed() // perhaps
	}
	if err != nil {
		if _, crashed := fs.Steps(); crashed || fs.Fails > 0 || fs.Room > 0 {
			return nil
		}
		return fmt.Errorf("open: %w", err)
	}
	if err := m.opened(q); err != nil {
		return err
	}
	var b Batch
	held, reading := false, m.acked
	for range steps {
		if _, crashed := fs.Steps(); crashed {
			return nil
		}
		switch r.IntN(6) {
		case 0, 1, 2:
			m.append(q, r)
		case 3:
			if q.Sync() == nil {
				m.safe = q.Stats().Last
			} else {
				m.syncFailed()
			}
		case 4:
			if held {
				continue
			}
			if err := q.Next(&b, 1+r.IntN(20), 1+r.IntN(4096)); err != nil && fs.Fails == 0 && !errors.Is(err, crashfs.ErrCrashed) {
				return fmt.Errorf("next: %w", err)
			}
			_, crashed := fs.Steps()
			if crashed {
				return nil
			}
			if reading, err = m.check(b.Entries, reading); err != nil {
				return err
			}
			held = len(b.Entries) > 0
		case 5:
			if held && m.ack(q, &b) {
				held = false
			}
		}
	}
	if r.IntN(2) == 0 {
		return nil // killed
	}
	if q.Close() == nil {
		m.safe = q.last
	} else {
		m.syncFailed()
	}
	return nil
}

// opened compares what a spool says of itself with what is known.
func (m *model) opened(q *Queue) error {
	s := q.Stats()
	if s.Told != m.acked && s.Told != m.mayAcked {
		return fmt.Errorf("told %d, want %d or %d", s.Told, m.acked, m.mayAcked)
	}
	m.acked = s.Told
	m.forget()
	if n := len(m.accepted); n > 0 && s.Last < m.accepted[n-1] {
		return fmt.Errorf("last is %d, entry %d was accepted", s.Last, m.accepted[n-1])
	}
	m.next, m.again = max(m.next, s.Last+1), nil
	return nil
}

func (m *model) forget() {
	m.mayAcked = m.acked
	for len(m.accepted) > 0 && m.accepted[0] <= m.acked {
		m.accepted = m.accepted[1:]
	}
}

func (m *model) append(q *Queue, r *rand.Rand) {
	entries := m.again
	for range r.IntN(8) + 1 {
		m.next += uint64(r.IntN(10) / 9) // some are missing
		entries = append(entries, Entry{ID: m.next, Data: payload(m.next), Gap: m.next%17 == 0})
		m.tried[m.next] = true
		m.next++
	}
	sync := r.IntN(2) == 0
	if err := q.Append(entries, sync); err != nil {
		m.syncFailed() // perhaps
		if m.again = nil; r.IntN(2) == 0 {
			m.again = entries
		}
		return
	}
	m.again = nil
	for _, e := range entries {
		m.accepted = append(m.accepted, e.ID)
	}
	if sync {
		m.safe = m.next - 1
	}
}

func (m *model) syncFailed() {
	for _, id := range m.accepted {
		if id > m.safe {
			m.unsure[id] = true
		}
	}
}

func (m *model) ack(q *Queue, b *Batch) bool {
	last := b.Entries[len(b.Entries)-1].ID
	m.mayAcked = last
	err := q.Ack(b, last)
	if q.Stats().Told == last { // what failed then is the removal of a file
		m.acked = last
		m.forget()
		return true
	}
	return err == nil
}

// check looks at entries that came out behind the id reading: none of those
// accepted is left out, none is changed, and none comes twice.
func (m *model) check(entries []Entry, reading uint64) (uint64, error) {
	for _, e := range entries {
		switch {
		case e.ID <= reading:
			return 0, fmt.Errorf("entry %d after %d", e.ID, reading)
		case !m.tried[e.ID]:
			return 0, fmt.Errorf("entry %d was never put in", e.ID)
		case !bytes.Equal(e.Data, payload(e.ID)) || e.Gap != (e.ID%17 == 0) || e.At.IsZero():
			return 0, fmt.Errorf("entry %d is not what was put in: %.80q", e.ID, e.Data)
		}
		for _, id := range m.accepted {
			if id > reading && id < e.ID {
				return 0, fmt.Errorf("entry %d after %d: %d is lost", e.ID, reading, id)
			}
			if id >= e.ID {
				break
			}
		}
		reading = e.ID
	}
	return reading, nil
}

// drain takes everything out at last.
func (m *model) drain(fs *crashfs.FS) error {
	q, err := Open(Options{Dir: "q", FS: fs, MaxBytes: 64 << 10, Damaged: func(string, int64, string) {}})
	if err != nil {
		return err
	}
	if err := m.opened(q); err != nil {
		return err
	}
	reading := m.acked
	for {
		var b Batch
		if err := q.Next(&b, 50, 1<<20); err != nil {
			return err
		}
		if reading, err = m.check(b.Entries, reading); err != nil {
			return err
		}
		if err := q.Ack(&b, reading); err != nil {
			return err
		}
		if len(b.Entries) == 0 {
			break
		}
	}
	if n := len(m.accepted); n > 0 && m.accepted[n-1] > reading {
		return fmt.Errorf("the last entry that came out is %d, entry %d is lost", reading, m.accepted[n-1])
	}
	if s := q.Stats(); s.Bytes != 0 {
		return fmt.Errorf("%d bytes wait in an empty spool", s.Bytes)
	}
	return q.Close()
}
