package telemetry

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
)

// openSequences has each target of the log have a sequence of ids, and gives
// those that were opened for it.
func (s *System) openSequences(targets []Target) (opened map[string]*target.Sequence, err error) {
	opened = make(map[string]*target.Sequence)
	for i := range targets {
		name := targets[i].Name
		if s.seqs[name] != nil {
			continue
		}
		seq := target.NewSequence()
		if s.o.DataDir != "" {
			if seq, err = target.OpenSequence(filepath.Join(s.o.DataDir, dirIDs, dirLog, name)); err != nil {
				return opened, err
			}
			seq.AtLeast(s.queued(filepath.Join(s.o.DataDir, dirLog, name)).Last)
		}
		s.seqs[name], opened[name] = seq, seq
	}
	return opened, nil
}

// closeSequences closes some, and forgets them.
func (s *System) closeSequences(some map[string]*target.Sequence) (err error) {
	for name, seq := range some {
		err = errors.Join(err, seq.Close())
		delete(s.seqs, name)
	}
	return err
}

// lastQueued is the last id in any queue of a system, in use or not. After the
// machine has lost its power it may be above all that the sequence knows of; a
// queue takes no entry that is not above its last.
func (s *System) lastQueued(system string) (last uint64) {
	for _, name := range s.queuesOnDisk(system) {
		last = max(last, s.queued(filepath.Join(s.o.DataDir, system, name)).Last)
	}
	return last
}

// queuesOnDisk gives the names of those of a system.
func (s *System) queuesOnDisk(system string) (names []string) {
	if s.o.DataDir == "" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(s.o.DataDir, system))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Console().Error("queues of before cannot be read", "error", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// queued is what a queue holds that no target has open.
func (s *System) queued(dir string) spool.Stats {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return spool.Stats{}
	}
	q, err := spool.Open(spool.Options{Dir: dir, FS: s.o.files, Damaged: func(file string, offset int64, reason string) {
		s.log.Console().Error("spool damaged, the rest is delivered", "file", file, "offset", offset, "reason", reason)
	}})
	if err != nil {
		s.log.Console().Error("queue of before cannot be read", "error", err)
		return spool.Stats{}
	}
	defer func() { _ = q.Close() }() // nothing was written
	return q.Stats()
}
