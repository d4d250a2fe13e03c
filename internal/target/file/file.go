package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
)

// Options say where the file is and how long it may become.
type Options struct {
	Path string

	MaxBytes int64         // a file is rotated before it becomes longer. Default 100 MiB
	MaxAge   time.Duration // or when its first entry is so old. Default 24 h
	Keep     int           // how many old files are kept. Default 7
	Compress bool          // old files, with gzip
	Sync     bool          // each batch is on disk when Send returns
	Text     bool          // lines are for people: none is known by how it begins
}

const (
	defaultBytes = 100 << 20
	defaultAge   = 24 * time.Hour
	defaultKeep  = 7

	lookEvery = time.Second // whether the file is still where it was
	tailBytes = 1<<20 + 64<<10
)

// Sink is an open file.
type Sink struct {
	o    Options
	last lastEntry // that was in the file when it was opened

	file   *os.File // nil after a rotation that failed half-way
	size   int64
	born   time.Time // when the first entry of the file was made
	looked time.Time
	buf    []byte

	old     sync.WaitGroup // the goroutine that takes care of old files
	oldLock sync.Mutex     // one at a time
}

// Open opens the file, and makes it and its folder if need be.
func Open(o Options) (*Sink, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = defaultAge
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o750); err != nil {
		return nil, err
	}
	s := &Sink{o: o}
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.last.id == 0 {
		s.last = s.lastOfOld()
	}
	s.careForOld()
	return s, nil
}

// lastEntry is the id of one.
type lastEntry struct {
	run string
	id  uint64
}

// Last gives the id of the last entry that an earlier process, or target, has
// written, and its run; 0 if none is known.
func (s *Sink) Last() (run string, id uint64) { return s.last.run, s.last.id }

// open opens the file to append to it.
func (s *Sink) open() error {
	file, err := os.OpenFile(s.o.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", s.o.Path)
	}
	if err == nil {
		s.file, s.size, s.born = file, info.Size(), time.Time{}
		err = s.readTail()
	}
	if err == nil {
		err = s.readHead()
	}
	if err != nil {
		s.file = nil
		return errors.Join(err, file.Close())
	}
	return nil
}

// readTail finds the last entry. What a crash has left behind it is cut off, or
// in a text made a line.
func (s *Sink) readTail() error {
	tail, err := readTail(s.file, s.size)
	if err != nil {
		return err
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	torn := tail[end:]
	switch {
	case len(torn) == 0:
	case s.o.Text: // it may be whose it may, and is something to read
		if _, err := s.file.WriteAt([]byte("\n"), s.size); err != nil {
			return err
		}
		s.size++
	default:
		if !bytes.HasPrefix(torn, []byte(idKey[:min(len(torn), len(idKey))])) {
			return fmt.Errorf("%s ends in the middle of a line that is not ours; is it another program's file?", s.o.Path)
		}
		s.size -= int64(len(torn))
		if err := s.file.Truncate(s.size); err != nil {
			return err
		}
	}
	if last := lastID(tail[:end]); last.id > 0 {
		s.last = last
	}
	return nil
}

// readHead finds out when the file was begun.
func (s *Sink) readHead() error {
	if s.size == 0 {
		return nil
	}
	head := make([]byte, 512)
	n, err := s.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if s.born = target.TimeOf(head[:n]); s.born.IsZero() {
		s.born = time.Now()
	}
	return nil
}

func readTail(r io.ReaderAt, size int64) ([]byte, error) {
	tail := make([]byte, min(size, tailBytes))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return tail, nil
}

// idKey begins an entry.
const idKey = `{"id":"`

// lastID gives the id of the last line.
func lastID(lines []byte) lastEntry {
	lines = bytes.TrimSuffix(lines, []byte("\n"))
	line := lines[bytes.LastIndexByte(lines, '\n')+1:]
	rest, ours := bytes.CutPrefix(line, []byte(idKey))
	if !ours {
		return lastEntry{}
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	run, digits, _ := bytes.Cut(text, []byte("-"))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return lastEntry{}
	}
	return lastEntry{run: string(run), id: id}
}

// Send writes a batch: whole, or nothing of it.
func (s *Sink) Send(_ context.Context, b target.Batch) error {
	s.buf = b.AppendLines(s.buf[:0])
	if err := s.ready(int64(len(s.buf))); err != nil {
		return err
	}
	if s.size == 0 {
		if s.born = target.TimeOf(b.Items[0].Data); s.born.IsZero() {
			s.born = time.Now()
		}
	}
	_, err := s.file.WriteAt(s.buf, s.size)
	if err == nil && s.o.Sync {
		err = s.file.Sync()
	}
	if err != nil {
		if cut := s.file.Truncate(s.size); cut != nil {
			// Begin again from what is there: no line may be torn in the middle of the file.
			err = errors.Join(err, cut, s.file.Close())
			s.file = nil
		}
		return err
	}
	s.size += int64(len(s.buf))
	return nil
}

// ready has the file open, and room in it.
func (s *Sink) ready(need int64) error {
	if now := time.Now(); s.file != nil && now.Sub(s.looked) >= lookEvery {
		s.looked = now
		if !s.inPlace() {
			_ = s.file.Close() // whoever took it has what is in it
			s.file = nil
		}
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.size > 0 && (s.size+need > s.o.MaxBytes || time.Since(s.born) >= s.o.MaxAge) {
		return s.rotate()
	}
	return nil
}

// inPlace reports whether the open file is the one under its name.
func (s *Sink) inPlace() bool {
	there, err := os.Stat(s.o.Path)
	if err != nil {
		return false
	}
	ours, err := s.file.Stat()
	return err == nil && os.SameFile(there, ours) && ours.Size() == s.size
}

// Close closes the file and waits until old ones are cared for.
func (s *Sink) Close() error {
	s.old.Wait()
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Sync(), s.file.Close())
}
