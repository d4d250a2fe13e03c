package grid

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// greeter is a handshake from the upgrade on, in either role.
type greeter struct {
	m    *Manager
	ws   *websocket.Conn
	room int // bytes that the other side takes of a hello
	tr   transcript
	mine [proofSize]byte // our proof; zeros without a token, and to who has not proved its own

	rotations uint64 // of the manager when the handshake began
}

// read reads one greeting of at most limit bytes. Its time is limited by who
// called: the connection is closed under it.
func (g *greeter) read(limit int) (greetingKind, [proofSize]byte, []byte, error) {
	limit += greetingHead
	g.ws.SetReadLimit(int64(limit))
	if c, ok := g.ws.NetConn().(interface{ Delivered(n int) }); ok {
		c.Delivered(limit) // the limit on framing is for links; this message has its own
	}
	kind, b, err := g.ws.ReadMessage()
	if err == nil && kind != websocket.BinaryMessage {
		err = fmt.Errorf("WebSocket message of type %d, expected is binary", kind)
	}
	if err != nil {
		return 0, [proofSize]byte{}, nil, err
	}
	greeting, proof, body, err := parseGreeting(b)
	if err != nil {
		err = &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
	}
	return greeting, proof, body, err
}

func (g *greeter) write(kind greetingKind, body []byte) error {
	return g.ws.WriteMessage(websocket.BinaryMessage, appendGreeting(kind, g.mine, body))
}

// sendHello says what this node is to the node that it takes for to, and how
// many of its handlers that hello carries.
func (g *greeter) sendHello(to string, token linkToken, renew bool) (announced int, err error) {
	m := g.m
	h := &hello{
		Grid: m.o.Grid, Name: m.local, To: to, Instance: m.instance, Token: token, Renew: renew,
		Limits: m.ownSide(), Checksum: m.wantsChecksum(), Handlers: m.shared.Registry.Announcements(0),
		Epoch: m.members.Load().list.Epoch, Topology: m.o.Topology.String(),
	}
	body, announced := appendHello(nil, h, min(m.limits.HelloBytes, g.room)-greetingHead)
	return announced, g.write(greetHello, body)
}

// provedAgain checks the dialer's proof on its second message.
func (g *greeter) provedAgain(proof [proofSize]byte) bool {
	tokens, err := g.m.o.Auth.tokens()
	return err == nil && g.tr.proved(tokens, proofOfDialer, proof) != nil
}

// wantsChecksum: TLS has better ones.
func (m *Manager) wantsChecksum() bool { return m.o.TLS == nil }

// newShaken is what both roles make of the other side's hello.
func (g *greeter) newShaken(p *peer, h *hello, cert proven) *shaken {
	m := g.m
	return &shaken{
		epoch: h.Epoch, expiry: cert.expiry, rotations: g.rotations,
		cfg: link.Config{
			Remote: p.name, Identity: cert.identity, Instance: h.Instance, Checksum: h.Checksum || m.wantsChecksum(),
			Ours: m.ownSide(), Theirs: h.Limits, TheirHandlers: h.Handlers, Shared: m.shared,
		},
	}
}

func newLinkToken() (t linkToken) {
	_, _ = rand.Read(t[:]) // never fails: crypto/rand ends the process instead
	return t
}

var errHead = errors.New("the head of the answer to the upgrade is larger than Limits.HeaderBytes")

// abrupt is a connection whose Close never waits, and whose reads before the
// end of an upgrade are limited: gorilla reads the head of an answer without
// one. Links end with GOODBYE, so TLS need not say goodbye a second time, to
// who may not read.
type abrupt struct {
	net.Conn

	limited bool // the reader's
	head    int  // bytes that may still be read, if limited
}

// NetConn gives the connection below, for who sets TCP's options.
func (a *abrupt) NetConn() net.Conn {
	if t, ok := a.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return a.Conn
}

// Close closes the raw connection.
func (a *abrupt) Close() error { return a.NetConn().Close() }

func (a *abrupt) Read(b []byte) (int, error) {
	if !a.limited {
		return a.Conn.Read(b)
	}
	if a.head == 0 {
		return 0, errHead
	}
	n, err := a.Conn.Read(b[:min(len(b), a.head)])
	a.head -= n
	return n, err
}

// Write sends the request of an upgrade, too. If the other side has refused our
// certificate by then, its alert says why, and a broken pipe does not.
func (a *abrupt) Write(b []byte) (int, error) {
	n, err := a.Conn.Write(b)
	if err != nil && a.limited {
		if _, said := a.Conn.Read(make([]byte, 1)); alert(said) {
			err = said
		}
	}
	return n, err
}
