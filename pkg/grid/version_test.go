package grid

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// Servers that do not speak this version, or nothing like it: the dialer says
// what it met, once, and goes on dialling (field case 18, K3; fault row 74).
func TestDialerSaysWhatItMet(t *testing.T) {
	upgrade := func(sub string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var header http.Header
			if sub != "" {
				header = http.Header{"Sec-Websocket-Protocol": {sub}}
			}
			ws, err := (&websocket.Upgrader{}).Upgrade(w, r, header)
			if err == nil {
				hangUp(ws)
				_ = ws.Close()
			}
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "said the server", code) }
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		code  string // empty: no refusal, an error
		words string
	}{
		"no grid at this path": {status(404), refusedVersion, "no grid of this version at this path"},
		"too busy":             {status(503), refusedBusy, "said the server"},
		"not understood":       {status(400), refusedMalformed, "said the server"},
		"forbidden":            {status(403), refusedMalformed, "said the server"},
		"a web page":           {status(200), "", "200 OK"},
		"broken":               {status(500), "", "500 Internal"},
		"a later subprotocol":  {upgrade("gridmesh.v2"), refusedVersion, `"gridmesh.v2", not gridmesh.v1`},
		"no subprotocol":       {upgrade(""), refusedVersion, "not gridmesh.v1"},
		"a long answer": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x", 1<<20), http.StatusNotFound)
		}, refusedVersion, "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				srv := &http.Server{Handler: c.serve, ReadHeaderTimeout: time.Second}
				ln := n.listen("node-1:1") // before anybody dials
				go func() { _ = srv.Serve(ln) }()
				defer func() { _ = srv.Close() }()
				a := n.start(t, "node-0:1", []string{"node-1:1"})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				why := a.Connection("node-1:1").peer.whyDown()
				if !strings.Contains(why, c.words) || len(why) > 1000 {
					t.Errorf("the reason is %q", why)
				}
				if all := a.Refusals(); c.code != "" && (len(all) == 0 || all[0].Code != c.code) || c.code == "" && len(all) != 0 {
					t.Errorf("kept are %+v", all)
				}
				if got := len(a.logs.with("node-1:1", c.words)); got != 1 {
					t.Errorf("logged %d times: %q", got, a.logs.with())
				}
				if got := n.dialsTo("node-1:1"); got < 10 {
					t.Errorf("%d dials in five minutes", got)
				}
			})
		})
	}
}

// Nodes of this and of a later minor version are linked: keys of the hello
// that this one does not know are passed over, on both sides (fault row 74).
func TestLaterHelloIsUnderstood(t *testing.T) {
	later := func(h *hello) []byte {
		body, _ := appendHello(nil, h, testRoom)
		// One more pair, in a map of fifteen at most: its head is one byte.
		body[0]++
		body = append(body, "\xa5later\x82\xa1a\x93\x01\x02\xc0\xa1b\xc3"...)
		return appendGreeting(greetHello, [proofSize]byte{}, body)
	}
	t.Run("dialer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			nd := n.start(t, "node-1:1", []string{"node-0:1"})
			s := n.knock(t, "node-0:1", "node-1:1", func(h http.Header) { h.Set("Gridmesh-Later", "x") })
			s.send(later(helloOf("node-0:1", "node-1:1")))
			h, ref := s.answer()
			if ref != nil || h.Token == (linkToken{}) || h.Name != "node-1:1" || h.Instance != nd.instance || len(h.Handlers) == 0 {
				t.Errorf("answered %+v, %+v", h, ref)
			}
			synctest.Wait()
			if got := nd.Connection("node-0:1").State(); got != StateLinked {
				t.Errorf("the peer is %v", got)
			}
		})
	})
	t.Run("acceptor", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			n.acceptor(t, "node-1:1", func(ws *websocket.Conn, r *http.Request) {
				if got := fmt.Sprintln(r.Header[headerGrid], r.Header[headerFrom], r.Header[headerTo], r.URL.Path, r.Host); got != "[default] [node-0:1] [node-1:1] /grid/v1 node-1:1\n" {
					t.Errorf("the upgrade says %s", got)
				}
				_, _, _ = ws.ReadMessage()
				h := helloOf("node-1:1", "node-0:1")
				h.Token = linkToken{1}
				_ = ws.WriteMessage(websocket.BinaryMessage, later(h))
				hangUp(ws)
			})
			nd := n.start(t, "node-0:1", []string{"node-1:1"})
			synctest.Wait()
			if got := nd.Connection("node-1:1").State(); got != StateLinked {
				t.Errorf("the peer is %v: %v", got, nd.Refusals())
			}
		})
	})
}
