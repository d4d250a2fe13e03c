package grid

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A peer that upgrades and then says nothing is cut after 5 s, in either role,
// and what trickles in does not help it (fault rows 13, 14; field case 9, W9).
func TestSilentPeersAreCut(t *testing.T) {
	t.Run("acceptor", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			nd := n.start(t, "node-1:1", []string{"node-0:1"})
			began := time.Now()
			s := n.knock(t, "node-0:1", "node-1:1", nil)
			s.mustClose()
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("cut after %v", took)
			}
			synctest.Wait()
			if len(nd.logs.with("handshake refused", "no hello within 5s")) != 1 {
				t.Errorf("logged is %q", nd.logs.with())
			}
		})
	})
	t.Run("acceptor, byte by byte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			n.start(t, "node-1:1", []string{"node-0:1"})
			began := time.Now()
			s := n.knock(t, "node-0:1", "node-1:1", nil)
			c := s.ws.NetConn()
			_, err := c.Write([]byte{0x82, 0xfe, 0x7f, 0xff, 0, 0, 0, 0}) // a masked message of 32767 bytes
			for err == nil {
				time.Sleep(3 * time.Second)
				_, err = c.Write([]byte{0})
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("cut after %v", took)
			}
		})
	})
	t.Run("dialer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			cut := make(chan time.Duration, 100)
			n.acceptor(t, "node-1:1", func(ws *websocket.Conn, _ *http.Request) {
				began := time.Now()
				hangUp(ws)
				cut <- time.Since(began)
			})
			nd := n.start(t, "node-0:1", []string{"node-1:1"})
			for range 3 { // and it dials again
				if took := <-cut; took != 5*time.Second {
					t.Errorf("the dialer waited for %v", took)
				}
			}
			synctest.Wait()
			if why := nd.Connection("node-1:1").peer.whyDown(); !strings.Contains(why, "no handshake within 5s") {
				t.Errorf("the reason is %q", why)
			}
			if len(nd.logs.with("WARN")) != 2 { // plain text, and this
				t.Errorf("logged is %q", nd.logs.with("WARN"))
			}
		})
	})
	t.Run("dialer, no answer to the upgrade", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			l := n.listen("node-1:1")
			n.start(t, "node-0:1", []string{"node-1:1"})
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for err == nil {
				_, err = c.Read(make([]byte, 1<<10))
			}
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("the dialer waited for %v", took)
			}
		})
	})
}

// The time for a handshake counts from the connection on: who uses some of it
// up in the TLS handshake or for the head has that much less for the rest, and
// is refused with a reason wherever it stops (fault rows 13, 14).
func TestHandshakeHasOneDeadline(t *testing.T) {
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		tls  bool
		step func(t *testing.T, c net.Conn, wait func()) // waits for two seconds twice
	}{
		"nothing":           {step: func(_ *testing.T, _ net.Conn, wait func()) { wait(); wait() }},
		"nothing, with TLS": {tls: true, step: func(_ *testing.T, _ net.Conn, wait func()) { wait(); wait() }},
		"a late upgrade":    {step: func(t *testing.T, c net.Conn, wait func()) { wait(); wait(); upgradeOver(t, c, "node-0:1", "node-1:1") }},
		"half of a head": {step: func(_ *testing.T, c net.Conn, wait func()) {
			wait()
			_, _ = c.Write([]byte("GET /grid/v1 HTTP/1.1\r\n"))
			wait()
		}},
		"a late TLS handshake": {tls: true, step: func(t *testing.T, c net.Conn, wait func()) { wait(); wait(); secureOver(t, c, ca) }},
		"TLS, then a late upgrade": {tls: true, step: func(t *testing.T, c net.Conn, wait func()) {
			wait()
			s := secureOver(t, c, ca)
			wait()
			upgradeOver(t, s, "node-0:1", "node-1:1")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				nd := n.start(t, "node-1:1", []string{"node-0:1"}, func(o *Options) {
					if c.tls {
						secured(StaticTLS(ca.issue(t, nil, "node-1"), ca.pool()))(o)
					}
				})
				raw, err := n.dial(t.Context(), "node-1:1")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = raw.Close() }()
				began := time.Now()
				c.step(t, raw, func() { time.Sleep(2 * time.Second) })
				for err == nil {
					_, err = raw.Read(make([]byte, 1000))
				}
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("cut after %v", took)
				}
				synctest.Wait()
				if lines := nd.logs.with("handshake refused", "code=malformed", "within 5s"); len(lines) != 1 || nd.Stats().Refused[refusedMalformed] != 1 {
					t.Errorf("logged is %q, counted %v", nd.logs.with(), nd.Stats().Refused)
				}
			})
		})
	}
}

// secureOver shakes hands with TLS as node-0.
func secureOver(t testing.TB, c net.Conn, ca *authority) *tls.Conn {
	t.Helper()
	s := tls.Client(c, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: ca.pool(), ServerName: "node-1", Certificates: []tls.Certificate{ca.issue(t, nil, "node-0")},
	})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// An answer to the upgrade without end is not read without end.
func TestHeadOfTheAnswerIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := n.listen("node-1:1")
		nd := n.start(t, "node-0:1", []string{"node-1:1"})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := c.Read(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}()
		sent := 0
		_, err = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n"))
		for i := 0; err == nil; i++ {
			var k int
			k, err = fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000))
			sent += k
		}
		if most := DefaultLimits().HeaderBytes + 2000; sent > most {
			t.Errorf("%d bytes of head were read, allowed are %d", sent, most)
		}
		synctest.Wait()
		if why := nd.Connection("node-1:1").peer.whyDown(); !strings.Contains(why, "Limits.HeaderBytes") {
			t.Errorf("the reason is %q", why)
		}
	})
}

// upgradeOver upgrades a connection that is made already.
func upgradeOver(t testing.TB, c net.Conn, from, to string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{subprotocol}, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	ws, _, err := d.Dial("ws://"+to+RoutePath, http.Header{headerGrid: {"default"}, headerFrom: {from}, headerTo: {to}})
	if err != nil {
		t.Fatal(err)
	}
	return ws
}
