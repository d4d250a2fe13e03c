package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// ErrCrashed is what every step gives after the one at which the process ended.
var ErrCrashed = errors.New("crashed")

// FS is the file system. Its fields may be set while no step is made. Steps may be
// made concurrently.
type FS struct {
	CrashAt int     // the step, from 1, at which the process ends; 0: none
	Fails   float64 // the share of the steps that fail
	Room    int64   // bytes of all files together; 0: no bound

	rand *rand.Rand

	mu      sync.Mutex // protects all below
	steps   int
	crashed bool
	life    int              // handles of an earlier one are dead
	names   map[string]*file // as a process sees them
	durable map[string]*file // as they are on the disk
	locked  map[string]bool
	undo    []func() // names that SyncDir has not made durable, as they come to the disk
}

// file is what a name leads to.
type file struct {
	data    []byte // as a process sees it
	durable []byte
	pending []write // since the last sync
}

type write struct {
	offset int64
	data   []byte // nil: cut at offset
}

// New makes an empty file system whose faults follow from the seed.
func New(seed uint64) *FS {
	return &FS{
		rand: rand.New(rand.NewPCG(seed, 1)), names: make(map[string]*file),
		durable: make(map[string]*file), locked: make(map[string]bool),
	}
}

// Steps tells how many steps were made, and whether the process has ended.
func (f *FS) Steps() (int, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps, f.crashed
}

// CrashIn ends the process at the step that comes after so many.
func (f *FS) CrashIn(steps int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.CrashAt = f.steps + steps
}

// Crash ends the process now.
func (f *FS) Crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
}

// Restart begins another life: locks are free, open files are closed. Without
// power, only what was synced is there for sure, and of the rest some.
func (f *FS) Restart(powerLost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed, f.CrashAt, f.steps = false, 0, 0
	f.life++
	clear(f.locked)
	if !powerLost {
		return
	}
	for _, change := range f.undo[:f.rand.IntN(len(f.undo)+1)] {
		change()
	}
	f.undo, f.names = nil, maps.Clone(f.durable)
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		x := f.names[name]
		kept := f.rand.IntN(len(x.pending) + 1)
		data := append([]byte(nil), x.durable...)
		for i, w := range x.pending {
			if i == kept && w.data != nil && f.rand.IntN(2) == 0 {
				w.data = w.data[:f.rand.IntN(len(w.data)+1)]
				kept++ // this one is torn
			}
			if i >= kept {
				break
			}
			data = w.apply(data)
		}
		x.data, x.durable, x.pending = data, append([]byte(nil), data...), nil
	}
}

func (w write) apply(data []byte) []byte {
	if w.data == nil {
		return data[:min(w.offset, int64(len(data)))]
	}
	end := w.offset + int64(len(w.data))
	for int64(len(data)) < end {
		data = append(data, 0)
	}
	copy(data[w.offset:], w.data)
	return data
}

// Data gives what a file holds; what is changed in it is changed.
func (f *FS) Data(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.names[name]; x != nil {
		return x.data
	}
	return nil
}

// stepLocked is one step of the process: it may be its last, or fail.
func (f *FS) stepLocked() error {
	if f.crashed {
		return ErrCrashed
	}
	f.steps++
	if f.steps == f.CrashAt {
		f.crashed = true
		return ErrCrashed
	}
	if f.Fails > 0 && f.rand.Float64() < f.Fails {
		return syscall.EIO
	}
	return nil
}

// MkdirAll makes nothing: there are no folders, only names.
func (f *FS) MkdirAll(string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stepLocked()
}

type lock struct {
	f    *FS
	name string
	life int
}

func (l lock) Close() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	if l.life == l.f.life {
		delete(l.f.locked, l.name)
	}
	return nil
}

// Lock takes a lock that the next Restart frees.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stepLocked(); err != nil {
		return nil, err
	}
	if f.locked[name] {
		return nil, syscall.EWOULDBLOCK
	}
	f.locked[name] = true
	return lock{f, name, f.life}, nil
}

