package feed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// member is one pod: what it is to have, and what it has said. While it waits it
// costs a timer; an attempt has a goroutine.
type member struct {
	pool *Pool
	grid types.NamespacedName

	mu      sync.Mutex // protects what follows
	target  Target
	since   time.Time // when the target came
	life    int       // counts processes behind the name: answers of one before do not count
	order   *order
	ack     Ack
	failed  int // attempts, since the last good one
	gone    bool
	running bool               // an attempt is under way
	again   bool               // another one is to follow at once
	cancel  context.CancelFunc // of the attempt under way
	timer   *time.Timer        // to the next one
}

// newMember makes a member, and its first attempt.
func newMember(p *Pool, grid types.NamespacedName, t Target, o *order) *member {
	m := &member{pool: p, grid: grid, target: t, since: time.Now(), order: o}
	m.try()
	return m
}

// set says what the pod is to have, and where it is. There is an attempt at once if
// that is news, or if there is hope that one that failed would do now.
func (m *member) set(t Target, o *order) {
	m.mu.Lock()
	try := m.order != o || m.ack.Err != "" && m.target.Version != t.Version
	if m.target.UID != t.UID || m.target.Address != t.Address || m.target.Name != t.Name {
		m.ack, m.since, m.failed, try = Ack{}, time.Now(), 0, true
		m.life++
	}
	m.target, m.order = t, o
	m.mu.Unlock()
	if try {
		m.try()
	}
}

// drop ends the member: the attempt under way is given up, and no other follows.
func (m *member) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	if m.cancel != nil {
		m.cancel()
	}
	if m.timer != nil {
		m.timer.Stop()
	}
}

// where is which pod it is, and its address.
func (m *member) where() (types.UID, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	host, _, _ := net.SplitHostPort(m.target.Address) // as it was joined
	return m.target.UID, host
}

func (m *member) last() Ack {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ack
}

// try has an attempt made now.
func (m *member) try() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.gone:
	case m.running:
		m.again = true
	default:
		if m.timer != nil {
			m.timer.Stop()
		}
		m.running = true
		m.pool.wg.Go(m.run)
	}
}

