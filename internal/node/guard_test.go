package node

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
)

const (
	rightToken  = "0123456789abcdef-right"
	secondToken = "0123456789abcdef-second"
)

// alone runs a node without peers.
func alone(t *testing.T, args ...string) *running {
	t.Helper()
	name := freePorts(t, 1)[0]
	return start(t, append([]string{"--name=" + name, "--admin-addr=127.0.0.1:0", "--insecure-plain-text"}, args...)...)
}

// route is one of each kind.
type route struct{ method, path, kind, body string }

var routes = map[adminport.Access][]route{
	adminport.Open: {{"GET", "/livez", "", ""}, {"GET", "/readyz", "", ""}, {"GET", "/v1/ack", "", ""}},
	adminport.Read: {
		{"GET", "/metrics", "", ""}, {"GET", "/statusz", "", ""}, {"GET", "/statusz/mesh", "", ""},
		{"GET", "/statusz/assets/page.css", "", ""}, {"GET", "/v1/peers", "", ""},
	},
	adminport.Admin: {
		{"PUT", "/v1/peers", adminapi.TypeNames, "NAME\n"},
		{"POST", "/v1/call/NAME/echo", "", "x"},
		{"POST", "/v1/stream/NAME/digest?framing=raw", "", "x"},
		{"POST", "/v1/stream/NAME/log.tail?framing=lines", "", ""},
		{"POST", "/v1/stream/NAME/audit.tail?framing=lines", "", ""},
		{"POST", "/v1/bench/NAME", "", `{"callers":1,"bytes":1,"for_ms":1}`},
	},
}

// caller is who asks.
type caller struct {
	name   string
	from   string // remote address
	host   string
	header map[string]string
	may    map[bool]map[adminport.Access]bool // by admin-protect-reads
	status int                                // where it may not
}

func TestWhoMayAskWhat(t *testing.T) {
	everything := map[adminport.Access]bool{adminport.Open: true, adminport.Read: true, adminport.Admin: true}
	reading := map[adminport.Access]bool{adminport.Open: true, adminport.Read: true}
	probes := map[adminport.Access]bool{adminport.Open: true}
	all := map[bool]map[adminport.Access]bool{false: everything, true: everything}
	anybody := map[bool]map[adminport.Access]bool{false: reading, true: probes}
	reader := map[bool]map[adminport.Access]bool{false: reading, true: reading}
	const near, far = "127.0.0.1:1234", "10.0.0.7:1234"
	bearer := func(token string, more ...string) map[string]string {
		header := map[string]string{"Authorization": "Bearer " + token}
		for i := 0; i < len(more); i += 2 {
			header[more[i]] = more[i+1]
		}
		return header
	}
	callers := []caller{
		{"loopback", near, "127.0.0.1:7701", nil, all, 0},
		{"loopback by name", near, "localhost:7701", nil, all, 0},
		{"loopback without port", near, "LOCALHOST", nil, all, 0},
		{"loopback by IPv6", "[::1]:1234", "[::1]:7701", nil, all, 0},
		{"loopback by IPv6 without port", "[::1]:1234", "[::1]", nil, all, 0},
		{"loopback in IPv6 form", "[::ffff:127.0.0.1]:1234", "127.0.0.1", nil, all, 0},
		{"another one of loopback", "127.8.8.8:1234", "127.8.8.8:7701", nil, all, 0},
		{"the network", far, "10.0.0.8:7701", nil, anybody, 401},
		{"the network calling itself loopback", far, "127.0.0.1:7701", nil, anybody, 401},
		{"the network saying it was forwarded from loopback", far, "127.0.0.1", map[string]string{"X-Forwarded-For": "127.0.0.1"}, anybody, 401},
		{"no address", "@", "127.0.0.1:7701", nil, anybody, 401},
		{"a rebound name", near, "evil.example:7701", nil, anybody, 401},
		{"a rebound name that looks like loopback", near, "127.0.0.1.evil.example", nil, anybody, 401},
		{"a name below localhost", near, "x.localhost", nil, anybody, 401},
		{"no Host", near, "", nil, anybody, 401},
		{"a proxy on this machine", near, "127.0.0.1", map[string]string{"X-Forwarded-For": "10.0.0.7"}, anybody, 401},
		{"another proxy on this machine", near, "127.0.0.1", map[string]string{"Forwarded": "for=10.0.0.7"}, anybody, 401},
		{"one more", near, "127.0.0.1", map[string]string{"Via": "1.1 x"}, anybody, 401},
		{"a page of this machine's browser", near, "127.0.0.1", map[string]string{"Origin": "http://evil.example"}, reader, 403},
		{"a page of nowhere", near, "127.0.0.1", map[string]string{"Origin": "null"}, reader, 403},
		{"an empty origin", near, "127.0.0.1", map[string]string{"Origin": ""}, reader, 403},
		{"the page of this very node", near, "127.0.0.1:7701", map[string]string{"Origin": "http://127.0.0.1:7701"}, reader, 403},
		{"a link in a page", near, "127.0.0.1", map[string]string{"Sec-Fetch-Site": "cross-site"}, reader, 403},
		{"a browser's address line", near, "127.0.0.1", map[string]string{"Sec-Fetch-Mode": "navigate"}, reader, 403},
		{"the token from the network", far, "node-0:7701", bearer(rightToken), all, 0},
		{"the next token", far, "node-0:7701", bearer(secondToken), all, 0},
		{"the token, spelled otherwise", far, "node-0", map[string]string{"Authorization": "bearer  " + rightToken + " "}, all, 0},
		{"the token through a proxy", far, "node-0", bearer(rightToken, "X-Forwarded-For", "10.1.1.1"), all, 0},
		{"the token in a page", far, "node-0", bearer(rightToken, "Origin", "http://evil.example"), reader, 403},
		{"a wrong token from the network", far, "node-0", bearer(rightToken + "x"), anybody, 401},
		{"half the token", far, "node-0", bearer(rightToken[:20]), anybody, 401},
		{"no token at all", far, "node-0", bearer(""), anybody, 401},
		{"both tokens", far, "node-0", bearer(rightToken + "\n" + secondToken), anybody, 401},
		{"a wrong token on loopback", near, "127.0.0.1", bearer("wrong"), anybody, 401},
		{"a password on loopback", near, "127.0.0.1", map[string]string{"Authorization": "Basic " + rightToken}, anybody, 401},
	}
	tokens := filepath.Join(t.TempDir(), "token")
	writeFile(t, tokens, rightToken+"\n"+secondToken+"\n")
	for _, protect := range []bool{false, true} {
		args := []string{"--admin-token-file=" + tokens}
		if protect {
			args = append(args, "--admin-protect-reads")
		}
		n := alone(t, args...)
		n.waitReady()
		handler := n.adminHandler()
		for _, c := range callers {
			for need, all := range routes {
				for _, route := range all {
					path := strings.ReplaceAll(route.path, "NAME", n.config.Name)
					request := httptest.NewRequestWithContext(t.Context(), route.method, path, strings.NewReader(strings.ReplaceAll(route.body, "NAME", n.config.Name)))
					request.RemoteAddr, request.Host = c.from, c.host
					for name, value := range c.header {
						request.Header[http.CanonicalHeaderKey(name)] = []string{value}
					}
					if route.kind != "" {
						request.Header.Set("Content-Type", route.kind)
					}
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, request)
					want := http.StatusOK
					if !c.may[protect][need] {
						want = c.status
						if need == adminport.Read { // where reads are protected, they are by the same rule but that for browsers
							want = http.StatusUnauthorized
						}
					}
					if w.Code != want {
						t.Errorf("protected %v: %s: %s %s: status %d, want %d: %s", protect, c.name, route.method, route.path, w.Code, want, w.Body)
					}
					if want == http.StatusUnauthorized && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
						t.Errorf("%s: no word on how to get in", c.name)
					}
					if strings.Contains(w.Body.String(), rightToken) && route.path != "/v1/call/NAME/echo" {
						t.Errorf("%s: the token is in the answer", c.name)
					}
				}
			}
		}
	}
}

