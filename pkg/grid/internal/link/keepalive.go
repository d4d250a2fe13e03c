package link

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// keepalive finds out whether the other side is alive. A ping's number is the
// time it was sent, in nanoseconds since the link began, so it rises and its
// answer gives the round trip.
type keepalive struct {
	heard atomic.Int64  // when the last batch came, nanoseconds since the link began
	wire  atomic.Uint64 // bytes read from the transport by then, or by the last look
	moved time.Duration // when a look last found more; lookAlive's
	trip  atomic.Int64  // the last round trip in nanoseconds, 0: none yet
	stall stall         // lookAlive's

	mu     sync.Mutex // protects what follows
	pong   uint64     // the newest answer
	timer  *time.Timer
	closed bool
	sent   uint64                   // the newest ping
	probes map[uint64]chan struct{} // closed when a pong as new as the key comes
}

func (l *Link) startKeepalive() {
	k := &l.keepalive
	in, _ := l.cfg.Transport.Wire() // of the handshake
	k.wire.Store(in)
	k.mu.Lock()
	k.timer = time.AfterFunc(l.limits.PingEvery, l.lookAlive)
	k.mu.Unlock()
}

func (k *keepalive) stop() {
	k.mu.Lock()
	k.closed = true
	k.timer.Stop()
	k.mu.Unlock()
}

// lookAlive pings a silent peer and ends a dead link. On a slow path a batch
// may take longer than silence may: then its bytes are the sign of life.
func (l *Link) lookAlive() {
	k := &l.keepalive
	now := time.Since(l.count.since)
	heard := time.Duration(k.heard.Load())
	if in, _ := l.cfg.Transport.Wire(); in != k.wire.Swap(in) {
		k.moved = now
	}
	silent := now - max(heard, k.moved)
	if silent >= l.limits.DeadAfter {
		l.end(&CutError{Code: CodeTimeout, Message: fmt.Sprintf("nothing received for %v", silent.Round(time.Millisecond))})
		return
	}
	l.lookForBodies(now)
	next := l.limits.PingEvery - (now - heard)
	if next <= 0 {
		l.ping(nil)
		next = min(l.limits.PingEvery, l.limits.DeadAfter-silent)
	}
	k.mu.Lock()
	if !k.closed {
		k.timer.Reset(next)
	}
	k.mu.Unlock()
}

// ping sends a PING; answered, if not nil, is closed when its answer comes.
func (l *Link) ping(answered chan struct{}) (number uint64) {
	k := &l.keepalive
	k.mu.Lock()
	number = max(uint64(time.Since(l.count.since)), k.sent+1)
	k.sent = number
	if answered != nil {
		if k.probes == nil {
			k.probes = map[uint64]chan struct{}{}
		}
		k.probes[number] = answered
	}
	k.mu.Unlock()
	l.append(&wire.Frame{Kind: wire.Ping, Total: number})
	return number
}

// onPong takes an answer. A pong stands for all older pings too.
func (l *Link) onPong(f *wire.Frame) error {
	k := &l.keepalive
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.Total == 0 || f.Total > k.sent {
		return &wire.ViolationError{Kind: f.Kind, Reason: "answers a ping that was never sent"}
	}
	k.pong = max(k.pong, f.Total)
	k.trip.Store(int64(time.Since(l.count.since)) - int64(f.Total))
	for number, answered := range k.probes {
		if number <= f.Total {
			close(answered)
			delete(k.probes, number)
		}
	}
	return nil
}

// ponged reports whether a ping was answered.
func (k *keepalive) ponged(number uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pong >= number
}

// Probe asks the other side for a sign of life and waits for it.
func (l *Link) Probe(ctx context.Context) error {
	answered := make(chan struct{})
	number := l.ping(answered)
	select {
	case <-answered:
		return nil
	case <-l.dead:
		return l.Err()
	case <-ctx.Done():
		l.keepalive.mu.Lock()
		delete(l.keepalive.probes, number)
		l.keepalive.mu.Unlock()
		return ctx.Err()
	}
}
