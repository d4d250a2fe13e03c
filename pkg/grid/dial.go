package grid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// connect dials p and shakes hands. Whatever goes wrong, the connection is closed.
func (m *Manager) connect(p *peer, from attempt) (*shaken, error) {
	raw, err := m.reach(from.ctx, p)
	if err != nil {
		return nil, err
	}
	// One time limit for all that follows, however the bytes trickle in.
	ctx, cancel := context.WithTimeout(from.ctx, m.limits.HandshakeTimeout)
	defer cancel()
	guard := context.AfterFunc(ctx, func() { _ = raw.Close() })
	s, err := m.greet(ctx, p, from, raw)
	if !guard() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return s, nil
	}
	_ = raw.Close()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no handshake within %v: %w", m.limits.HandshakeTimeout, err)
	}
	var ref *refusal
	if !errors.As(err, &ref) && alert(err) {
		ref = &refusal{Code: tlsRefusal(err.Error()), Message: "TLS handshake: " + err.Error()}
		err = ref
	}
	if ref != nil {
		m.refused.note(p.name, ref.Code, ref.Message, ref.ours)
	}
	return nil, fmt.Errorf("handshake with %s: %w", p.name, err)
}

// reach makes the raw connection. A name that does not resolve yet is dialled
// by the hint of the signed list, if that has one.
func (m *Manager) reach(ctx context.Context, p *peer) (net.Conn, error) {
	addr, err := m.resolve(ctx, p.name)
	var c net.Conn
	if err == nil {
		if c, err = m.dialRaw(ctx, addr); err == nil {
			return c, nil
		}
	}
	var unresolved *net.DNSError
	hint := m.members.Load().list.Hints[p.name]
	if hint == "" || addr != "" && !errors.As(err, &unresolved) {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(p.name)
	return m.dialRaw(ctx, net.JoinHostPort(hint, port))
}

func (m *Manager) resolve(ctx context.Context, name string) (string, error) {
	if m.o.Resolve == nil {
		return name, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.limits.ResolveTimeout)
	defer cancel()
	addr, err := m.o.Resolve(ctx, name)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	return addr, nil
}

func (m *Manager) dialRaw(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.limits.DialTimeout)
	defer cancel()
	dial := m.o.Dial
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr) // links have pings of their own
		}
	}
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return c, nil
}

// greet makes a raw connection a link's.
func (m *Manager) greet(ctx context.Context, p *peer, from attempt, raw net.Conn) (*shaken, error) {
	g := &greeter{m: m, tr: transcript{dialer: m.local, acceptor: p.name, grid: m.o.Grid}, rotations: m.rotations.Load()}
	conn := &abrupt{Conn: raw, limited: true, head: m.limits.HeaderBytes}
	var cert proven
	if m.o.TLS != nil {
		cfg, err := m.clientTLS(p, func(got proven) { cert = got })
		if err != nil {
			return nil, err
		}
		secure := tls.Client(raw, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		cs := secure.ConnectionState()
		if g.tr.exporter, err = exporterOf(&cs); err != nil {
			return nil, err
		}
		conn.Conn = secure
	}
	token, err := g.upgrade(ctx, p, conn)
	if err != nil {
		return nil, err
	}
	announced, err := g.sendHello(p.name, from.token, from.renew)
	if err != nil {
		return nil, err
	}
	h, err := g.readAnswer(token)
	if err != nil {
		return nil, err
	}
	if err := m.checkAnswer(p, h); err != nil {
		return nil, err
	}
	s := g.newShaken(p, h, cert)
	s.token, s.dialed, s.renew = h.Token, true, from.renew
	s.cfg.Announced = announced
	s.cfg.Transport = link.NewWebSocket(g.ws, m.limits.ofLink())
	return s, nil
}

// upgrade asks for the WebSocket. It gives the token that was proved with, nil
// without Auth.
func (g *greeter) upgrade(ctx context.Context, p *peer, conn *abrupt) (token []byte, err error) {
	m := g.m
	size, pool := link.WriteBuffers(m.limits.ofLink())
	header := http.Header{headerGrid: {m.o.Grid}, headerFrom: {m.local}, headerTo: {p.name}, headerRoom: {strconv.Itoa(m.limits.HelloBytes)}}
	if m.o.Auth != nil {
		g.tr.dialerNonce = newNonce()
		header.Set(headerNonce, encodeNonce(g.tr.dialerNonce))
	}
	d := websocket.Dialer{
		Subprotocols: []string{subprotocol}, WriteBufferSize: size, WriteBufferPool: pool, Proxy: nil,
		NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			return link.Meter(conn, m.limits.ofLink()), nil
		},
	}
	// The scheme is ws under TLS too: the connection is made already.
	ws, resp, err := d.DialContext(ctx, "ws://"+p.name+m.o.Path, header) //nolint:bodyclose // gorilla gives one that is read already
	if err != nil {
		return nil, upgradeError(p.name, resp, err)
	}
	conn.limited = false // from here on the WebSocket's limits hold
	g.ws = ws
	if ws.Subprotocol() != subprotocol {
		return nil, &refusal{Code: refusedVersion, Message: fmt.Sprintf("%s speaks %.100q, not %s", p.name, ws.Subprotocol(), subprotocol), ours: true}
	}
	if g.room, err = roomIn(resp.Header); err != nil {
		return nil, &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
	}
	nonce := resp.Header.Get(headerNonce)
	if m.o.Auth == nil {
		return nil, nil // if they demand a token, their refusal says so
	}
	tokens, err := m.o.Auth.tokens()
	if err != nil {
		return nil, err
	}
	if nonce == "" {
		return tokens[0], nil // they have none: their refusal says so, without a proof of ours
	}
	if g.tr.acceptorNonce, err = decodeNonce(nonce); err != nil {
		return nil, &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
	}
	g.mine = g.tr.prove(tokens[0], proofOfDialer)
	return tokens[0], nil
}

