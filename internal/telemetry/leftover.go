package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
)

// leftTime is how long a target that was removed may go on delivering what it
// holds. What it has on disk then stays there, for when one of its name comes.
const leftTime = 30 * time.Second

// leftovers are the targets that were removed and have not ended. There is one
// goroutine for each, and wait waits for them.
type leftovers struct {
	life  context.Context // ends all of them
	stop  context.CancelFunc
	group sync.WaitGroup

	mu     sync.Mutex          // protects all below
	all    map[leftover]uint64 // to the number of each
	number uint64              // of the newest one
	ended  map[queue]numbered  // the newest one of a name that has: it holds little, how far it came
}

// numbered is one with its number.
type numbered struct {
	target *target.Target
	number uint64
}

// leftover names one: two of a name are possible, where a target was removed,
// added and removed again.
type leftover struct {
	system string
	target *target.Target
}

func (l *leftovers) init() {
	l.life, l.stop = context.WithCancel(context.Background())
	l.all, l.ended = make(map[leftover]uint64), make(map[queue]numbered)
}

// close delivers what a target holds, and ends it. ended is called then.
func (l *leftovers) close(system string, t *target.Target, ended func(system string, t *target.Target)) {
	ctx, cancel := context.WithTimeout(l.life, leftTime)
	key := leftover{system: system, target: t}
	l.mu.Lock()
	l.number++
	number := l.number
	l.all[key] = number
	l.mu.Unlock()
	l.group.Go(func() {
		defer cancel()
		t.Close(ctx)
		l.mu.Lock()
		delete(l.all, key)
		if q := (queue{system, t.Name()}); number > l.ended[q].number {
			l.ended[q] = numbered{t, number}
		}
		l.mu.Unlock()
		ended(system, t)
	})
}

// ended is called when a target that was removed has ended. Unless another one of
// its name goes on, what is left on its disk is told of, and its ids are closed.
func (s *System) ended(system string, t *target.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, made := t.Name(), s.logs
	if system == dirAudit {
		made = s.audits
	}
	if _, used := made[name]; used || s.closed || s.left.has(system, name) {
		return
	}
	s.look(queue{system, name})
	if system != dirLog || s.seqs[name] == nil || s.o.DataDir == "" { // without a disk, ids would begin anew
		return
	}
	if err := s.closeSequences(map[string]*target.Sequence{name: s.seqs[name]}); err != nil {
		s.log.Console().Error("ids are not closed well", "target", name, "error", err)
	}
}

// last gives the newest one of a name, ended or not, to one that follows it; nil
// if there was none.
func (l *leftovers) last(system, name string) *target.Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := queue{system, name}
	last, newest := l.ended[q].target, l.ended[q].number
	delete(l.ended, q)
	for key, number := range l.all {
		if key.system == system && key.target.Name() == name && number > newest {
			last, newest = key.target, number
		}
	}
	return last
}

// has reports whether one of the name has not ended.
func (l *leftovers) has(system, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.all {
		if key.system == system && key.target.Name() == name {
			return true
		}
	}
	return false
}

// wait waits for all of them, until ctx ends; then they end, too.
func (l *leftovers) wait(ctx context.Context) {
	over := context.AfterFunc(ctx, l.stop)
	l.group.Wait()
	over()
	l.stop()
}
