package tail

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// TestLimits holds each limit below it, at it and above it.
func TestLimits(t *testing.T) {
	m := newMesh(t, 2)
	many := func(n int) (all []string) {
		for range n {
			all = append(all, "x")
		}
		return all
	}
	attrs := func(n int) map[string]string {
		all := make(map[string]string)
		for i := range n {
			all[strconv.Itoa(i)] = "x"
		}
		return all
	}
	request := func(size int) string {
		return `{"past":1` + strings.Repeat(" ", size-len(`{"past":1}`)) + `}`
	}
	long := strings.Repeat("x", maxPattern)
	log, audit := adminapi.HandlerLogTail, adminapi.HandlerAuditTail
	for _, tt := range []struct {
		name, handler string
		ask           any
		want          string // of the error; "": none
	}{
		{"past below", log, logTail{Tail: head{Past: maxPast - 1}}, ""},
		{"past at", log, logTail{Tail: head{Past: maxPast}}, ""},
		{"past above", log, logTail{Tail: head{Past: maxPast + 1}}, "past: 1001 entries, allowed are 0 to 1000"},
		{"past below none", audit, auditTail{Tail: head{Past: -1}}, "past: -1 entries"},
		{"texts below", log, logTail{Text: many(maxList - 1)}, ""},
		{"texts at", log, logTail{Text: many(maxList)}, ""},
		{"texts above", log, logTail{Text: many(maxList + 1)}, "text: 33 of them, allowed are 32"},
		{"attrs at", log, logTail{Attrs: attrs(maxList)}, ""},
		{"attrs above", log, logTail{Attrs: attrs(maxList + 1)}, "attrs: 33 of them"},
		{"handlers at", audit, auditTail{Handlers: many(maxList)}, ""},
		{"handlers above", audit, auditTail{Handlers: many(maxList + 1)}, "handlers: 33 of them"},
		{"a pattern below", audit, auditTail{Peers: []string{long[1:]}}, ""},
		{"a pattern at", audit, auditTail{Peers: []string{long}}, ""},
		{"a pattern above", audit, auditTail{Peers: []string{long + "x"}}, "peers: \"xxx"},
		{"an attribute above", log, logTail{Attrs: map[string]string{"a": long + "x"}}, "attrs: \"xxx"},
		{"no pattern", audit, auditTail{Results: []string{""}}, "results: \"\": it has 1 to 256 bytes"},
		{"no level", log, logTail{Level: "loud"}, `level: "loud" is none of`},
		{"no direction", audit, auditTail{Direction: "up"}, `direction: "up" is neither in nor out`},
		{"a request below", log, request(maxRequest - 1), ""},
		{"a request at", log, request(maxRequest), ""},
		{"a request above", log, request(maxRequest + 1), "the request has 4097 bytes, allowed are 4096"},
		{"no request", log, "nonsense", "not JSON, such as"},
		{"more than a request", log, "{}{}", "something stands behind it"},
		{"an unknown filter", audit, `{"level":"warn"}`, `unknown field "level"`},
	} {
		payload, isText := tt.ask.(string)
		var r *reader
		if isText {
			s, err := m.Conn(0, 1).OpenStream(t.Context(), grid.HandlerID(tt.handler), []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			r = &reader{t: t, CallerStream: s}
		} else {
			r = m.tail(0, 1, tt.handler, tt.ask)
		}
		if tt.want == "" {
			r.rest()
			continue
		}
		remote := new(grid.RemoteError)
		if err := r.fails(); !errors.As(err, &remote) || remote.Code != grid.CodeInvalidArgument || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestPlaces: so many tails run at once, so many of them for one peer, and one
// that ends makes room.
func TestPlaces(t *testing.T) {
	const peers = maxTails / maxPeerTails
	m := newMesh(t, peers+2)
	last := peers + 1
	follow := logTail{Tail: head{Follow: true}}
	var all []*reader
	for from := range peers {
		for range maxPeerTails {
			all = append(all, m.tail(from, last, adminapi.HandlerLogTail, follow))
		}
		m.nodes[last].running(t, len(all))
		if from < peers-1 {
			err := m.tail(from, last, adminapi.HandlerAuditTail, auditTail{}).fails()
			if !strings.Contains(err.Error(), "8 tails of "+gridtest.Name(from)) {
				t.Errorf("one more for the same peer: %v", err)
			}
		}
	}
	if err := m.tail(peers, last, adminapi.HandlerLogTail, follow).fails(); !strings.Contains(err.Error(), "32 tails run at this node") {
		t.Errorf("one more: %v", err)
	}
	all[0].Cancel(nil)
	m.nodes[last].running(t, maxTails-1)
	m.tail(peers, last, adminapi.HandlerLogTail, follow)
	m.nodes[last].running(t, maxTails)
}
