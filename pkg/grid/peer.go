package grid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// peer is one remote node, for as long as it is in the list. It has at most
// one link that takes calls; a link that was remade may live on beside it for
// the calls it has.
type peer struct {
	m      *Manager
	name   string
	dialer bool       // for this pair, this node dials
	conn   Connection // what Manager.Connection gives

	// live is the link that takes new calls. nil: there is none, why says the
	// rest of the peer. It is written under mu and read by every call without.
	live atomic.Pointer[link.Link]

	account *link.Account // what it may hold, over all its links

	mu      sync.Mutex // protects what follows; never held across I/O or a user's function
	state   State
	since   time.Time     // of state
	gone    error         // ErrPeerRemoved or ErrClosed: final
	held    *life         // the link we have, also while the peer drains it
	token   linkToken     // of held, or of the last one
	heir    bool          // token is that of a removed peer of this name: its link may go on with its calls
	changed chan struct{} // closed at the next link, or when gone; nil: nobody waits
	lastErr string        // why there is no link, or why the last one ended
	endedBy string        // the reason for which the last link ended; "": there was none yet
	links   []*life       // all whose totals are not final: held, and those on their way out
	past    link.Totals   // of those before
	redial  redial
}

// life is one link and what its handshake said.
type life struct {
	link   *link.Link
	peer   *peer
	token  linkToken
	dialed bool
	since  time.Time
	expiry time.Time // of the peer's certificate; zero without TLS
	rotate *time.Timer
}

func (m *Manager) newPeer(name string) *peer {
	p := &peer{m: m, name: name, dialer: dials(m.o.Local, name), since: time.Now(), account: m.shared.NewAccount()}
	p.conn.peer = p
	return p
}

// link gives the link for a new call. The error is one of ErrNotLinked,
// ErrDraining, ErrPeerRemoved and ErrClosed.
func (p *peer) link() (*link.Link, error) {
	if l := p.live.Load(); l != nil {
		return l, nil
	}
	return nil, p.whyNot()
}

func (p *peer) whyNot() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone != nil:
		return p.gone
	case p.state == StateDraining:
		return ErrDraining
	}
	return ErrNotLinked
}

// waitLink waits for a link that takes calls. It ends early when the peer is gone.
func (p *peer) waitLink(ctx context.Context) (*link.Link, error) {
	for {
		if l := p.live.Load(); l != nil {
			return l, nil
		}
		p.mu.Lock()
		if gone := p.gone; gone != nil {
			p.mu.Unlock()
			return nil, gone
		}
		if p.live.Load() != nil {
			p.mu.Unlock()
			continue
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed, why := p.changed, p.lastErr
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			if why != "" {
				why = " (" + why + ")"
			}
			return nil, fmt.Errorf("wait for a link to %s%s: %w", p.name, why, ctx.Err())
		}
	}
}

// forsake takes l away from new calls: it has ended, and a call has noticed
// before attend did.
func (p *peer) forsake(l *link.Link) {
	p.mu.Lock()
	p.live.CompareAndSwap(l, nil)
	p.mu.Unlock()
}

func (p *peer) currentState() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// whyDown is the reason why there is no link, as far as it is known.
func (p *peer) whyDown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastErr
}

func (p *peer) setStateLocked(s State) {
	if p.state != s {
		if p.state > StateDialing || s > StateDialing { // a dial does not interrupt being down
			p.since = time.Now()
		}
		p.state = s
	}
	if p.changed != nil && (s == StateLinked || p.gone != nil) {
		close(p.changed)
		p.changed = nil
	}
}

// shaken is a handshake that both sides have accepted.
type shaken struct {
	cfg    link.Config
	token  linkToken
	dialed bool
	renew  bool   // calls on the link before may end there
	epoch  uint64 // of their list
	expiry time.Time

	rotations uint64 // of the manager when the handshake began
}

