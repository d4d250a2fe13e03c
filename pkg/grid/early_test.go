package grid

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// clientFrame is a WebSocket frame as a client writes it, with a mask that
// changes nothing.
func clientFrame(first byte, content []byte) []byte {
	b := []byte{first}
	if len(content) < 126 {
		b = append(b, 0x80|byte(len(content)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(content)))
	}
	return append(append(b, 0, 0, 0, 0), content...)
}

// Who sends data behind its request, before there is an answer to the upgrade,
// is no dialer: it could not know the acceptor's nonce. The connection is
// closed without an answer, and the reason is counted and logged; a hello that
// came that way is not looked at.
func TestDataBeforeTheAnswerIsRefused(t *testing.T) {
	body, _ := appendHello(nil, helloOf("node-0:1", "node-1:1"), testRoom)
	hello := clientFrame(0x80|websocket.BinaryMessage, appendGreeting(greetHello, [proofSize]byte{}, body))
	headers := headerGrid + ": default\r\n" + headerFrom + ": node-0:1\r\n" + headerTo + ": node-1:1\r\n\r\n"
	for name, early := range map[string][]byte{"a byte": {0x82}, "a hello": hello} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				nd := n.start(t, "node-1:1", []string{"node-0:1"})
				c, err := n.dial(t.Context(), "node-1:1")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				if _, err := c.Write(append([]byte("GET /grid/v1 HTTP/1.1\r\n"+upgradeHead+headers), early...)); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
					t.Errorf("answered %s", resp.Status)
					_ = resp.Body.Close()
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("closed after %v", took)
				}
				synctest.Wait()
				if lines := nd.logs.with("handshake refused", "code=malformed", "before the answer"); len(lines) != 1 || nd.Stats().Refused[refusedMalformed] != 1 {
					t.Errorf("logged is %q, counted %v", nd.logs.with(), nd.Stats().Refused)
				}
				if lines := nd.logs.with("http server"); len(lines) > 0 {
					t.Errorf("the server complains: %q", lines)
				}
				if nd.Connection("node-0:1").State() == StateLinked {
					t.Error("it is linked")
				}
			})
		})
	}
}

// The limit on framing holds on a link that was accepted, too: by a real
// http.Server, with TLS and without, and the meter counts what came (fault row
// 19).
func TestFramingOverheadEndsAnAcceptedLink(t *testing.T) {
	ca := newAuthority(t)
	for name, secure := range map[string]bool{"plain text": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			const from, to = "node-0:1", "node-1:1"
			n := newTCP()
			nd := n.start(t, to, []string{from}, func(o *Options) {
				if secure {
					secured(StaticTLS(ca.issue(t, nil, "node-1"), ca.pool()))(o)
				}
			})
			c, err := n.dial(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if secure {
				c = secureOver(t, c, ca)
			}
			s := &stranger{t: t, ws: upgradeOver(t, c, from, to)}
			s.hello(helloOf(from, to))
			if h, ref := s.answer(); h == nil {
				t.Fatalf("refused: %v", ref)
			}
			p := nd.Connection(from).peer
			var l *link.Link
			eventually(t, "the link is up", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.held != nil {
					l = p.held.link
				}
				return l != nil
			})
			// One message, in fragments of one byte: six bytes in seven are framing.
			_, err = c.Write(clientFrame(websocket.BinaryMessage, []byte{0}))
			fragments := bytes.Repeat(clientFrame(0, []byte{0}), 10_000)
			for sent := 0; err == nil && sent < 1<<24; sent += len(fragments) {
				_, err = c.Write(fragments)
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			for err = nil; err == nil; {
				_, err = c.Read(make([]byte, 1<<10))
			}
			if timeout(err) {
				t.Fatal("the connection stays open")
			}
			<-l.Done()
			cut := (*link.CutError)(nil)
			if !errors.As(l.Err(), &cut) || cut.Code != link.CodeViolation || !strings.Contains(cut.Message, "framing") {
				t.Errorf("the link ended with %v", l.Err())
			}
			l.Wait()
			most := uint64(DefaultLimits().WireOverhead)
			if total := l.Totals(); total.BytesIn < most || total.BytesIn > 2*most {
				t.Errorf("%d bytes were counted, %d are allowed beyond twice the content", total.BytesIn, most)
			}
		})
	}
}
