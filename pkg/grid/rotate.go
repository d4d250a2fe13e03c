package grid

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// codeRotated is the reason of a link's end in whose place another one was made.
const codeRotated = "rotated"

// turnover is how long a link that was remade takes calls: those that have
// looked it up and not begun yet.
const turnover = time.Second

// maxLinks is how many links a pair has at most, those that were remade and are
// on their way out included; beyond, the oldest is cut. Against a member that
// remakes its link again and again to have more budgets and sockets than one.
const maxLinks = 8

// renewHandler is what the accepting side of a link calls to have it remade:
// it can't dial itself. It is announced like every handler, so who lacks it is
// not asked.
const renewHandler = "gridmesh.renew"

// Rotate remakes every link with the certificates of the moment, those that are
// just being made too, without a failed call: the new link comes first, calls in
// flight end on the old one within Limits.RotateGrace. It does not wait. Links age
// by themselves, too, see TLS.MaxAge.
func (m *Manager) Rotate() {
	m.rotations.Add(1) // first: a handshake that runs sees it, or its link is there below
	for _, p := range m.members.Load().sorted {
		p.mu.Lock()
		if p.held != nil {
			p.rotateLocked(p.held)
		}
		p.mu.Unlock()
	}
}

// scheduleRotationLocked gives a link its age: that of the certificates'
// configuration give or take a tenth, so that not all are remade at once.
func (p *peer) scheduleRotationLocked(lf *life) {
	if p.m.o.TLS == nil {
		return
	}
	age := p.m.o.TLS.MaxAge
	age = age - age/10 + rand.N(age/5)
	lf.rotate = time.AfterFunc(age, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held == lf {
			p.rotateLocked(lf)
		}
	})
}

// rotateLocked has the link lf remade: the dialer dials, the acceptor asks for it.
func (p *peer) rotateLocked(lf *life) {
	if p.gone != nil || p.m.leaving.Load() {
		return
	}
	if p.dialer {
		p.renewLocked(0)
		return
	}
	if p.m.track() {
		go p.askForRenewal(lf)
	}
	p.m.retire(lf, p.m.o.Limits.RotateGrace, 0, codeRotated, "was not remade in time")
}

// renewLocked has the dialer make another link in the place of the one it has.
func (p *peer) renewLocked(after time.Duration) {
	if r := &p.redial; !r.renew {
		r.renew = true
		r.renewBy = time.Now().Add(after + p.m.o.Limits.RotateGrace)
	}
	p.scheduleLocked(after)
}

// askForRenewal asks the dialer of lf for another link in its place.
func (p *peer) askForRenewal(lf *life) {
	defer p.m.untrack()
	ctx, cancel := context.WithTimeout(p.m.ctx, p.m.o.Limits.HandshakeTimeout)
	defer cancel()
	if _, err := lf.link.Call(ctx, &link.Call{Handler: renewHandler, Timeout: p.m.o.Limits.HandshakeTimeout}); err != nil {
		lf.link.Drain() // a node that knows of no renewal dials after this
	}
}

// renewalAsked serves renewHandler. Links that have just come up are not
// remade at once: a peer can't make us dial without end.
func renewalAsked(_ context.Context, in *link.Incoming, _ []byte) ([]byte, error) {
	p, ok := in.Link().Owner().(*peer)
	if !ok {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil && p.held.link == in.Link() && p.dialer {
		p.renewLocked(max(0, p.m.o.Limits.SettledAfter-time.Since(p.held.since)))
	}
	return nil, nil
}