// install makes s the peer's link in the place of seen, which is what the
// handshake was decided on. It refuses if something else came meanwhile; then
// the transport is still the caller's.
func (p *peer) install(s *shaken, seen *life) bool {
	lf := &life{peer: p, token: s.token, dialed: s.dialed, since: time.Now(), expiry: s.expiry}
	s.cfg.Owner, s.cfg.Account = p, p.account
	s.cfg.OnDrain = func() { p.drained(lf) }
	s.cfg.OnList = func(raw []byte) { p.m.handedOver(p.name, raw) }
	p.mu.Lock()
	if p.gone != nil || p.held != nil && p.held != seen || p.m.leaving.Load() || !p.m.track() {
		p.mu.Unlock()
		return false
	}
	// Under the lock: a call that comes in may at once ask for this peer.
	lf.link = link.Start(s.cfg)
	old, reason := p.held, p.endedBy
	if old != nil {
		reason = link.CodeReplaced
		if s.renew {
			reason = codeRotated
		}
	}
	p.held, p.token, p.heir, p.lastErr = lf, s.token, false, ""
	p.links = append(p.links, lf)
	crowd := slices.Clone(p.links[:max(0, len(p.links)-maxLinks)])
	p.live.Store(lf.link)
	p.setStateLocked(StateLinked)
	p.redial.renew, p.redial.logged = false, false // here: from now on the other side may ask for another one
	p.scheduleRotationLocked(lf)
	p.m.addLife(lf)
	if s.rotations != p.m.rotations.Load() {
		p.rotateLocked(lf) // the certificates may be those from before
	}
	p.mu.Unlock()

	lf.link.Announce() // a handler that was registered after Start, and before the manager knew of the link
	p.m.refused.forget(p.name)
	if reason != "" {
		p.m.counts.reconnected(reason)
	}
	p.m.log.Info("link is up", "peer", p.name, "dialed", s.dialed, "identity", s.cfg.Identity)
	p.m.tell(&Event{Kind: EventLinked, Peer: p.name, Identity: s.cfg.Identity, Dialed: s.dialed})
	go p.attend(lf)
	if old != nil {
		p.supersede(old, s)
	}
	for _, lf := range crowd {
		lf.link.Terminate(codeRotated, "the peer remakes its link too often to keep all it had")
	}
	p.m.offerList(lf.link, s.epoch)
	return true
}

// supersede ends a link in whose place another one came.
func (p *peer) supersede(old *life, s *shaken) {
	if !s.renew {
		old.link.Terminate(link.CodeReplaced, "the peer has made a new link")
		return
	}
	// The dialer is the one who ends it, once no call can be on its way to it
	// any more; the acceptor only sees to it that it does end.
	wait := turnover
	if !s.dialed {
		wait = p.m.o.Limits.RotateGrace
	}
	p.m.retire(old, wait, p.m.o.Limits.RotateGrace, codeRotated, "remade with the certificates of the day")
}

// attend waits for the end of a link.
func (p *peer) attend(lf *life) {
	defer p.m.untrack()
	<-lf.link.Done()
	p.ended(lf)
	lf.link.Wait()
	total := lf.link.Totals() // final only now
	p.mu.Lock()
	p.past.Add(total)
	p.links = slices.DeleteFunc(p.links, func(other *life) bool { return other == lf })
	p.mu.Unlock()
	p.m.dropLife(lf, total)
}

// ended takes the end of a link: the dialer makes another one.
func (p *peer) ended(lf *life) {
	cut := &link.CutError{Code: link.CodeLost}
	errors.As(lf.link.Err(), &cut)
	p.mu.Lock()
	if lf.rotate != nil {
		lf.rotate.Stop()
	}
	current := p.held == lf
	if current {
		p.held = nil
		p.live.Store(nil)
		p.endedBy, p.lastErr = reasonOf(cut), cut.Error()
		if p.gone == nil {
			p.setStateLocked(StateDown)
			p.redialLostLocked(time.Since(lf.since))
		}
	}
	p.mu.Unlock()
	if p == p.m.self {
		return
	}
	p.m.log.Info("link is down", "peer", p.name, "current", current, "code", reasonOf(cut), "reason", cut.Message)
	p.m.tell(&Event{Kind: EventUnlinked, Peer: p.name, Identity: lf.link.Identity(), Dialed: lf.dialed, Code: reasonOf(cut), Reason: cut.Message})
}

// drained takes the peer's DRAIN: no new calls. The dialer asks for another
// link meanwhile: a peer that is leaving will refuse, one that took us off its
// list and on again will not.
func (p *peer) drained(lf *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != lf || p.gone != nil {
		return
	}
	p.live.Store(nil)
	p.lastErr = "the peer is draining"
	p.setStateLocked(StateDraining)
	p.redialLostLocked(time.Since(lf.since))
}

// leave makes the peer gone for good, with why. What runs on its link may go
// on for the grace given.
func (p *peer) leave(why error, grace time.Duration) {
	p.mu.Lock()
	if p.gone != nil {
		p.mu.Unlock()
		return
	}
	p.gone = why
	all := slices.Clone(p.links) // also those that were remade, and have a grace of another kind
	p.held = nil
	p.live.Store(nil)
	p.setStateLocked(StateRemoved)
	p.redial.stop()
	p.mu.Unlock()
	for _, lf := range all {
		p.m.retire(lf, 0, grace, link.CodeRemoved, "the peer was removed from the peer list")
	}
}

// reasonOf is the reason of a link's end as a label: one of a small set, what
// the other side writes cannot add to it.
func reasonOf(cut *link.CutError) string {
	switch cut.Code {
	case link.CodeViolation, link.CodeTimeout, link.CodeDrained, link.CodeReplaced, link.CodeClosed, link.CodeLost, link.CodeQueue,
		link.CodeRemoved, codeRotated:
		return cut.Code
	}
	return refusedOther
}
