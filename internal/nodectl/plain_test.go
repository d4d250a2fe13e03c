package nodectl

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// What others wrote of themselves reaches no terminal as an escape, and makes no
// line of its own (fault row 84).
func TestTerminalsAreNotWrittenTo(t *testing.T) {
	const evil = "x\x1b]0;owned\x07\x1b[2J\u009b31m\nnode-9:1  ready  9/9\r\b\u202e\x00"
	status := adminapi.Status{
		Node:     adminapi.Node{Name: evil, Grid: evil, Version: evil, Now: time.Now(), Started: time.Now()},
		Waiting:  []string{evil},
		PeerList: adminapi.PeerList{Source: evil, LastError: evil},
		Peers:    []adminapi.Peer{{Name: evil, State: evil, LastError: evil}}, Certificate: &adminapi.Certificate{LastError: evil},
		Reconnects: map[string]uint64{evil: 1},
	}
	answers := map[string]any{
		adminapi.PathStatus:      status,
		adminapi.PathMesh:        adminapi.Mesh{By: evil, Members: []adminapi.Member{{Name: evil, Error: evil}, {Name: evil, Status: &status}}},
		adminapi.PathPeers:       adminapi.PeerNames{PeerList: status.PeerList, Peers: []string{evil}},
		"/v1/call/node-1:1/echo": adminapi.Error{Message: evil, Hint: evil, Code: evil, Outcome: adminapi.OutcomeMaybe},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			t.Errorf("asked for %s", r.URL.Path)
		}
		raw, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(r.URL.Path, "/v1/call/") {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write(raw)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true) // as the admin port speaks it
	server.Start()
	defer server.Close()
	addr := "--admin-addr=" + strings.TrimPrefix(server.URL, "http://")
	for _, args := range [][]string{{"status"}, {"status", "--mesh"}, {"peers", "show"}, {"call", "node-1:1", "echo"}} {
		o := run(t, nil, strings.NewReader(""), append([]string{args[0], addr}, args[1:]...)...)
		text := o.stdout + o.stderr
		if !strings.Contains(text, "owned") {
			t.Errorf("%v: says nothing of it: %q", args, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "node-9") {
				t.Errorf("%v: a row that somebody made up: %q", args, line)
			}
			if at := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 {
				t.Errorf("%v: %q", args, line)
			}
		}
	}
}

// TestFailuresAreForATerminal: what went wrong with a connection is in the words
// of whoever answered, such as the names in its certificate.
func TestFailuresAreForATerminal(t *testing.T) {
	err := x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a\x1b[2Jb\u009b"}}, Host: "node"}
	c := client{addr: "node:7701", scheme: "https"}
	var stderr bytes.Buffer
	if status := report("status", c.unreached(t.Context(), &tls.CertificateVerificationError{Err: err}), &stderr); status != exitNoAdmin {
		t.Errorf("status %d", status)
	}
	if got := stderr.String(); !strings.Contains(got, "a [2Jb ") || strings.ContainsAny(got, "\x1b\u009b") {
		t.Errorf("%q", got)
	}
}
