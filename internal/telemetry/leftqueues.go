package telemetry

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// queue is one on disk.
type queue struct{ system, name string }

func (s *System) folder(q queue) string { return filepath.Join(s.o.DataDir, q.system, q.name) }

// queueState is what is known of a queue.
type queueState int

const (
	queueUsed queueState = iota + 1 // a target has it, or has left it to one that takes it over
	queueIdle                       // no target has it, and there is nothing in it
	queueLeft                       // no target has it, and that was told of
)

// queueStates are those of the queues on disk. They have a lock of their own:
// whoever asks how log and audit are must not wait for a change of them, which
// reads the disk.
type queueStates struct {
	mu sync.Mutex // protects of
	of map[queue]queueState
}

func (s *queueStates) get(q queue) queueState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[q]
}

func (s *queueStates) set(q queue, state queueState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[q] = state
}

// left gives those that no target has, in order.
func (s *queueStates) left() (all []queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q, state := range s.of {
		if state == queueLeft {
			all = append(all, q)
		}
	}
	slices.SortFunc(all, func(a, b queue) int { return cmp.Or(cmp.Compare(a.system, b.system), cmp.Compare(a.name, b.name)) })
	return all
}

// lookForQueues looks for queues that no target has: of one that was renamed,
// removed, or made one without a queue, while the program did not run.
func (s *System) lookForQueues(system string, now map[string]made) {
	for name, m := range now {
		if m.of.queues() {
			s.queues.set(queue{system, name}, queueUsed)
		}
	}
	for _, name := range s.queuesOnDisk(system) {
		if q := (queue{system, name}); s.queues.get(q) == 0 {
			s.look(q)
		}
	}
}

// look looks into a queue that no target has any more, and tells of it if there
// is something to lose.
func (s *System) look(q queue) {
	if s.o.DataDir == "" {
		return
	}
	dir := s.folder(q)
	waits := s.queued(dir).Bytes
	size, kept := onDisk(dir)
	if waits == 0 && !kept {
		s.queues.set(q, queueIdle)
		return
	}
	if s.queues.get(q) == queueLeft {
		return
	}
	s.queues.set(q, queueLeft)
	s.log.Console().Warn("queue on disk without a target: it is delivered once there is one of its name that has a queue, or delete the folder",
		"system", q.system, "target", q.name, "folder", dir, "waiting_bytes", waits, "bytes", size)
}

// onDisk is how many bytes the files of a queue have, and whether there are some
// that were set aside.
func onDisk(dir string) (size int64, kept bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, false // it is gone
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		kept = kept || strings.HasSuffix(e.Name(), ".bad") || strings.HasSuffix(e.Name(), ".ndjson")
	}
	return size, kept
}

// leftQueues gives the queues that no target has, as large as they are now.
func (s *System) leftQueues() (all []adminapi.LeftQueue) {
	for _, q := range s.queues.left() {
		if size, _ := onDisk(s.folder(q)); size > 0 {
			all = append(all, adminapi.LeftQueue{System: q.system, Name: q.name, Folder: s.folder(q), Bytes: size})
		}
	}
	return all[:min(len(all), 2*maxTargets)]
}
