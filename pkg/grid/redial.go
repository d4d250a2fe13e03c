package grid

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// redial is when a peer is dialled next. It is part of its peer and protected
// by its lock. While a peer waits, it costs a timer and no goroutine.
type redial struct {
	failures int  // in a row; a link that did not last counts
	queued   bool // the timer runs, or the peer waits for its turn
	due      time.Time
	timer    *time.Timer
	cancel   context.CancelFunc // of the dial that runs; nil: none does
	renew    bool               // the link we have is to be remade
	renewBy  time.Time          // when it ends otherwise
	logged   bool               // that the peer can't be reached
	handed   uint64             // epoch of the newest list that the peer was given while it refused
}

func (r *redial) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.cancel != nil {
		r.cancel()
	}
}

// scheduleLocked sees to it that the peer is dialled after d, or earlier if it
// is to be already.
func (p *peer) scheduleLocked(d time.Duration) {
	r := &p.redial
	if !p.dialer || p.gone != nil || r.cancel != nil || p.m.leaving.Load() {
		return
	}
	due := time.Now().Add(d)
	if r.queued {
		if due.Before(r.due) && r.timer.Stop() { // else it is about to be dialled
			r.due = due
			r.timer.Reset(d)
		}
		return
	}
	r.queued, r.due = true, due
	r.timer = time.AfterFunc(d, func() { p.m.dials.add(p) })
}

// redialLostLocked schedules the dial after a link that was up for so long. A
// peer that was there until now is dialled at once, but not by all its peers
// in the same millisecond; one that comes and goes has to wait longer and
// longer, by whole turns of the back-off.
func (p *peer) redialLostLocked(up time.Duration) {
	l := &p.m.o.Limits
	if up >= l.SettledAfter {
		p.redial.failures = 0
		p.scheduleLocked(rand.N(l.Jitter))
		return
	}
	p.redial.failures++
	top := backoffTop(l, p.redial.failures)
	p.scheduleLocked(top + rand.N(top))
}

// redialFailedLocked schedules the dial after one that failed: full jitter.
func (p *peer) redialFailedLocked() {
	p.redial.failures++
	p.scheduleLocked(rand.N(backoffTop(&p.m.o.Limits, p.redial.failures)))
}

// backoffTop is the longest wait after so many failures in a row.
func backoffTop(l *Limits, failures int) time.Duration {
	top := l.BackoffBase
	for i := 1; i < failures && top < l.BackoffCap; i++ {
		top *= 2
	}
	return min(top, l.BackoffCap)
}

// attempt is what a dial starts from.
type attempt struct {
	ctx   context.Context
	seen  *life     // the link there was
	token linkToken // of it, or of the last one
	renew bool      // it may go on with its calls
}

// startDial decides whether the peer whose turn it is still wants to be dialled.
func (p *peer) startDial() (attempt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.redial
	r.queued = false
	linked := p.held != nil && p.state == StateLinked && !r.renew
	if p.gone != nil || linked || r.cancel != nil || p.m.leaving.Load() {
		return attempt{}, false
	}
	ctx, cancel := context.WithCancel(p.m.ctx)
	r.cancel = cancel
	if p.held == nil {
		p.setStateLocked(StateDialing)
	}
	return attempt{ctx: ctx, seen: p.held, token: p.token, renew: p.held != nil || p.heir}, true
}

// dial makes one try at a link. It runs on a goroutine of dialQueue.
func (p *peer) dial() {
	from, ok := p.startDial()
	if !ok {
		return
	}
	s, err := p.m.connect(p, from)
	p.mu.Lock()
	p.redial.cancel()
	p.redial.cancel = nil
	p.mu.Unlock()
	if err == nil {
		if p.install(s, from.seen) {
			return
		}
		_ = s.cfg.Transport.Close()
		err = errors.New("the peer was removed, or this node is shutting down")
	}
	p.dialFailed(err)
}

// dialFailed takes the failure of a dial and schedules the next one.
func (p *peer) dialFailed(err error) {
	var ref *refusal
	refused := errors.As(err, &ref)
	p.mu.Lock()
	if p.gone != nil || p.m.leaving.Load() {
		p.mu.Unlock()
		return
	}
	r := &p.redial
	p.lastErr = err.Error()
	expired := p.held != nil && r.renew && time.Now().After(r.renewBy)
	old := p.held
	if expired {
		p.held, r.renew = nil, false
		p.live.Store(nil)
	}
	if p.held == nil {
		p.setStateLocked(StateDown)
	}
	log := !refused && !r.logged // refusals are logged by the refusal log
	r.logged = r.logged || log
	switch {
	case refused && ref.Code == refusedSelf: // only another list changes anything
	case refused && ref.handed > r.handed: // it has our newer list now, and may think again
		r.failures, r.handed = 0, ref.handed
		p.redialFailedLocked()
	default:
		p.redialFailedLocked()
	}
	p.mu.Unlock()
	p.m.counts.dialFailed()
	if log {
		p.m.log.Warn("peer can't be reached, dialling goes on", "peer", p.name, "error", err)
	}
	if expired {
		p.m.retire(old, 0, p.m.o.RemovalGrace, codeRotated, "could not be remade: "+err.Error())
	}
}

// dialQueue runs the dials of a manager, some at once, the others in turn.
type dialQueue struct {
	m *Manager

	mu      sync.Mutex // protects what follows
	waiting []*peer
	running int
}

// add gives p its turn as soon as there is room.
func (q *dialQueue) add(p *peer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running >= q.m.o.Limits.Dials {
		q.waiting = append(q.waiting, p)
		return
	}
	if q.m.track() {
		q.running++
		go q.run(p)
	}
}

// run dials p, then who waits, and ends when nobody does.
func (q *dialQueue) run(p *peer) {
	defer q.m.untrack()
	for p != nil {
		p.dial()
		p = q.next()
	}
}

func (q *dialQueue) next() *peer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running--
		q.waiting = nil
		return nil
	}
	p := q.waiting[0]
	q.waiting = q.waiting[1:]
	return p
}
