package grid

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

var (
	oldToken   = []byte("the token of last year")
	newToken   = []byte("the token of this year")
	otherToken = []byte("the token of other people")
)

func tokens(all ...[]byte) func(*Options) {
	return func(o *Options) {
		if len(all) > 0 {
			o.Auth = SharedToken(all...)
		}
	}
}

// Who knows a token in force is linked, through each step of a rotation; who
// does not is refused, and both say so once (fault row 56).
func TestTokensThatLink(t *testing.T) {
	type set = [][]byte
	for name, c := range map[string]struct {
		dialer, acceptor set
		refused          string // what the acceptor says; empty: it doesn't refuse
	}{
		"the same":             {dialer: set{oldToken}, acceptor: set{oldToken}},
		"rotation, appended":   {dialer: set{oldToken, newToken}, acceptor: set{oldToken}},
		"rotation, appended 2": {dialer: set{oldToken}, acceptor: set{oldToken, newToken}},
		"rotation, in front":   {dialer: set{newToken, oldToken}, acceptor: set{oldToken, newToken}},
		"rotation, in front 2": {dialer: set{oldToken, newToken}, acceptor: set{newToken, oldToken}},
		"rotation, alone":      {dialer: set{newToken}, acceptor: set{newToken, oldToken}},
		"rotation, alone 2":    {dialer: set{newToken, oldToken}, acceptor: set{newToken}},
		"another":              {dialer: set{otherToken}, acceptor: set{oldToken}, refused: "the proof of the shared token is wrong"},
		"an old one":           {dialer: set{oldToken}, acceptor: set{newToken}, refused: "the proof of the shared token is wrong"},
		"the dialer has none":  {acceptor: set{oldToken}, refused: "demands a shared token, you have none"},
		"only the dialer":      {dialer: set{oldToken}, refused: "has no shared token, you have one"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				names := []string{"node-0:1", "node-1:1"}
				b := n.start(t, names[1], names, tokens(c.acceptor...))
				a := n.start(t, names[0], names, tokens(c.dialer...))
				if c.refused == "" {
					mustLink(t, a, b)
					return
				}
				time.Sleep(5 * time.Minute)
				if a.Connection(names[1]).State() == StateLinked {
					t.Error("they are linked")
				}
				if lines := b.logs.with("WARN handshake refused", "code=token", c.refused); len(lines) != 1 {
					t.Errorf("the acceptor logs %q", b.logs.with("WARN"))
				}
				if lines := a.logs.with("WARN a peer refused", "code=token", c.refused); len(lines) != 1 {
					t.Errorf("the dialer logs %q", a.logs.with("WARN"))
				}
				for _, nd := range []*node{a, b} {
					if len(nd.logs.with(string(oldToken))) != 0 {
						t.Error("a token is logged")
					}
				}
			})
		})
	}
}

// A recorded hello is worth nothing on another connection (fault row 56).
func TestHelloCanNotBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		recorded := make(chan []byte, 1)
		nonce := make(chan string, 1)
		n.acceptor(t, "node-1:1", func(ws *websocket.Conn, r *http.Request) {
			_, b, err := ws.ReadMessage()
			if err == nil {
				recorded <- b
				nonce <- r.Header.Get(headerNonce)
			}
		})
		a := n.start(t, "node-0:1", []string{"node-1:1"}, tokens(oldToken))
		hello, used := <-recorded, <-nonce
		a.stop()

		b := n.start(t, "node-1:1", []string{"node-0:1"}, tokens(oldToken))
		s := n.knock(t, "node-0:1", "node-1:1", func(h http.Header) { h.Set(headerNonce, used) })
		if s.nonce == "" {
			t.Fatal("the acceptor sends no nonce")
		}
		s.send(hello)
		if _, ref := s.answer(); ref == nil || ref.Code != refusedToken {
			t.Errorf("answered %+v", ref)
		}
		s.mustClose()
		if b.Connection("node-0:1").State() == StateLinked {
			t.Error("it is linked")
		}
	})
}

// Nothing of a stranger's message is parsed before its proof holds.
func TestProofIsCheckedBeforeAnythingIsParsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.start(t, "node-1:1", []string{"node-0:1"}, tokens(oldToken))
		s := n.knock(t, "node-0:1", "node-1:1", func(h http.Header) { h.Set(headerNonce, encodeNonce(newNonce())) })
		s.send(appendGreeting(greetHello, [proofSize]byte{1}, []byte("no msgpack")))
		if _, ref := s.answer(); ref == nil || ref.Code != refusedToken {
			t.Errorf("answered %+v", ref)
		}
	})
}

