package grid

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// serveHTTP answers a peer's upgrade. All that is not one ends here, with a
// fixed sentence: nothing of a stranger's request is sent back.
func (m *Manager) serveHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, sentence string) {
		w.Header().Set("Connection", "close")
		http.Error(w, sentence, status)
	}
	switch {
	case len(r.Header.Values("Origin")) > 0: // first, and whatever the path: a browser is never a peer
		refuse(http.StatusForbidden, "browsers are not served")
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		refuse(http.StatusBadRequest, "only HTTP/1.1 can be upgraded")
	case r.URL.Path != m.o.Path:
		refuse(http.StatusNotFound, "no grid at this path")
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		refuse(http.StatusMethodNotAllowed, "only GET can be upgraded")
	case r.ContentLength != 0:
		refuse(http.StatusBadRequest, "an upgrade has no body")
	case !websocket.IsWebSocketUpgrade(r):
		w.Header().Set("Upgrade", "websocket")
		refuse(http.StatusUpgradeRequired, "this is a grid; peers come by WebSocket")
	case !slices.Contains(websocket.Subprotocols(r), subprotocol):
		refuse(http.StatusBadRequest, "subprotocol has to be "+subprotocol)
	case m.o.TLS != nil && r.TLS == nil:
		refuse(http.StatusBadRequest, "this grid is served by TLS only")
	default:
		if !m.track() {
			refuse(http.StatusServiceUnavailable, "shutting down")
			return
		}
		defer m.untrack()
		h := m.gate.begin(hostOf(r.RemoteAddr), m.came(r))
		if h == nil {
			m.refused.note(hostOf(r.RemoteAddr), refusedBusy, fmt.Sprintf("%d handshakes run already", m.limits.Handshakes), true)
			w.Header().Set("Retry-After", "1")
			refuse(http.StatusServiceUnavailable, "too many handshakes at once")
			return
		}
		defer m.gate.over(h)
		m.accept(w, r, h)
	}
}

// errEarly: what was sent before the answer was made without its nonce.
var errEarly = errors.New("data came before the answer to the upgrade")

// taking gives an upgrade the connection as the link wants it, and the gate
// the connection as it is.
type taking struct {
	http.ResponseWriter
	m *Manager
	h *handshake
}

func (t taking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.m.gate.took(t.h, c)
	if rw.Reader.Buffered() > 0 { // no dialer of ours: it would say nothing before the answer
		t.m.refused.note(hostOf(c.RemoteAddr().String()), refusedMalformed, errEarly.Error(), true)
		cut(c)
		return nil, nil, errEarly
	}
	metered := link.Meter(&abrupt{Conn: c}, t.m.limits.ofLink())
	// The server's reader reads past the meter, and releases of gorilla/websocket
	// differ in whether they go on with it as it is.
	rw.Reader.Reset(metered)
	return metered, rw, nil
}

// accept upgrades and answers the dialer's hello.
func (m *Manager) accept(w http.ResponseWriter, r *http.Request, h *handshake) {
	size, pool := link.WriteBuffers(m.limits.ofLink())
	up := websocket.Upgrader{
		Subprotocols: []string{subprotocol}, WriteBufferSize: size, WriteBufferPool: pool,
		CheckOrigin: func(*http.Request) bool { return true }, // there is none, see serveHTTP
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			if h.conn != nil {
				return // it was taken over, and closed: nobody is there to be answered
			}
			w.Header().Set("Connection", "close")
			http.Error(w, "this is no upgrade that RFC 6455 knows", status)
		},
	}
	g := &greeter{m: m, rotations: h.came.rotations}
	var err error
	if g.room, err = roomIn(r.Header); err != nil {
		m.refused.note(hostOf(r.RemoteAddr), refusedMalformed, err.Error(), true)
		w.Header().Set("Connection", "close")
		http.Error(w, headerRoom+" is no number of bytes for a hello", http.StatusBadRequest)
		return
	}
	header := http.Header{headerRoom: {strconv.Itoa(m.limits.HelloBytes)}}
	if m.o.Auth != nil {
		g.tr.acceptorNonce = newNonce()
		header.Set(headerNonce, encodeNonce(g.tr.acceptorNonce))
	}
	ws, err := up.Upgrade(taking{w, m, h}, r, header)
	if err != nil {
		return // gorilla has answered or closed
	}
	g.ws = ws
	// One time limit for all of it, however the bytes trickle in.
	ctx, cancel := context.WithDeadline(m.ctx, h.came.at.Add(m.limits.HandshakeTimeout))
	defer cancel()
	guard := context.AfterFunc(ctx, func() { cut(ws.NetConn()) })
	s, seen, err := g.answer(ctx, r)
	if !guard() && err == nil { // too late by a hair: the guard is closing it
		err = context.Cause(ctx)
	}
	if err != nil {
		cut(ws.NetConn())
		return
	}
	s.cfg.Transport = link.NewWebSocket(ws, m.limits.ofLink())
	if !m.gate.over(h) { // before it is a link: from now on no stranger can have it cut
		cut(ws.NetConn()) // one just has
		return
	}
	if p := m.members.Load().byName[s.cfg.Remote]; p == nil || !p.install(s, seen) {
		_ = s.cfg.Transport.Close()
	}
}

