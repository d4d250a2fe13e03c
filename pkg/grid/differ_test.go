package grid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// small are limits next to which the defaults are large.
func small(o *Options) {
	l := &o.Limits
	l.MaxBatch, l.Chunk, l.MaxHeader, l.Eager, l.EagerWindow, l.StreamWindow = 16*kib, 8*kib, 64, 1*kib, 1*kib, 1*kib
	l.HelloBytes, l.HeaderBytes, l.MaxMessage, l.MaxHandlers = 4*kib, 4*kib, 100*kib, 200
}

// Nodes with other limits become one link, know each other's handlers, and
// calls of all sizes go both ways: each side keeps to what the other one takes,
// whoever dials.
func TestNodesWithOtherLimits(t *testing.T) {
	for name, changes := range map[string][2]func(*Options){
		"the dialer is small":   {small, func(*Options) {}},
		"the acceptor is small": {func(*Options) {}, small},
		"both are":              {small, small},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				names := []string{"node-0:1", "node-1:1"}
				nodes := []*node{}
				for i, name := range names {
					nodes = append(nodes, n.start(t, name, nil, changes[i]))
					for k := range 150 { // their names are more than a small hello has room for
						if err := nodes[i].RegisterSingle(HandlerID(fmt.Sprintf("%0100d", k)), func(context.Context, []byte) ([]byte, error) { return nil, nil }); err != nil {
							t.Fatal(err)
						}
					}
				}
				for _, nd := range nodes { // only now, so that the hellos are full
					if err := nd.SetPeers(names); err != nil {
						t.Fatal(err)
					}
				}
				mustLink(t, nodes[0], nodes[1])
				synctest.Wait()
				for i, nd := range nodes {
					other := nodes[1-i]
					c := nd.Connection(other.Local())
					if h := HandlerID(fmt.Sprintf("%0100d", 149)); !c.Supports(h) {
						t.Errorf("%s: the last handler is unknown", nd.Local())
					}
					for _, size := range []int{0, 1*kib - 1, 1 * kib, 1*kib + 1, 8 * kib, 8*kib + 1, 64*kib + 1, 100 * kib} {
						got, err := c.With(CallOptions{Header: Header{"key": "value"}}).Request(t.Context(), "echo", make([]byte, size))
						if err != nil || len(got) != size {
							t.Errorf("%s: %d bytes of %d came back: %v", nd.Local(), len(got), size, err)
						}
					}
					// A header with a key of one byte has two bytes of lengths.
					most := other.limits.MaxHeader
					for size := most - 1; size <= most+1; size++ {
						h := Header{"k": strings.Repeat("v", size-3)}
						if size > 130 { // the value's length takes two
							h["k"] = h["k"][1:]
						}
						_, err := c.With(CallOptions{Header: h}).Request(t.Context(), "echo", nil)
						if errors.Is(err, ErrHeaderTooLarge) != (size > most) || err != nil && OutcomeOf(err) != NotSent {
							t.Errorf("%s: a header of %d bytes, the peer takes %d: %v", nd.Local(), size, most, err)
						}
						_, err = c.With(CallOptions{Header: h}).OpenStream(t.Context(), "none", nil)
						if !errors.Is(err, ErrUnknownHandler) {
							t.Errorf("%s: a stream: %v", nd.Local(), err)
						}
					}
					if s := nd.Stats(); len(s.Reconnects) != 0 || len(s.Refused) != 0 {
						t.Errorf("%s: made again %v, refused %v", nd.Local(), s.Reconnects, s.Refused)
					}
				}
			})
		})
	}
}

// As many handlers as the other side takes are announced, in the hello or
// behind it: below, at and above its limit; calls of others fail by themselves.
func TestHandlersBeyondWhatThePeerTakes(t *testing.T) {
	const most = 5
	for role, changed := range map[string]int{"the dialer's limit": 0, "the acceptor's limit": 1} {
		for count := most - 1; count <= most+1; count++ {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d, late %v", role, count, late), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						n := newNetwork()
						names := []string{"node-0:1", "node-1:1"}
						limited := n.start(t, names[changed], nil, func(o *Options) { o.Limits.MaxHandlers = most })
						other := n.start(t, names[1-changed], nil)
						register := func() { // beside gridmesh.renew and echo
							for k := 2; k < count; k++ {
								if err := other.RegisterSingle(HandlerID(fmt.Sprint("h", k)), func(context.Context, []byte) ([]byte, error) { return nil, nil }); err != nil {
									t.Fatal(err)
								}
							}
						}
						if !late {
							register()
						}
						for _, nd := range []*node{limited, other} {
							if err := nd.SetPeers(names); err != nil {
								t.Fatal(err)
							}
						}
						mustLink(t, limited, other)
						if late {
							register()
						}
						synctest.Wait()
						c := limited.Connection(other.Local())
						for k := 2; k < count; k++ {
							_, err := c.Request(t.Context(), HandlerID(fmt.Sprint("h", k)), nil)
							if known := k < most; known != (err == nil) || err != nil && !errors.Is(err, ErrUnknownHandler) {
								t.Errorf("handler %d: %v", k, err)
							}
						}
						if warned := len(other.logs.with("WARN", "no more handlers")); warned != max(count-most, 0) {
							t.Errorf("warned %d times", warned)
						}
						s := limited.Stats()
						delete(s.Refused, refusedNotPeer) // one has the list before the other
						if len(s.Reconnects) != 0 || len(s.Refused) != 0 {
							t.Errorf("made again %v, refused %v", s.Reconnects, s.Refused)
						}
					})
				})
			}
		}
	}
}

// What the other side takes of a hello is said with the upgrade: below, at and
// above its bounds, and what is no number is refused, by either role.
func TestRoomForTheHello(t *testing.T) {
	handlers := make([]wire.Handler, 600)
	for i := range handlers {
		handlers[i] = wire.Handler{Name: fmt.Sprintf("%0120d", i), Number: uint64(i)}
	}
	for text, most := range map[string]int{
		"": mostHello, "4096": 4096, "4097": 4097, "65535": 65535, "65536": 65536, "65537": mostHello, "2147483647": mostHello,
		"4095": 0, "0": 0, "-1": 0, "x": 0, "1e6": 0, "2147483648": 0,
	} {
		header := http.Header{}
		if text != "" {
			header.Set(headerRoom, text)
		}
		n, err := roomIn(header)
		if n != most || (err != nil) != (most == 0) {
			t.Errorf("%q: %d bytes, %v", text, n, err)
			continue
		}
		if b, _ := appendHello(nil, &hello{Handlers: handlers}, n); err == nil && (len(b) > n || len(b) < n-150) {
			t.Errorf("%q: a hello of %d bytes", text, len(b))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", []string{"node-0:1"})
		status, _, _, closed := n.ask(t, "node-1:1", "GET /grid/v1 HTTP/1.1\r\n"+upgradeHead+headerRoom+": none\r\n\r\n")
		if status != http.StatusBadRequest || !closed {
			t.Errorf("answered %d, closed %v", status, closed)
		}
		synctest.Wait()
		if len(nd.logs.with("handshake refused", "code=malformed", headerRoom)) != 1 {
			t.Errorf("logged is %q", nd.logs.with())
		}
		s := n.knock(t, "node-0:1", "node-1:1", func(h http.Header) { h.Set(headerRoom, "4096") })
		s.hello(helloOf("node-0:1", "node-1:1"))
		if h, ref := s.answer(); h == nil {
			t.Errorf("answered %v", ref)
		}
	})
}