// List gives the files whose names are in dir.
func (f *FS) List(dir string) (map[string]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	files := make(map[string]int64)
	for name, x := range f.names {
		if filepath.Dir(name) == dir {
			files[filepath.Base(name)] = int64(len(x.data))
		}
	}
	return files, nil
}

// Open opens a file for this life.
func (f *FS) Open(name string, create bool) (fsys.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	x := f.names[name]
	if x == nil {
		if !create {
			return nil, fs.ErrNotExist
		}
		if err := f.stepLocked(); err != nil {
			return nil, err
		}
		x = &file{}
		f.names[name] = x
		f.undo = append(f.undo, func() { f.durable[name] = x })
	}
	return &handle{f, x, f.life}, nil
}

// Rename renames a file; SyncDir makes it last.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stepLocked(); err != nil {
		return err
	}
	x := f.names[from]
	if x == nil {
		return fs.ErrNotExist
	}
	delete(f.names, from)
	f.names[to] = x
	f.undo = append(f.undo, func() {
		delete(f.durable, from)
		f.durable[to] = x
	})
	return nil
}

// Remove removes a name; SyncDir makes it last.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stepLocked(); err != nil {
		return err
	}
	if f.names[name] == nil {
		return fs.ErrNotExist
	}
	delete(f.names, name)
	f.undo = append(f.undo, func() { delete(f.durable, name) })
	return nil
}

// SyncDir makes all names durable, whatever their folder.
func (f *FS) SyncDir(string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stepLocked(); err != nil {
		return err
	}
	for _, change := range f.undo {
		change()
	}
	f.undo = nil
	return nil
}

// handle is an open file of one life.
type handle struct {
	f    *FS
	x    *file
	life int
}

func (h *handle) stepLocked() error {
	if h.life != h.f.life {
		return ErrCrashed
	}
	return h.f.stepLocked()
}

func (h *handle) ReadAt(p []byte, offset int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.f.crashed || h.life != h.f.life {
		return 0, ErrCrashed
	}
	if offset >= int64(len(h.x.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.x.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes a part only if it fails, or if the process ends in it.
func (h *handle) WriteAt(p []byte, offset int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.life != h.f.life || h.f.crashed {
		return 0, ErrCrashed
	}
	err := h.stepLocked()
	if room := h.f.roomLocked(h.x, offset); err == nil && int64(len(p)) > room {
		err, p = syscall.ENOSPC, p[:room]
	} else if err != nil {
		p = p[:h.f.rand.IntN(int(min(int64(len(p)), room))+1)]
	}
	if len(p) > 0 {
		w := write{offset, append([]byte(nil), p...)}
		h.x.data = w.apply(h.x.data)
		h.x.pending = append(h.x.pending, w)
	}
	return len(p), err
}

// roomLocked gives how many bytes can be written at an offset of x.
func (f *FS) roomLocked(x *file, offset int64) int64 {
	if f.Room == 0 {
		return 1 << 40
	}
	room := f.Room
	for _, other := range f.names {
		room -= int64(len(other.data))
	}
	return max(room+int64(len(x.data))-offset, 0)
}

func (h *handle) Truncate(size int64) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.stepLocked(); err != nil {
		return err
	}
	w := write{offset: size}
	h.x.data = w.apply(h.x.data)
	h.x.pending = append(h.x.pending, w)
	return nil
}

// Sync fails as on Linux: what it could not write is lost to the disk, though
// the process still sees it, and the next Sync says that all is well.
func (h *handle) Sync() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	err := h.stepLocked()
	switch {
	case errors.Is(err, ErrCrashed):
		return err
	case err == nil:
		for _, w := range h.x.pending {
			h.x.durable = w.apply(h.x.durable)
		}
	}
	h.x.pending = nil
	return err
}

func (h *handle) Close() error { return nil }
