package grid

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

var testSide = link.Side{MaxMessage: 1 << 20, MaxCalls: 16, StreamWindow: 1 << 16, EagerWindow: 1 << 20, Eager: 1 << 18, MaxBatch: 1 << 18, MaxHeader: 1 << 12, MaxHandlers: 1 << 12}

// stranger is a scripted dialer: it upgrades as it likes and sends what it likes.
type stranger struct {
	t     testing.TB
	ws    *websocket.Conn
	nonce string // the acceptor's
}

// knock upgrades at to with the usual headers of from, changed by change.
func (n *network) knock(t testing.TB, from, to string, change func(http.Header)) *stranger {
	t.Helper()
	header := http.Header{headerGrid: {"default"}, headerFrom: {from}, headerTo: {to}}
	if change != nil {
		change(header)
	}
	d := websocket.Dialer{Subprotocols: []string{subprotocol}, NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return n.dial(ctx, to)
	}}
	ws, resp, err := d.Dial("ws://"+to+RoutePath, header)
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{t: t, ws: ws, nonce: resp.Header.Get(headerNonce)}
	t.Cleanup(func() { _ = ws.Close() })
	return s
}

// helloOf is a valid hello of from to to.
func helloOf(from, to string) *hello {
	return &hello{Grid: "default", Name: from, To: to, Instance: instanceID{1, 2}, Limits: testSide, Checksum: true, Topology: "full-mesh"}
}

func (s *stranger) send(b []byte) {
	s.t.Helper()
	if err := s.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stranger) hello(h *hello) {
	s.t.Helper()
	body, _ := appendHello(nil, h, testRoom)
	s.send(appendGreeting(greetHello, [proofSize]byte{}, body))
}

// answer is what comes back: a hello or a refusal.
func (s *stranger) answer() (*hello, *refusal) {
	s.t.Helper()
	_, b, err := s.ws.ReadMessage()
	if err != nil {
		s.t.Fatal(err)
	}
	kind, _, body, err := parseGreeting(b)
	if err != nil {
		s.t.Fatal(err)
	}
	if kind == greetHello {
		h, err := parseHello(body)
		if err != nil {
			s.t.Fatal(err)
		}
		return h, nil
	}
	r, err := parseRefusal(body)
	if err != nil {
		s.t.Fatalf("greeting of kind %d: %v", kind, err)
	}
	return nil, r
}

// mustClose waits until the other side has closed the connection.
func (s *stranger) mustClose() {
	s.t.Helper()
	_ = s.ws.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, _, err := s.ws.ReadMessage(); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				s.t.Error("the connection was not closed")
			}
			return
		}
	}
}

func manyHandlers(count int) []wire.Handler {
	all := make([]wire.Handler, count)
	for i := range all {
		all[i] = wire.Handler{Name: strconv.Itoa(i), Number: uint64(i)}
	}
	return all
}

