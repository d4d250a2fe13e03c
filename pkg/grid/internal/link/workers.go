package link

import (
	"sync/atomic"
)

// maxIdleWorkers is how many goroutines wait for the next job; more of them end.
const maxIdleWorkers = 64

// job is what a worker does: run call's handler, or else do, or else read link on.
type job struct {
	link *Link
	call *call
	do   func()
}

// workers runs jobs on goroutines that it keeps for the next ones. It never
// queues: a job that finds no idle worker gets a new goroutine. Its callers
// bound how many jobs there are: running calls by MaxCalls a link, one reader
// and a list and a drain notice a link.
type workers struct {
	jobs chan job // unbuffered: a send succeeds only to a waiting worker
	quit chan struct{}
	idle atomic.Int32
}

func newWorkers() *workers {
	return &workers{jobs: make(chan job), quit: make(chan struct{})}
}

// run does j on another goroutine.
func (w *workers) run(j job) {
	select {
	case w.jobs <- j:
	default:
		go w.work(j)
	}
}

func (w *workers) work(j job) {
	for {
		switch {
		case j.call != nil:
			j.link.serve(j.call)
		case j.do != nil:
			j.do()
		default:
			j.link.read()
		}
		if w.idle.Add(1) > maxIdleWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case j = <-w.jobs:
			w.idle.Add(-1)
		case <-w.quit:
			w.idle.Add(-1)
			return
		}
	}
}

// close lets the idle workers end. Busy ones end after their job.
func (w *workers) close() { close(w.quit) }