// upgradeError says what an answer that is no upgrade means.
func upgradeError(name string, resp *http.Response, err error) error {
	if resp == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSentence))
	said := fmt.Sprintf("%s answers the upgrade with %.64q: %.256q", name, resp.Status, strings.TrimSpace(string(text)))
	switch resp.StatusCode {
	case http.StatusNotFound:
		return &refusal{Code: refusedVersion, Message: said + "; it has no grid of this version at this path"}
	case http.StatusServiceUnavailable:
		return &refusal{Code: refusedBusy, Message: said}
	case http.StatusBadRequest, http.StatusUpgradeRequired, http.StatusForbidden, http.StatusMethodNotAllowed:
		return &refusal{Code: refusedMalformed, Message: said}
	}
	return errors.New(said)
}

// readAnswer reads the acceptor's hello or refusal, and the list that may come
// before a refusal. token is what it must have proved.
func (g *greeter) readAnswer(token []byte) (*hello, error) {
	limit := g.m.limits.ListBytes
	for {
		kind, proof, body, err := g.read(limit)
		if err != nil {
			return nil, err
		}
		proved := token == nil || g.tr.acceptorNonce != nil && g.tr.proved([][]byte{token}, proofOfAcceptor, proof) != nil
		switch {
		case kind == greetRefusal:
			return nil, g.refusedBy(body, proved)
		case !proved:
			return nil, &refusal{Code: refusedToken, Message: "the other side gives no proof of the shared token", ours: true}
		case kind == greetHello:
			h, err := parseHello(body)
			if other := errVersion(0); errors.As(err, &other) {
				return nil, &refusal{Code: refusedVersion, Message: err.Error(), ours: true}
			} else if err != nil {
				return nil, &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
			}
			return h, nil
		case kind == greetList && limit != g.m.limits.HelloBytes: // once, before a refusal
			limit = g.m.limits.HelloBytes
			g.m.handedOver(g.tr.acceptor, body)
		default:
			return nil, &refusal{Code: refusedMalformed, Message: fmt.Sprintf("greeting of kind %d", kind), ours: true}
		}
	}
}

// refusedBy reads a refusal, and hands our list to who is behind us.
func (g *greeter) refusedBy(body []byte, proved bool) error {
	ref, err := parseRefusal(body)
	if err != nil {
		return &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
	}
	if !proved {
		// Anybody may have written it: what it says is not acted on.
		return &refusal{Code: refusedToken, Message: fmt.Sprintf("refused without a proof of the shared token: %s: %s", ref.Code, ref.Message)}
	}
	list := g.m.members.Load().list
	if ref.Code == refusedNotPeer && ref.Epoch < list.Epoch && list.Raw() != nil {
		if g.write(greetList, list.Raw()) == nil {
			ref.handed = list.Epoch
		}
	}
	return ref
}

// checkAnswer checks the hello of who was dialled as p.
func (m *Manager) checkAnswer(p *peer, h *hello) error {
	if err := h.checkHandlers(m.limits.MaxHandlers); err != nil {
		return &refusal{Code: refusedMalformed, Message: err.Error(), ours: true}
	}
	switch {
	case h.Instance == m.instance:
		return &refusal{Code: refusedSelf, Message: "this node has dialled itself under the name " + p.name + "; take that name off its list", ours: true}
	case h.Grid != m.o.Grid:
		return &refusal{Code: refusedGrid, Message: fmt.Sprintf("it is of grid %q, this node of %q", h.Grid, m.o.Grid), ours: true}
	case h.Name != p.name:
		return &refusal{Code: refusedName, Message: fmt.Sprintf("it is %s, dialled was %s", h.Name, p.name), ours: true}
	case h.To != m.local:
		return &refusal{Code: refusedMalformed, Message: fmt.Sprintf("it takes this node for %s", h.To), ours: true}
	case h.Token == linkToken{}:
		return &refusal{Code: refusedMalformed, Message: "hello: token is missing", ours: true}
	}
	return nil
}
