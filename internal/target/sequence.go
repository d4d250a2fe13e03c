package target

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// A sequence's file: magic and version (8 bytes), run (8), last id (8), clean
// (1), length of the boot id (1), boot id.
const (
	sequenceMagic = "gridseq\x01"
	sequenceBytes = 4096
	lastOffset    = 16
	cleanOffset   = 24
	bootOffset    = 26
)

// Sequence gives ids: rising by one, through restarts if it has a file. The
// last one lies in memory that the kernel keeps when the process is killed, so
// a killed process has not forgotten which ids it gave. Last and Run may be
// called concurrently with all else; whoever calls Next or AtLeast has a lock.
type Sequence struct {
	last atomic.Uint64
	run  string
	lock io.Closer
	file *os.File // nil: none
	mark mark
}

// NewSequence makes a sequence that lives as long as the process.
func NewSequence() *Sequence { return &Sequence{run: newRun()} }

// OpenSequence goes on with the sequence in a folder, or begins it there.
func OpenSequence(dir string) (*Sequence, error) {
	fail := func(err error) (*Sequence, error) { return nil, fmt.Errorf("sequence in %s: %w", dir, err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := fsys.Disk().Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return fail(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "sequence"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(errors.Join(err, lock.Close()))
	}
	s := &Sequence{lock: lock, file: file}
	if err := s.open(bootID()); err != nil {
		return fail(errors.Join(err, file.Close(), lock.Close()))
	}
	return s, nil
}

func (s *Sequence) open(boot string) error {
	page := make([]byte, sequenceBytes)
	if _, err := s.file.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	known := string(page[:len(sequenceMagic)]) == sequenceMagic
	if !known {
		clear(page)
	}
	if known {
		s.last.Store(binary.LittleEndian.Uint64(page[lastOffset:]))
		s.run = fmt.Sprintf("%012x", binary.LittleEndian.Uint64(page[8:]))
	}
	clean := page[cleanOffset] == 1
	before := string(page[bootOffset:][:page[bootOffset-1]])
	if !known || !clean && before != boot {
		// The machine has stopped with ids given out that are not on its disk:
		// the number goes on from what is known, and the run tells twins apart.
		s.run = max(newRun(), fmt.Sprintf("%012x", binary.LittleEndian.Uint64(page[8:])+1))
	}
	run, _ := strconv.ParseUint(s.run, 16, 64) // as newRun has made it
	copy(page, sequenceMagic)
	binary.LittleEndian.PutUint64(page[8:], run)
	page[cleanOffset], page[bootOffset-1] = 0, byte(len(boot))
	copy(page[bootOffset:], boot)
	if _, err := s.file.WriteAt(page, 0); err != nil { // whole: it takes all its room now
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	return s.mark.open(s.file, lastOffset)
}

// newRun gives a run that no other sequence of this process has.
func newRun() string {
	for {
		before := lastRun.Load()
		run := max(time.Now().UnixMilli(), before+1)
		if lastRun.CompareAndSwap(before, run) {
			return fmt.Sprintf("%012x", run)
		}
	}
}

var lastRun atomic.Int64

// bootID tells one run of the machine from the next, where it is known.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(text[:min(len(text), 64)])
}

// Run tells ids of this sequence from those of another one that gave the same
// numbers: twelve hexadecimal digits that rise with time.
func (s *Sequence) Run() string { return s.run }

// Last is the last id given.
func (s *Sequence) Last() uint64 { return s.last.Load() }

// Next gives the next id.
func (s *Sequence) Next() uint64 {
	id := s.last.Load() + 1
	s.last.Store(id)
	s.mark.set(id)
	return id
}

// AtLeast has ids go on behind id, which is known to have been given.
func (s *Sequence) AtLeast(id uint64) {
	if id > s.last.Load() {
		s.last.Store(id)
		s.mark.set(id)
	}
}

// Close notes that all ids given are on disk.
func (s *Sequence) Close() error {
	if s.file == nil {
		return nil
	}
	s.mark.close()
	last := binary.LittleEndian.AppendUint64(nil, s.Last())
	_, err := s.file.WriteAt(append(last, 1), lastOffset)
	return errors.Join(err, s.file.Sync(), s.file.Close(), s.lock.Close())
}

// IDBytes is the length of an id in an entry.
const IDBytes = 12 + 1 + 16

// PutID writes id over the digits of one that has IDBytes bytes.
func PutID(b []byte, id uint64) {
	i := len(b) - 1
	for ; id > 0 && i >= len(b)-16; i-- {
		b[i] = byte('0' + id%10)
		id /= 10
	}
	for ; i >= len(b)-16; i-- {
		b[i] = '0'
	}
}

// appendID appends an id as it stands in entries: it sorts as text, within a
// node, in the order in which ids were given.
func appendID(b []byte, run string, id uint64) []byte {
	b = append(append(append(b, run...), '-'), "0000000000000000"...)
	PutID(b, id)
	return b
}

// FormatID gives an id as it stands in entries.
func FormatID(run string, id uint64) string { return string(appendID(nil, run, id)) }