// Each mistake of a dialer is answered with its code and a sentence, counted
// and logged once, and the socket is closed (fault rows 5-8, 54, 59, 62; field
// cases 9, 10, 18; G5, G7, W10).
func TestAcceptorAnswersEachMistakeWithItsCode(t *testing.T) {
	const to = "node-1:1"
	for name, c := range map[string]struct {
		from   string
		change func(*hello)
		header func(http.Header)
		raw    []byte // in place of the hello
		code   string
		words  string // of the sentence
	}{
		"another grid": {change: func(h *hello) { h.Grid = "other" }, header: func(h http.Header) { h.Set(headerGrid, "other") },
			code: refusedGrid, words: `of grid "default", you are of "other"`},
		"another name": {change: func(h *hello) { h.To = "node-3:1" }, header: func(h http.Header) { h.Set(headerTo, "node-3:1") },
			code: refusedName, words: "this node is node-1:1, not node-3:1"},
		"not in the list": {from: "node-8:1", code: refusedNotPeer, words: "node-8:1 is not in the peer list of node-1:1"},
		"wrong dialer":    {from: "node-2:1", code: refusedDialer, words: "the latter dials"},
		"garbage":         {raw: []byte("GET / HTTP/1.1"), code: refusedMalformed, words: "greeting"},
		"empty message":   {raw: []byte{}, code: refusedMalformed, words: "greeting of 0 bytes"},
		"no hello":        {raw: appendGreeting(greetList, [proofSize]byte{}, nil), code: refusedMalformed, words: "greeting of kind 3"},
		"unknown kind":    {raw: appendGreeting(99, [proofSize]byte{}, nil), code: refusedMalformed, words: "greeting of kind 99"},
		"no msgpack":      {raw: appendGreeting(greetHello, [proofSize]byte{}, []byte("text")), code: refusedMalformed, words: "hello is of type"},
		"a later version": {raw: appendGreeting(greetHello, [proofSize]byte{}, edit("v", 2)), code: refusedVersion, words: "version 2"},
		"header and hello differ": {header: func(h http.Header) { h.Set(headerFrom, "node-4:1") },
			code: refusedMalformed, words: "not that of the upgrade"},
		"no instance": {change: func(h *hello) { h.Instance = instanceID{} }, code: refusedMalformed, words: "instance"},
		"a handler twice": {change: func(h *hello) { h.Handlers = []wire.Handler{{Name: "a"}, {Name: "a", Number: 1}} },
			code: refusedMalformed, words: `handlers has "a" twice`},
		"no limits": {change: func(h *hello) { h.Limits = link.Side{} }, code: refusedMalformed, words: "limits"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				nd := n.start(t, to, []string{to, "node-0:1", "node-2:1"})
				from := c.from
				if from == "" {
					from = "node-0:1"
				}
				for range 3 {
					s := n.knock(t, from, to, c.header)
					if c.raw != nil {
						s.send(c.raw)
					} else {
						h := helloOf(from, to)
						if c.change != nil {
							c.change(h)
						}
						s.hello(h)
					}
					_, ref := s.answer()
					if ref == nil || ref.Code != c.code || !strings.Contains(ref.Message, c.words) {
						t.Fatalf("answered %+v, expected is %s: …%s…", ref, c.code, c.words)
					}
					s.mustClose()
					_ = s.ws.Close()
				}
				synctest.Wait()
				if lines := nd.logs.with("WARN handshake refused", "code="+c.code, c.words); len(lines) != 1 {
					t.Errorf("logged %d times: %q", len(lines), nd.logs.with("refused"))
				}
				if got := nd.Stats().Refused[c.code]; got != 3 {
					t.Errorf("counted %d times", got)
				}
				all := nd.Refusals()
				if last := all[len(all)-1]; len(all) != 3 || last.Code != c.code || !last.Ours || last.Time.IsZero() || !strings.Contains(last.Message, c.words) {
					t.Errorf("kept are %+v", all)
				}
				nd.stop()
				synctest.Wait()
				if got := n.openEnds(); got != 0 {
					t.Errorf("%d ends of connections are open", got)
				}
			})
		})
	}
}

// acceptor is a scripted node that is dialled.
func (n *network) acceptor(t testing.TB, name string, answer func(ws *websocket.Conn, r *http.Request)) {
	l := n.listen(name)
	up := websocket.Upgrader{Subprotocols: []string{subprotocol}}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.Close() }()
		answer(ws, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
}

// hangUp reads until the dialer has closed.
func hangUp(ws *websocket.Conn) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

