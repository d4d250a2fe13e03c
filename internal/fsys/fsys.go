package fsys

import (
	"io"
	"os"
	"path/filepath"
)

// FS is a file system. Names are whole paths.
type FS interface {
	MkdirAll(dir string) error
	// Lock takes a file for this process alone until it is closed.
	Lock(name string) (io.Closer, error)
	// List gives the files of a folder and their sizes.
	List(dir string) (map[string]int64, error)
	// Open opens a file to read and write, and makes it if create is set.
	Open(name string, create bool) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in a folder as durable as what Sync wrote.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// Disk is the file system of the machine. What is made on it only its user may read.
func Disk() FS { return disk{} }

type disk struct{}

func (disk) MkdirAll(dir string) error           { return os.MkdirAll(dir, 0o700) }
func (disk) Rename(from, to string) error        { return os.Rename(from, to) }
func (disk) Remove(name string) error            { return os.Remove(name) }
func (disk) Lock(name string) (io.Closer, error) { return lock(name) }

func (disk) Open(name string, create bool) (File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Clean(name), flag, 0o600)
	if err != nil {
		return nil, err // a nil *os.File in a File would not be nil
	}
	return f, nil
}

func (disk) List(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]int64, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() { // one that has just gone is none of ours
			files[entry.Name()] = info.Size()
		}
	}
	return files, nil
}

func (disk) SyncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	err = syncDir(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
