package file

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	stamp    = "20060102T150405.000Z" // sorts as time does
	gzSuffix = ".gz"
	making   = ".tmp"
)

// rotate moves the file aside and begins a new one.
func (s *Sink) rotate() error {
	name, err := s.oldName(time.Now().UTC())
	if err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(s.o.Path, name); err != nil {
		return err
	}
	_ = s.file.Close() // it was synced
	s.file = nil
	if err := s.open(); err != nil {
		return err
	}
	s.careForOld()
	return nil
}

// oldName gives a name that is not taken: audit.log becomes
// audit-20060102T150405.000Z.log.
func (s *Sink) oldName(now time.Time) (string, error) {
	for range 1000 {
		stem, ext := s.parts()
		name := stem + "-" + now.Format(stamp) + ext
		_, plain := os.Lstat(name)
		_, packed := os.Lstat(name + gzSuffix)
		if errors.Is(plain, os.ErrNotExist) && errors.Is(packed, os.ErrNotExist) {
			return name, nil
		}
		now = now.Add(time.Millisecond)
	}
	return "", fmt.Errorf("no name is free for the old file of %s", s.o.Path)
}

func (s *Sink) parts() (stem, ext string) {
	ext = filepath.Ext(s.o.Path)
	return strings.TrimSuffix(s.o.Path, ext), ext
}

// oldFiles lists the old files, the newest first.
func (s *Sink) oldFiles() []string {
	entries, err := os.ReadDir(filepath.Dir(s.o.Path))
	if err != nil {
		return nil // seen when the file itself is used
	}
	stem, ext := s.parts()
	prefix := filepath.Base(stem) + "-"
	var names []string
	for _, entry := range entries {
		middle, ours := strings.CutPrefix(entry.Name(), prefix)
		middle = strings.TrimSuffix(strings.TrimSuffix(middle, making), gzSuffix)
		middle, plain := strings.CutSuffix(middle, ext)
		if _, err := time.Parse(stamp, middle); ours && plain && err == nil {
			names = append(names, filepath.Join(filepath.Dir(s.o.Path), entry.Name()))
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names
}

// lastOfOld gives the id of the last entry in the newest old file, for a crash
// between a rotation and the first entry of the new file.
func (s *Sink) lastOfOld() lastEntry {
	for _, name := range s.oldFiles() {
		if strings.HasSuffix(name, making) {
			continue
		}
		tail, err := tailOf(name)
		if err == nil {
			return lastID(tail)
		}
	}
	return lastEntry{}
}

// tailOf gives the end of an old file.
func tailOf(name string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	if !strings.HasSuffix(name, gzSuffix) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return readTail(f, info.Size())
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var tail []byte
	piece := make([]byte, 64<<10)
	for {
		n, err := zip.Read(piece)
		tail = append(tail, piece[:n]...)
		if len(tail) > 2*tailBytes {
			tail = append(tail[:0], tail[len(tail)-tailBytes:]...)
		}
		if errors.Is(err, io.EOF) {
			return tail, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// careForOld compresses and removes old files, aside: entries do not wait for it.
func (s *Sink) careForOld() {
	s.old.Go(func() {
		s.oldLock.Lock()
		defer s.oldLock.Unlock()
		kept := 0
		for _, name := range s.oldFiles() {
			switch {
			case strings.HasSuffix(name, making):
				_ = os.Remove(name) // a crash left it
				continue
			case kept >= s.o.Keep:
				_ = os.Remove(name) // tried again at the next rotation
				continue
			case s.o.Compress && !strings.HasSuffix(name, gzSuffix):
				_ = pack(name) // it stays as it is, and is tried again
			}
			kept++
		}
	})
}

// pack compresses a file. At any time one of the two is whole.
func pack(name string) (err error) {
	in, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	temporary := name + gzSuffix + making
	out, err := os.OpenFile(filepath.Clean(temporary), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(out)
	_, err = io.Copy(zip, bufio.NewReaderSize(in, 256<<10))
	if err = errors.Join(err, zip.Close(), out.Sync(), out.Close()); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	if err := os.Rename(temporary, name+gzSuffix); err != nil {
		return err
	}
	return os.Remove(name)
}