// Whatever the code of a refusal, the dialer logs it once while it goes on
// dialling, keeps the sentence for Stats and Refusals, and closes its sockets;
// and it goes on slowly (field G7, G15, W10; faults row 7).
func TestDialerLogsARefusalOnce(t *testing.T) {
	for _, code := range append(slices.Clone(refusalCodes), "from-the-future") {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.acceptor(t, "node-1:1", func(ws *websocket.Conn, _ *http.Request) {
					_, _, _ = ws.ReadMessage()
					body := encodeRefusal(&refusal{Code: code, Message: "because of the test"})
					_ = ws.WriteMessage(websocket.BinaryMessage, appendGreeting(greetRefusal, [proofSize]byte{}, body))
					hangUp(ws)
				})
				nd := n.start(t, "node-0:1", []string{"node-1:1"})
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if lines := nd.logs.with("a peer refused our handshake", "node-1:1", "because of the test"); len(lines) != 1 && code != refusedDuplicate || len(lines) > 11 {
					t.Errorf("logged %d times: %q", len(lines), lines)
				}
				if lines := nd.logs.with("ERROR"); len(lines) != 0 {
					t.Errorf("errors are logged: %q", lines)
				}
				dials := n.dialsTo("node-1:1")
				if code == refusedSelf {
					if dials != 1 {
						t.Errorf("dialled itself %d times", dials)
					}
				} else if dials < 30 || dials > 80 { // full jitter up to 30 s: every 15 s
					t.Errorf("%d dials in ten minutes", dials)
				}
				counted := code
				if !slices.Contains(refusalCodes, code) {
					counted = refusedOther
				}
				s := nd.Stats()
				if got := s.Refused[counted]; int(got) != dials || len(s.Refused) != 1 {
					t.Errorf("counted %v of %d dials", s.Refused, dials)
				}
				if !strings.Contains(s.Links[0].LastError, "because of the test") {
					t.Errorf("the last error is %q", s.Links[0].LastError)
				}
				if got := len(nd.Refusals()); got > keptRefusals {
					t.Errorf("%d refusals are kept", got)
				}
				nd.stop()
				synctest.Wait()
				if got := n.openEnds(); got != 0 {
					t.Errorf("%d ends of connections are open", got)
				}
			})
		})
	}
}

// An acceptor that is not what was dialled is refused by the dialer (fault rows 7, 8, 54).
func TestDialerChecksTheAcceptorsHello(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hello)
		raw    []byte
		code   string
	}{
		"another grid":    {change: func(h *hello) { h.Grid = "other" }, code: refusedGrid},
		"another name":    {change: func(h *hello) { h.Name = "node-3:1" }, code: refusedName},
		"to another":      {change: func(h *hello) { h.To = "node-3:1" }, code: refusedMalformed},
		"no token":        {change: func(h *hello) { h.Token = linkToken{} }, code: refusedMalformed},
		"later version":   {raw: appendGreeting(greetHello, [proofSize]byte{}, edit("v", 2)), code: refusedVersion},
		"no msgpack":      {raw: appendGreeting(greetHello, [proofSize]byte{}, []byte("text")), code: refusedMalformed},
		"unknown kind":    {raw: appendGreeting(99, [proofSize]byte{}, nil), code: refusedMalformed},
		"bad refusal":     {raw: appendGreeting(greetRefusal, [proofSize]byte{}, []byte("text")), code: refusedMalformed},
		"many handlers":   {change: func(h *hello) { h.Handlers = manyHandlers(4097) }},
		"lists for ever":  {raw: appendGreeting(greetList, [proofSize]byte{}, []byte("list")), code: refusedMalformed},
		"nothing changed": {change: func(*hello) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.acceptor(t, "node-1:1", func(ws *websocket.Conn, _ *http.Request) {
					_, _, _ = ws.ReadMessage()
					b := c.raw
					if b == nil {
						h := helloOf("node-1:1", "node-0:1")
						h.Token = linkToken{1}
						c.change(h)
						body, _ := appendHello(nil, h, testRoom)
						b = appendGreeting(greetHello, [proofSize]byte{}, body)
					}
					_ = ws.WriteMessage(websocket.BinaryMessage, b)
					_ = ws.WriteMessage(websocket.BinaryMessage, b)
					hangUp(ws)
				})
				nd := n.start(t, "node-0:1", []string{"node-1:1"})
				synctest.Wait()
				all := nd.Refusals()
				if c.code == "" {
					if len(all) != 0 || nd.Stats().DialFailures != 0 {
						t.Errorf("refused a good hello: %+v", all)
					}
					return
				}
				if len(all) != 1 || all[0].Code != c.code || !all[0].Ours || all[0].Peer != "node-1:1" {
					t.Errorf("kept are %+v", all)
				}
				if len(nd.logs.with("WARN handshake refused", "code="+c.code)) != 1 {
					t.Errorf("logged is %q", nd.logs.with())
				}
			})
		})
	}
}