// What an acceptor says that has not proved the token is not acted on: it can't
// make a node link, nor stop dialling for good.
func TestDialerWantsTheAcceptorsProof(t *testing.T) {
	refuse := encodeRefusal(&refusal{Code: refusedSelf, Message: "give up"})
	for name, b := range map[string][]byte{
		"hello":   appendGreeting(greetHello, [proofSize]byte{1}, edit("x", 1)),
		"refusal": appendGreeting(greetRefusal, [proofSize]byte{1}, refuse),
		"list":    appendGreeting(greetList, [proofSize]byte{1}, []byte("list")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				up := websocket.Upgrader{Subprotocols: []string{subprotocol}}
				l := n.listen("node-1:1")
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ws, err := up.Upgrade(w, r, http.Header{headerNonce: {encodeNonce(newNonce())}})
					if err != nil {
						return
					}
					defer func() { _ = ws.Close() }()
					_, _, _ = ws.ReadMessage()
					_ = ws.WriteMessage(websocket.BinaryMessage, b)
					hangUp(ws)
				})}
				go func() { _ = srv.Serve(l) }()
				defer func() { _ = srv.Close() }()
				a := n.start(t, "node-0:1", []string{"node-1:1"}, tokens(oldToken))
				time.Sleep(2 * time.Minute)
				if got := n.dialsTo("node-1:1"); got < 3 {
					t.Errorf("it has stopped after %d dials", got)
				}
				all := a.Refusals()
				if len(all) == 0 || all[0].Code != refusedToken || a.Connection("node-1:1").State() == StateLinked {
					t.Errorf("kept are %+v", all)
				}
			})
		})
	}
}

// With TLS the proof is bound to the channel: who sits between the two, even
// with certificates for both, can't carry it over.
func TestProofIsBoundToTheTLSChannel(t *testing.T) {
	ca := newAuthority(t)
	n := newTCP()
	names := []string{dialerName, acceptorName}
	with := func(host string) func(*Options) {
		return func(o *Options) {
			secured(StaticTLS(ca.issue(t, nil, host), ca.pool()))(o)
			o.Auth = SharedToken(oldToken)
		}
	}
	b := n.start(t, acceptorName, names, with(acceptorHost))
	behind := n.tcp[acceptorName]
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.issue(t, nil, acceptorHost)}, ClientAuth: tls.RequestClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	var between sync.WaitGroup
	defer between.Wait()
	defer func() { _ = l.Close() }()
	between.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", behind, &tls.Config{
				MinVersion: tls.VersionTLS13, RootCAs: ca.pool(), ServerName: acceptorHost, Certificates: []tls.Certificate{ca.issue(t, nil, dialerHost)},
			})
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				between.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = in.Close(), out.Close()
				})
			}
		}
	})
	n.mu.Lock()
	n.tcp[acceptorName] = l.Addr().String()
	n.mu.Unlock()
	a := n.start(t, dialerName, names, with(dialerHost))
	eventually(t, "the proof is refused", func() bool { return b.Stats().Refused[refusedToken] > 0 && a.Stats().Refused[refusedToken] > 0 })
	if a.Connection(acceptorName).State() == StateLinked {
		t.Error("they are linked through the one between them")
	}
	a.stop()
	b.stop()
}

// Tokens are asked for at each handshake: a rotation needs no restart, and
// touches no link.
func TestTokensRotateWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var now atomic.Pointer[[][]byte]
		now.Store(&[][]byte{oldToken})
		live := func(o *Options) { o.Auth = &Auth{Tokens: func() [][]byte { return *now.Load() }} }
		a, b := n.pair(t, live)
		now.Store(&[][]byte{newToken})
		mustLink(t, a, b)
		if got := n.dialsTo(b.Local()); got != 1 {
			t.Errorf("%d dials", got)
		}
		time.Sleep(time.Minute)
		n.cut(b.Local())
		synctest.Wait()
		mustLink(t, a, b)
		now.Store(&[][]byte{})
		time.Sleep(time.Minute)
		n.cut(b.Local())
		time.Sleep(time.Minute)
		if why := a.Connection(b.Local()).peer.whyDown(); !strings.Contains(why, "Auth.Tokens") {
			t.Errorf("without tokens the reason is %q", why)
		}
		now.Store(&[][]byte{newToken})
		mustLink(t, a, b)
	})
}
