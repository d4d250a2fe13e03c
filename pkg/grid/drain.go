package grid

import (
	"context"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Shutdown leaves the grid in two phases. First all peers are told to send no
// more calls, and new links are refused; calls of this node's own stay
// allowed. When nothing runs any more in either direction, or ctx ends, every
// link says goodbye and is closed, and Shutdown waits for what it started, but
// not for handlers that ignore their context.
//
// It returns nil if everything had come to its end, otherwise ctx's error:
// what then still ran was cut. ErrClosed says that Close came first. After it everything fails with ErrClosed. Call
// it before http.Server.Shutdown, which knows nothing of links.
func (m *Manager) Shutdown(ctx context.Context) error {
	if !m.leaving.Swap(true) {
		m.log.Info("draining")
		m.tell(&Event{Kind: EventDraining})
	}
	for _, p := range m.members.Load().sorted {
		p.mu.Lock() // a link that was about to be installed is now, and drained below
		p.redial.stop()
		p.mu.Unlock()
	}
	err := m.drainAll(ctx)
	if err != nil {
		m.close(link.CodeClosed, "the peer has shut down, its time for draining was over")
		return err
	}
	m.close(link.CodeDrained, "the peer has shut down")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closedBy != link.CodeDrained {
		return ErrClosed
	}
	return nil
}

// drainAll drains every link and waits until all are quiet.
func (m *Manager) drainAll(ctx context.Context) error {
	all := m.allLives()
	for _, lf := range all {
		lf.link.Drain()
	}
	for _, lf := range all {
		select {
		case <-lf.link.Quiet():
		case <-lf.link.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close cuts every link at once and waits for what the manager started, but
// not for handlers that ignore their context. Calls in flight fail with
// ErrDisconnected, later ones with ErrClosed. It may be called during Shutdown
// and again. The error is always nil.
func (m *Manager) Close() error {
	m.leaving.Store(true)
	m.close(link.CodeClosed, "the peer has shut down")
	return nil
}

// close ends everything, once, and waits until it has ended.
func (m *Manager) close(code, message string) {
	m.mu.Lock()
	if m.done != nil {
		m.mu.Unlock()
		<-m.done
		return
	}
	m.done = make(chan struct{})
	m.closed, m.closedBy = true, code
	unbind := m.unbind
	m.mu.Unlock()

	if unbind != nil {
		unbind()
	}
	m.cancel() // dials and handshakes
	for _, p := range m.members.Load().sorted {
		p.shut()
	}
	m.self.shut()
	for _, lf := range m.allLives() {
		lf.link.Terminate(code, message)
	}
	m.wg.Wait()
	m.callee.Wait() // it ended with the other end of its link
	m.shared.Close()
	close(m.done)
}

// shut makes the peer gone because the manager is.
func (p *peer) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		return
	}
	p.gone = ErrClosed
	p.held = nil
	p.live.Store(nil)
	p.setStateLocked(StateDown)
	p.redial.stop()
}

// retire lets a link end in its own time: it drains after wait, and is closed
// when nothing runs on it, or after another grace.
func (m *Manager) retire(lf *life, wait, grace time.Duration, code, message string) {
	if !m.track() {
		return // Close ends it
	}
	go func() {
		defer m.untrack()
		l := lf.link
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.Done():
			return
		}
		l.Drain()
		timer.Reset(grace)
		select {
		case <-l.Quiet():
		case <-timer.C:
		}
		l.Terminate(code, message)
	}()
}