// answer reads the dialer's hello and answers it with ours or with a refusal.
func (g *greeter) answer(ctx context.Context, r *http.Request) (*shaken, *life, error) {
	m := g.m
	from := hostOf(r.RemoteAddr)
	kind, proof, body, err := g.read(m.limits.HelloBytes)
	var s *shaken
	var seen *life
	if err == nil {
		s, seen, err = g.judge(ctx, r, kind, proof, body)
	}
	var ref *refusal
	gone := (*websocket.CloseError)(nil)
	switch {
	case err == nil:
		return s, seen, nil
	case errors.As(err, &ref):
		if ref.peer != "" {
			from = ref.peer
		}
		m.refused.note(from, ref.Code, ref.Message, true)
		g.refuse(ref)
	case late(ctx):
		m.refused.note(from, refusedMalformed, fmt.Sprintf("no hello within %v", m.limits.HandshakeTimeout), true)
	case !errors.As(err, &gone): // else it has gone away by itself
		m.refused.note(from, refusedMalformed, err.Error(), true)
	}
	return nil, nil, err
}

// late reports whether ctx's time is over. Its timer may not know yet: the gate
// has another one.
func late(ctx context.Context) bool {
	until, ok := ctx.Deadline()
	return ok && !time.Now().Before(until)
}

// judge decides on a dialer's hello. If it is accepted, the hello that says so
// has been sent, and seen is the link that it replaces. The order matters:
// nothing is parsed of who has not proved the token, and nothing of the list
// is told to who has not shown its certificate.
func (g *greeter) judge(ctx context.Context, r *http.Request, kind greetingKind, proof [proofSize]byte, body []byte) (_ *shaken, seen *life, _ error) {
	m := g.m
	refuse := func(peer, code, format string, args ...any) (*shaken, *life, error) {
		return nil, nil, &refusal{Code: code, Message: fmt.Sprintf(format, args...), peer: peer, ours: true}
	}
	if err := g.checkProof(r, proof); err != nil {
		return refuse("", refusedToken, "%v", err)
	}
	if kind != greetHello {
		return refuse("", refusedMalformed, "greeting of kind %d, expected is a hello", kind)
	}
	h, err := parseHello(body)
	if other := errVersion(0); errors.As(err, &other) {
		return refuse("", refusedVersion, "%v", err)
	} else if err != nil {
		return refuse("", refusedMalformed, "%v", err)
	}
	if err := h.checkHandlers(m.limits.MaxHandlers); err != nil {
		return refuse("", refusedMalformed, "%v", err)
	}
	switch {
	case h.Name != r.Header.Get(headerFrom) || h.To != r.Header.Get(headerTo) || h.Grid != r.Header.Get(headerGrid):
		return refuse("", refusedMalformed, "the hello's grid, name or to is not that of the upgrade")
	case h.Grid != m.o.Grid:
		return refuse(h.Name, refusedGrid, "this node is of grid %q, you are of %q", m.o.Grid, h.Grid)
	case h.Instance == m.instance:
		return refuse(h.Name, refusedSelf, "this node has dialled itself under the name %s; take that name off its list", h.To)
	case h.To != m.local:
		return refuse(h.Name, refusedName, "this node is %s, not %s", m.local, h.To)
	}
	seenCert, err := m.verifyDialer(r.TLS, h.Name)
	if err != nil {
		return refuse(h.Name, refusedCert, "%v", err)
	}
	p := m.members.Load().byName[h.Name]
	switch {
	case p == nil:
		return nil, nil, g.refuseStranger(h)
	case p.dialer:
		return refuse(h.Name, refusedDialer, "of the pair %s and %s, the latter dials", h.Name, m.local)
	case m.leaving.Load():
		return refuse(h.Name, refusedDraining, "%s is shutting down", m.local)
	}
	if seen, err = p.makeRoom(ctx, h); err != nil {
		return nil, nil, err
	}
	s := g.newShaken(p, h, seenCert)
	s.token = newLinkToken()
	s.renew = h.Renew && seen != nil
	s.cfg.Announced, err = g.sendHello(h.Name, s.token, false)
	return s, seen, err
}

