package grid

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends a raw HTTP request and gives the answer and whether the connection was closed after it.
func (n *network) ask(t *testing.T, to, request string) (status int, header http.Header, body string, closed bool) {
	t.Helper()
	c, err := n.dial(context.Background(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() { _, _ = c.Write([]byte(request)) }()
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, 4096)
	k, _ := resp.Body.Read(b)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, resp.Header, "", false
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, err = br.ReadByte()
	ne, timeout := err.(net.Error)
	return resp.StatusCode, resp.Header, string(b[:k]), err != nil && !(timeout && ne.Timeout())
}

const (
	upgradeHead = "Host: node-1:1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: gridmesh.v1\r\n"
)

// What is no upgrade of a peer gets a short fixed answer and a closed
// connection; browsers, whatever they send, get nothing else (fault rows 57,
// 58; GHSA-8r62-w5wh-fc5m).
func TestOnlyUpgradesOfPeersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", nil)
		for name, c := range map[string]struct {
			request string
			status  int
		}{
			"an upgrade":              {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n", 101},
			"origin":                  {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: https://node-1:1\r\n\r\n", 403},
			"origin http":             {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: http://node-1:1\r\n\r\n", 403},
			"origin null":             {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: null\r\n\r\n", 403},
			"origin empty":            {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin:\r\n\r\n", 403},
			"origin lower case":       {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "origin: https://a\r\n\r\n", 403},
			"origin twice":            {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: \r\norigin: https://a\r\n\r\n", 403},
			"origin, encoded path":    {"GET /%67rid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: https://a\r\n\r\n", 403},
			"origin, other path":      {"GET /other HTTP/1.1\r\n" + upgradeHead + "Origin: https://a\r\n\r\n", 403},
			"origin, post":            {"POST /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Origin: https://a\r\n\r\n", 403},
			"encoded path":            {"GET /%67rid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n", 101},
			"other path":              {"GET / HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"path above":              {"GET /grid HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"path below":              {"GET /grid/v1/ HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"path with dots":          {"GET /x/../grid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"another version's path":  {"GET /grid/v2 HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"post":                    {"POST /grid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n", 405},
			"put":                     {"PUT /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Content-Length: 0\r\n\r\n", 405},
			"connect":                 {"CONNECT /grid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n", 405},
			"options":                 {"OPTIONS * HTTP/1.1\r\n" + upgradeHead + "\r\n", 404},
			"plain probe":             {"GET /grid/v1 HTTP/1.1\r\nHost: node-1:1\r\n\r\n", 426},
			"upgrade to something":    {"GET /grid/v1 HTTP/1.1\r\nHost: node-1:1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 426},
			"http/1.0":                {"GET /grid/v1 HTTP/1.0\r\n" + upgradeHead + "\r\n", 400},
			"http/2":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
			"other subprotocol":       {"GET /grid/v1 HTTP/1.1\r\n" + strings.Replace(upgradeHead, "gridmesh.v1", "gridmesh.v2", 1) + "\r\n", 400},
			"no subprotocol":          {"GET /grid/v1 HTTP/1.1\r\n" + strings.Replace(upgradeHead, "Sec-WebSocket-Protocol: gridmesh.v1\r\n", "", 1) + "\r\n", 400},
			"newer and this":          {"GET /grid/v1 HTTP/1.1\r\n" + strings.Replace(upgradeHead, "gridmesh.v1", "gridmesh.v2, gridmesh.v1", 1) + "\r\n", 101},
			"no key":                  {"GET /grid/v1 HTTP/1.1\r\n" + strings.Replace(upgradeHead, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", 1) + "\r\n", 400},
			"other websocket version": {"GET /grid/v1 HTTP/1.1\r\n" + strings.Replace(upgradeHead, "Version: 13", "Version: 8", 1) + "\r\n", 400},
			"a body":                  {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Content-Length: 4\r\n\r\nbody", 400},
			"a chunked body":          {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
			"smuggled":                {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
			"no host":                 {"GET /grid/v1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400},
			"a head too large":        {"GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "X: " + strings.Repeat("secret", 10_000) + "\r\n\r\n", 431},
			"garbage":                 {"\x16\x03\x01\x00\xff\r\n\r\n", 400},
		} {
			status, header, body, closed := n.ask(t, "node-1:1", c.request)
			if status != c.status {
				t.Errorf("%s: answered %d %q, expected is %d", name, status, body, c.status)
			}
			if status == http.StatusSwitchingProtocols {
				if header.Get("Sec-WebSocket-Protocol") != subprotocol || header.Get("Sec-WebSocket-Extensions") != "" {
					t.Errorf("%s: %v", name, header)
				}
				continue
			}
			if !closed {
				t.Errorf("%s: the connection stays open", name)
			}
			if len(body) > 100 || strings.Contains(body, "secret") || strings.Contains(body, "node-1") {
				t.Errorf("%s: the answer says too much: %q", name, body)
			}
		}
		nd.stop()
		synctest.Wait()
		if got := n.openEnds(); got != 0 {
			t.Errorf("%d ends of connections are open", got)
		}
	})
}

// permessage-deflate is never negotiated (fault row 20).
func TestCompressionIsNotNegotiated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.start(t, "node-1:1", nil)
		_, header, _, _ := n.ask(t, "node-1:1", "GET /grid/v1 HTTP/1.1\r\n"+upgradeHead+"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
		if got := header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("negotiated %s", got)
		}
	})
}

// A head that comes byte by byte is cut after 5 s in all (fault row 13: the
// effective time-out counts, not the option).
func TestSlowHeadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.start(t, "node-1:1", nil)
		c, err := n.dial(context.Background(), "node-1:1")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, b := range []byte("GET /grid/v1 HTTP/1.1\r\n" + upgradeHead) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(3 * time.Second)
			}
		}()
		for err == nil {
			_, err = c.Read(make([]byte, 100))
		}
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("cut after %v", took)
		}
		_ = c.Close()
		<-done
	})
}

// A handshake whose place was taken by another one becomes no link: it is cut.
func TestHandshakeThatMadeRoomIsOver(t *testing.T) {
	g := newGate(1, 8, time.Minute)
	come := func(host string) *handshake {
		h := g.begin(host, arrival{at: time.Now()})
		near, far := net.Pipe()
		t.Cleanup(func() { _, _ = near.Close(), far.Close() })
		g.took(h, near)
		return h
	}
	first, second := come("a"), come("b")
	for _, tt := range []struct {
		name string
		h    *handshake
		want bool
	}{{"the first", first, false}, {"the second", second, true}, {"the second again", second, false}} {
		if got := g.over(tt.h); got != tt.want {
			t.Errorf("%s is kept: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Idle connections of strangers make room for the next: at the limit none is
// cut, above it the oldest is (fault row 15).
func TestOldestStrangerMakesRoom(t *testing.T) {
	for _, upgraded := range []bool{false, true} {
		t.Run(fmt.Sprintf("upgraded %v", upgraded), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const most = 8
				n := newNetwork()
				limits := func(o *Options) {
					o.Limits.PreAuth = most
					o.OnEvent = func(e Event) { // who looks at it for long does not make its link a stranger
						if e.Kind == EventLinked {
							time.Sleep(time.Second)
						}
					}
				}
				a, b := n.pair(t, limits)
				var strangers []net.Conn
				cut := make(chan int, 2*most)
				add := func() {
					c, err := n.dial(context.Background(), b.Local())
					if err != nil {
						t.Fatal(err)
					}
					i := len(strangers)
					strangers = append(strangers, c)
					if upgraded {
						if _, err := c.Write([]byte("GET /grid/v1 HTTP/1.1\r\n" + upgradeHead + "\r\n")); err != nil {
							t.Fatal(err)
						}
					}
					go func() {
						for err := error(nil); err == nil; {
							_, err = c.Read(make([]byte, 1000))
						}
						cut <- i
					}()
					synctest.Wait()
				}
				for range most {
					add()
				}
				if len(cut) != 0 {
					t.Fatalf("%d are cut at the limit", len(cut))
				}
				for want := range 3 {
					add()
					if got := <-cut; got != want {
						t.Errorf("cut is number %d, the oldest is %d", got, want)
					}
				}
				mustLink(t, a, b) // who is linked is not concerned
				if len(cut) != 0 {
					t.Errorf("%d more are cut", len(cut))
				}
				for _, c := range strangers {
					_ = c.Close()
				}
			})
		})
	}
}

// Above the limit of handshakes at once a peer is told to come again, and
// does; who is silent holds its place for a second only (fault rows 11, 15).
func TestHandshakesAtOnceAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", []string{"node-0:1"}, func(o *Options) { o.Limits.Handshakes = 3 })
		knock := func() int {
			status, header, _, _ := n.ask(t, "node-1:1", "GET /grid/v1 HTTP/1.1\r\n"+upgradeHead+"\r\n")
			if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
				t.Error("Retry-After is missing")
			}
			return status
		}
		silent := make([]*stranger, 3)
		for i := range silent {
			silent[i] = n.knock(t, "node-0:1", "node-1:1", nil)
		}
		if got := knock(); got != 503 {
			t.Errorf("the fourth is answered %d", got)
		}
		if nd.Stats().Refused[refusedBusy] != 1 {
			t.Errorf("counted is %v", nd.Stats().Refused)
		}
		time.Sleep(time.Second)
		other := n.start(t, "node-0:1", []string{"node-1:1"})
		mustLink(t, other, nd)
		silent[0].mustClose() // the oldest
		if _, err := silent[1].ws.NetConn().Write(nil); err != nil {
			t.Error("more than one had to go")
		}
	})
}

// visit is a connection of a stranger from host.
type visit struct {
	net.Conn
	host string
	gone bool
}

func (v *visit) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(v.host), Port: 1} }
func (v *visit) Close() error         { v.gone = true; return nil }

// A host that takes all places makes room for those of others, and only for them:
// with its own it goes on as with one host (fault row 15).
func TestHostWithMostMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 4
		const greedy, other = "192.0.2.1", "192.0.2.2"
		g := newGate(places, 1, 5*time.Second)
		var visits []*visit
		enter := func(host string) (gone []int) {
			v := &visit{host: host}
			visits = append(visits, v)
			g.enter(v, time.Now())
			for i, v := range visits {
				if v.gone {
					gone = append(gone, i)
				}
			}
			return gone
		}
		enter(other)
		for range places - 1 {
			enter(greedy)
		}
		for _, step := range []struct {
			host string
			gone []int
		}{
			{greedy, []int{1}},
			{other, []int{1, 2}},
			{"192.0.2.3", []int{0, 1, 2}}, // each of the two has two: the oldest
		} {
			if gone := enter(step.host); !slices.Equal(gone, step.gone) {
				t.Errorf("when %s comes, gone are %v; should be %v", step.host, gone, step.gone)
			}
		}
		for _, v := range visits {
			g.leave(v)
		}

		g = newGate(100, places+1, 5*time.Second)
		begin := func(host string) *handshake {
			h := g.begin(host, arrival{at: time.Now()})
			if h != nil {
				g.took(h, &visit{host: host})
			}
			return h
		}
		cutOff := func(h *handshake) bool { return h.conn.(*visit).gone }
		var all []*handshake
		for range places + 1 {
			all = append(all, begin(greedy))
		}
		if begin(greedy) != nil {
			t.Error("a host that has all places was given one more")
		}
		for i := range 2 {
			h := begin(other)
			if h == nil || !cutOff(all[i]) || cutOff(all[i+1]) {
				t.Fatalf("handshake %d of another host: %v", i, h)
			}
			all = append(all, h)
		}
		if begin(other) != nil || begin(greedy) != nil {
			t.Error("another one of five places, while the hosts have three and two")
		}
		for _, h := range all {
			g.over(h)
		}
	})
}

// A link outlives the time-outs of the server that it came in by, idle or not
// (field case 20, G36).
func TestLinkOutlivesTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		names := []string{"node-0:1", "node-1:1"}
		m, err := NewManager(t.Context(), Options{Local: names[1], Peers: names, InsecurePlainText: true})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux() // a server of the user's own
		mux.Handle(RoutePath, m.Handler())
		b := &node{Manager: m, n: n, logs: &logs{}, srv: &http.Server{
			Handler: mux, ReadTimeout: time.Second, ReadHeaderTimeout: time.Second, WriteTimeout: time.Second, IdleTimeout: time.Second,
		}}
		if err := b.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }); err != nil {
			t.Fatal(err)
		}
		b.serve(t)
		defer b.stop()
		a := n.start(t, names[0], names)
		mustLink(t, a, b)
		for range 5 {
			time.Sleep(90 * time.Second)
			mustLink(t, a, b)
			mustLink(t, b, a)
		}
		if got := n.dialsTo(names[1]); got != 1 {
			t.Errorf("the link was remade: %d dials", got)
		}
	})
}

// timeout reports whether a read has only run out of time.
func timeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
