package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// victimVariable makes the test binary a process that is to be killed; it holds
// a victim as JSON.
const victimVariable = "GRIDMESH_TEST_VICTIM"

// victim is a process whose calls are recorded by an audit with a target that
// blocks and one that drops, while their configuration changes. Some of what it
// does is logged, too.
type victim struct {
	Dir     string `json:"dir"`   // of its data
	State   string `json:"state"` // file of a byte for each call: what has become of it
	URL     string `json:"url"`   // of the receiver
	Life    int    `json:"life"`  // how many processes there were before
	Calls   int    `json:"calls"` // in all lives together, numbered from 1
	Callers int    `json:"callers"`
	Batch   int    `json:"batch"` // entries, at most

	From  int    `json:"from"`  // the call from which on it counts steps; 0: from its start
	Steps int64  `json:"steps"` // it ends itself in the one of this number; 0: never
	How   string `json:"how"`   // before that step, after it, or in the middle
}

// What has become of a call.
const (
	callBegun    = 1 + iota
	callAnswered // its record is safe
	callRefused
)

// changes is how often the configuration changes in all lives together.
const changes = 20

// change is the number of the configuration that holds from a call on.
func (v *victim) change(call int) int { return min(call*(changes+1)/v.Calls, changes) }

func (v *victim) config(n int) string {
	target := func(name, more, spool string) string {
		return fmt.Sprintf("  - {name: %s, %s webhook: {url: '%s/%s/%d/%d', timeout: 1s}, batch: {age: 10ms, entries: %d}, spool: {maxBytes: %s}}\n",
			name, more, v.URL, name, v.Life, n, v.Batch/4+n*37%(v.Batch*3/4), spool)
	}
	audit := target("block", "policy: block,", "8MiB")
	if n%5 != 3 { // it is away for a while, and what is recorded then is missing
		audit += target("drop", "", "1MiB")
	}
	return "audit:\n  targets:\n" + audit + "logging:\n  level: error\n  targets:\n" + target("said", "level: info,", "1MiB")
}

// loggedEvery is how many calls there are for an entry of the log.
const loggedEvery = 16

// runVictim lives until all calls are made and delivered, or it is killed.
func runVictim(spec string) error {
	var v victim
	if err := json.Unmarshal([]byte(spec), &v); err != nil {
		return err
	}
	go func() { // it ends with the test, whatever becomes of that
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	state, err := os.OpenFile(v.State, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }() // it ends with the process
	before, err := io.ReadAll(state)
	if err != nil {
		return err
	}
	last := len(bytes.TrimRight(before, "\x00")) - 1 // call; the others were not begun
	files := &deadlyFS{FS: fsys.Disk(), how: v.How}
	files.left.Store(math.MaxInt64)
	if v.Steps > 0 && last >= v.From {
		files.left.Store(v.Steps)
	}
	s, err := Open(Options{Node: "node-0:7700", Console: os.Stderr, LogFormat: "json", Level: slog.LevelError, DataDir: v.Dir, files: files})
	if err != nil {
		return err
	}
	apply := func(n int) error {
		c, err := Parse([]byte(v.config(n)))
		if err != nil {
			return err
		}
		return s.Apply(c)
	}
	if err := apply(v.change(max(last, 0))); err != nil {
		return err
	}
	serve := s.Audit().Interceptor().HandleSingle(func(context.Context, *grid.Call, []byte) ([]byte, error) { return nil, nil })
	call := func(n int) error {
		if _, err := state.WriteAt([]byte{callBegun}, int64(n)); err != nil {
			return err
		}
		if n == v.From && v.Steps > 0 {
			files.left.Store(v.Steps)
		}
		if change := v.change(n); change != v.change(n-1) {
			if err := apply(change); err != nil {
				return err
			}
		}
		if n%loggedEvery == 0 {
			info(s, fmt.Sprintf("n-%d", n))
		}
		became := byte(callAnswered)
		if _, err := serve(context.Background(), &grid.Call{Peer: "caller", Handler: grid.HandlerID(fmt.Sprintf("n-%d", n))}, nil); err != nil {
			became = callRefused
			<-time.After(10 * time.Millisecond) // as callers do then
		}
		_, err := state.WriteAt([]byte{became}, int64(n))
		return err
	}
	var failed error
	var once sync.Once
	var group sync.WaitGroup
	var number atomic.Int64
	number.Store(int64(max(last, 0)))
	for range v.Callers {
		group.Go(func() {
			for n := int(number.Add(1)); n <= v.Calls; n = int(number.Add(1)) {
				if err := call(n); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	group.Wait()
	if failed != nil {
		return failed
	}
	return s.Close(context.Background())
}

// deadlyFS is a file system that kills the process in one of its steps, as
// kill -9 does.
type deadlyFS struct {
	fsys.FS
	left atomic.Int64 // steps until then
	how  string
}

// How a process ends in a step.
const (
	endsBefore = "before"
	endsWithin = "within"
	endsAfter  = "after"
)

// step does a step, unless it is the last one. half does a part of it.
func (d *deadlyFS) step(do func() error, half func()) error {
	switch left := d.left.Add(-1); {
	case left > 0:
		return do()
	case left < 0: // others may come as far as here before the process has ended
	case d.how == endsWithin:
		half()
	case d.how == endsAfter:
		_ = do() // nobody learns how it went
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill() // SIGKILL
	}
	select {}
}

func nothing() {}

func (d *deadlyFS) MkdirAll(dir string) error {
	return d.step(func() error { return d.FS.MkdirAll(dir) }, nothing)
}

func (d *deadlyFS) Rename(from, to string) error {
	return d.step(func() error { return d.FS.Rename(from, to) }, nothing)
}

func (d *deadlyFS) Remove(name string) error {
	return d.step(func() error { return d.FS.Remove(name) }, nothing)
}

func (d *deadlyFS) SyncDir(dir string) error {
	return d.step(func() error { return d.FS.SyncDir(dir) }, nothing)
}

func (d *deadlyFS) Lock(name string) (lock io.Closer, err error) {
	_ = d.step(func() error { lock, err = d.FS.Lock(name); return nil }, nothing)
	return lock, err
}

func (d *deadlyFS) Open(name string, create bool) (file fsys.File, err error) {
	_ = d.step(func() error { file, err = d.FS.Open(name, create); return nil }, nothing)
	if err != nil {
		return nil, err
	}
	return &deadlyFile{File: file, fs: d}, nil
}

type deadlyFile struct {
	fsys.File
	fs *deadlyFS
}

func (f *deadlyFile) WriteAt(b []byte, at int64) (n int, err error) {
	_ = f.fs.step(func() error { n, err = f.File.WriteAt(b, at); return nil },
		func() { _, _ = f.File.WriteAt(b[:len(b)/2], at) })
	return n, err
}

func (f *deadlyFile) Truncate(size int64) error {
	return f.fs.step(func() error { return f.File.Truncate(size) }, nothing)
}

func (f *deadlyFile) Sync() error { return f.fs.step(f.File.Sync, nothing) }