// checkProof checks the dialer's proof of the token, before anything of its
// message is parsed, and prepares ours, made with the same token.
func (g *greeter) checkProof(r *http.Request, proof [proofSize]byte) error {
	auth := g.m.o.Auth
	nonce := r.Header.Get(headerNonce)
	switch {
	case auth == nil && nonce == "":
		return nil
	case auth == nil:
		return errors.New("this node has no shared token, you have one")
	case nonce == "":
		return errors.New("this node demands a shared token, you have none")
	}
	tokens, err := auth.tokens()
	if err != nil {
		g.m.log.Error("shared token is missing, no peer can come in", "error", err)
		return errors.New("this node has no shared token at the moment")
	}
	if g.tr.dialerNonce, err = decodeNonce(nonce); err != nil {
		return err
	}
	if g.tr.exporter, err = exporterOf(r.TLS); err != nil {
		return err
	}
	g.tr.dialer, g.tr.acceptor, g.tr.grid = r.Header.Get(headerFrom), r.Header.Get(headerTo), r.Header.Get(headerGrid)
	token := g.tr.proved(tokens, proofOfDialer, proof)
	if token == nil {
		return errors.New("the proof of the shared token is wrong: the tokens differ, or something between us is not transparent")
	}
	g.mine = g.tr.prove(token, proofOfAcceptor)
	return nil
}

// refuseStranger refuses a node that is not in the list. The newer list
// decides: if it is ours, the node is given it; if it is theirs, we ask for it.
func (g *greeter) refuseStranger(h *hello) error {
	list := g.m.members.Load().list
	ref := &refusal{Code: refusedNotPeer, Epoch: list.Epoch, peer: h.Name, ours: true,
		Message: fmt.Sprintf("%s is not in the peer list of %s, whose epoch is %d; yours is %d", h.Name, g.m.local, list.Epoch, h.Epoch)}
	if raw := list.Raw(); raw != nil && list.Epoch > h.Epoch {
		if err := g.write(greetList, raw); err != nil {
			return err
		}
	}
	ref.behind = list.Epoch < h.Epoch && g.m.o.VerifyList != nil
	return ref
}

// refuse sends a refusal, and takes the list of who is ahead of us.
func (g *greeter) refuse(ref *refusal) {
	if len(ref.Message) > maxSentence {
		ref.Message = ref.Message[:maxSentence]
	}
	if g.write(greetRefusal, encodeRefusal(ref)) != nil || !ref.behind {
		return
	}
	kind, proof, raw, err := g.read(g.m.limits.ListBytes)
	if err != nil || kind != greetList || g.m.o.Auth != nil && !g.provedAgain(proof) {
		return // an older node, or one that has no signed list
	}
	g.m.handedOver(ref.peer, raw)
}

// makeRoom finds out whether another link to p may be made, and in whose place.
func (p *peer) makeRoom(ctx context.Context, h *hello) (seen *life, err error) {
	p.mu.Lock()
	seen = p.held
	p.mu.Unlock()
	if seen == nil || h.Token == seen.token {
		return seen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.m.limits.ProbeTimeout)
	defer cancel()
	if seen.link.Probe(ctx) == nil {
		return nil, &refusal{Code: refusedDuplicate, peer: p.name, ours: true,
			Message: fmt.Sprintf("a node of the name %s is linked with %s and alive since %s; two nodes cannot have one name",
				p.name, p.m.local, seen.since.UTC().Format(time.RFC3339))}
	}
	return seen, nil
}