// run makes attempts until the next one has time.
func (m *member) run() {
	for {
		m.mu.Lock()
		m.again = false
		at := attempt{target: m.target, order: m.order, life: m.life, before: m.ack, answered: m.failed == 0}
		ctx, cancel := context.WithCancel(m.pool.ctx)
		m.cancel = cancel
		gone := m.gone
		m.mu.Unlock()
		if !gone {
			m.make(ctx, &at)
		}
		cancel()
		m.mu.Lock()
		m.cancel = nil
		if !m.again || m.gone {
			m.running = false
			if !m.gone {
				m.rest()
			}
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
	}
}

// rest sets the timer to the next attempt. m.mu is held.
func (m *member) rest() {
	wait := jitter(pollAfter(m.pool.count.Load()))
	if m.failed > 0 {
		wait = backoff(m.failed - 1)
	}
	if m.timer == nil {
		m.timer = time.AfterFunc(wait, m.try)
		return
	}
	m.timer.Reset(wait)
}

// attempt is what one starts from.
type attempt struct {
	target   Target
	order    *order
	life     int
	before   Ack
	answered bool // the last time
}

// make brings the list to the pod if it does not have it, and else asks how it is.
func (m *member) make(ctx context.Context, at *attempt) {
	leave, err := m.pool.lanes.enter(ctx, at.answered)
	if err != nil {
		return // it is gone, or the pool is
	}
	defer leave()
	limited, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()

	next, push := at.before, at.before.lacks(at.order) || at.before.hides(at.order)
	got, verified, err := m.pool.ask(limited, at.order, &at.target, push)
	if refused := (*refusal)(nil); push && errors.As(err, &refused) {
		next.Ahead = max(next.Ahead, at.order.ahead(refused.list))
		// It does not take the list; how is it otherwise?
		if other, proven, e := m.pool.ask(limited, at.order, &at.target, false); e == nil {
			next.Ack, next.Verified, next.Heard = other, proven, time.Now()
		}
	}
	if err == nil {
		next.Ack, next.Verified, next.Heard = got, verified, time.Now()
		if push && next.lacks(at.order) {
			err = errNotTaken
		}
	}
	next.Err = ""
	if err != nil {
		next.Err = describe(err)
	}
	m.learn(ctx, at, &next, push, err)
}

// learn keeps what came of an attempt, unless it was about a pod of before.
func (m *member) learn(ctx context.Context, at *attempt, next *Ack, push bool, err error) {
	m.mu.Lock()
	current := m.life == at.life && !m.gone && ctx.Err() == nil
	if current {
		m.ack = *next
		if m.failed++; err == nil {
			m.failed = 0
		}
	}
	if m.order != at.order {
		m.again = true
	}
	access, since := m.order.access, later(at.order.since, m.since)
	m.mu.Unlock()
	if access != at.order.access {
		at.order.access.close()
	}
	if !current {
		return
	}
	m.pool.metrics.attempt(push, err, time.Since(since), next.Verified)
	before, after := at.before, *next
	before.Heard, after.Heard = time.Time{}, time.Time{}
	if !reflect.DeepEqual(before, after) {
		m.pool.notify(m.grid)
	}
	if after.Ahead > before.Ahead {
		m.pool.behind(m.grid)
	}
}

// errNotTaken: the node says yes and means no.
var errNotTaken = errors.New("took the list, but says that it uses an older one")

// lacks reports whether a pod that said this has yet to get the list. One that
// says it has a newer one of this mesh would only refuse it.
func (a *Ack) lacks(o *order) bool {
	return o.epoch > 0 && (a.MeshID != o.meshID || a.Epoch < o.epoch)
}

// hides reports whether a pod that said this has a newer list of this mesh than
// the committed one, as it says, and has yet to show it: it does so when it is
// brought ours.
func (a *Ack) hides(o *order) bool {
	return o.epoch > 0 && a.MeshID == o.meshID && a.Epoch > max(o.epoch, a.Ahead)
}

// ahead is what Ack.Ahead says after a pod refused the list and showed another. It
// is believed for the signature on it: who knows of a key that signed a list
// cannot make one of a higher epoch.
func (o *order) ahead(document []byte) uint64 {
	list, err := peers.Verify(document, peers.Trust{Grid: o.grid, MeshID: o.meshID, Keys: o.keys})
	switch {
	case err != nil || list.Epoch < o.epoch || bytes.Equal(document, o.document):
		return 0
	case list.Epoch == o.epoch:
		return list.Epoch + 1 // two lists have this one
	}
	return list.Epoch
}

// ask makes one request. verified: the answer is proven to be the pod's.
func (p *Pool) ask(ctx context.Context, o *order, t *Target, push bool) (ack adminapi.Ack, verified bool, err error) {
	method, path, body := http.MethodGet, adminapi.PathAck, io.Reader(http.NoBody)
	if push {
		method, path, body = http.MethodPut, adminapi.PathPeers, bytes.NewReader(o.document)
	}
	ctx = withServerName(ctx, t.Host)
	req, err := http.NewRequestWithContext(ctx, method, o.access.scheme+"://"+t.Address+path, body)
	if err != nil {
		return ack, false, err
	}
	if push {
		req.Header.Set("Content-Type", adminapi.TypeSigned)
		// Bringing a list twice does no harm, so a connection that the node let go
		// just now is no reason to fail. The header stays here.
		req.Header["Idempotency-Key"] = nil
	}
	// Not a client's Do: that would go where a node redirects it.
	resp, err := o.access.transport.RoundTrip(req)
	if err != nil {
		return ack, false, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read as far as it counts
	most := int64(maxAnswer)
	if push && resp.StatusCode == http.StatusConflict {
		select {
		case p.refusals <- struct{}{}:
			defer func() { <-p.refusals }()
		case <-ctx.Done():
			return ack, false, ctx.Err()
		}
		most = maxRefusal
	}
	ack, err = readAck(resp, most, t, o.grid)
	return ack, err == nil && o.access.provenBy(resp.TLS, t.Host), err
}

// backoff is how long to wait after that many failed attempts before this one.
func backoff(failed int) time.Duration {
	d := float64(retryFirst)
	for range min(failed, 32) {
		d *= retryGrowth
	}
	return jitter(min(time.Duration(d), pollEvery))
}

// pollAfter is how long a pod is left alone, if there are that many.
func pollAfter(members int64) time.Duration {
	return max(pollEvery, time.Duration(members)*time.Second/pollRate)
}

// jitter spreads what would else come at once: a tenth less to a tenth more.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