func TestWithoutTokenNobodyHasIt(t *testing.T) {
	n := alone(t)
	for _, header := range []map[string]string{
		{"Authorization": "Bearer "}, {"Authorization": "Bearer x"}, {"Authorization": ""},
	} {
		got := n.send("POST", "/v1/call/"+n.config.Name+"/echo", header, "x")
		if got.status != http.StatusUnauthorized {
			t.Errorf("%v: status %d", header, got.status)
		}
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/call/x/echo", http.NoBody)
	request.RemoteAddr = "10.0.0.7:1"
	w := httptest.NewRecorder()
	n.adminHandler().ServeHTTP(w, request)
	if !strings.Contains(w.Body.String(), "this node has no admin-token-file") {
		t.Errorf("the answer does not say what to do: %s", w.Body)
	}
}

// Every route is in the table above, so that a new one has to say whom it is for.
func TestEveryRouteIsGuarded(t *testing.T) {
	n := alone(t)
	for _, path := range []string{"/", "/debug/pprof/", "/v1", "/v1/", "/statusz/assets/../../etc", "/nope"} {
		got := n.send(http.MethodGet, path, nil, "")
		if path != "/" && got.status != http.StatusNotFound {
			t.Errorf("GET %s: status %d", path, got.status)
		}
	}
	for _, all := range routes {
		for _, route := range all {
			for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "POST"} {
				path, _, _ := strings.Cut(route.path, "?")
				if method == route.method || path == "/v1/peers" {
					continue
				}
				if got := n.send(method, strings.ReplaceAll(path, "NAME", n.config.Name), nil, ""); got.status != http.StatusMethodNotAllowed {
					t.Errorf("%s %s: status %d", method, path, got.status)
				}
			}
		}
	}
}

func TestTokenFiles(t *testing.T) {
	const fine = "0123456789abcdef"
	for _, tt := range []struct {
		name, text string
		count      int
		want       string
	}{
		{"one", fine, 1, ""},
		{"one with a line feed", fine + "\n", 1, ""},
		{"several, with blanks", "\n " + fine + " \r\n\n" + fine + "2\n", 2, ""},
		{"the most", strings.Repeat(fine+"\n", maxTokens), maxTokens, ""},
		{"one more", strings.Repeat(fine+"\n", maxTokens+1), 0, "9 tokens, allowed are 8"},
		{"empty", "", 0, "no token in it"},
		{"blank", " \n\n", 0, "no token in it"},
		{"too short by one", fine[1:], 0, "line 1: a token of 15 bytes, allowed are 16 or more"},
		{"the second too short", fine + "\nshort\n", 0, "line 2: a token of 5 bytes"},
		{"as long as can be", strings.Repeat("x", maxTokenFile), 1, ""},
		{"longer", strings.Repeat("x", maxTokenFile+1), 0, "larger than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			writeFile(t, path, tt.text)
			tokens, err := readTokens(path)
			if len(tokens) != tt.count || (err == nil) != (tt.want == "") {
				t.Fatalf("%d tokens, %v", len(tokens), err)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), fine) {
				t.Error("the error shows a token")
			}
		})
	}
}
