package otlp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// TestRequest: what a collector gets, with gzip and without, and that the
// variables of the environment which are for other programs change none of it
// (field-history L2, D4, D9).
func TestRequest(t *testing.T) {
	silence(t)
	for _, name := range []string{
		"ENDPOINT", "LOGS_ENDPOINT", "INSECURE", "LOGS_HEADERS", "HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, "\x7f://nonsense")
	}
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "nonsense")
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "secret-1\n")
	for _, compress := range []bool{false, true} {
		for path, want := range map[string]string{"": "/v1/logs", "/": "/v1/logs", "/otlp/v1/logs": "/otlp/v1/logs"} {
			url, requests := serve(t, takes)
			s := open(t, Options{
				URL: url + path, TokenFile: token, Compress: compress, UserAgent: "gridmesh/1",
				Header: map[string]string{"X-Scope-OrgID": "tenant"},
			})
			for _, text := range []string{"secret-1", "secret-2"} { // read afresh each time
				write(t, token, text)
				if err := s.Send(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				r := <-requests
				if r.path != want || len(r.records) != 2 {
					t.Errorf("%d records at %s", len(r.records), r.path)
				}
				encoding := map[bool]string{true: "gzip", false: ""}[compress]
				for name, want := range map[string]string{
					"Content-Type": "application/x-protobuf", "Content-Encoding": encoding, "Idempotency-Key": `"node-0:7700/audit/0192f3a4b5c6-1-2"`,
					"Authorization": "Bearer " + text, "User-Agent": "gridmesh/1", "X-Scope-Orgid": "tenant",
				} {
					if r.header.Get(name) != want {
						t.Errorf("%s: %q, want %q", name, r.header.Get(name), want)
					}
				}
			}
		}
	}
}

// kind is what becomes of a batch.
func kind(err error) string {
	if err == nil {
		return "done"
	}
	if _, rejected := errors.AsType[*target.Rejected](err); rejected {
		return "rejected"
	}
	return "again"
}

// TestAnswers: any 2xx is a success, what is about the entries is final, all else
// is tried again, by us and not by the exporter (field-history L5).
func TestAnswers(t *testing.T) {
	silence(t)
	var code atomic.Int64
	url, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(code.Load()))
		_, _ = io.WriteString(w, "what was sent: secret-entry") // not in 204 and 304
	})
	s := open(t, Options{URL: url + "/secret-path"})
	for c := 200; c < 600; c++ {
		code.Store(int64(c))
		err := s.Send(t.Context(), batch)
		want := "again"
		switch {
		case c/100 == 2:
			want = "done"
		case c == 400 || c == 413 || c == 422:
			want = "rejected"
		}
		if kind(err) != want {
			t.Errorf("%d: %s (%v), want %s", c, kind(err), err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), strconv.Itoa(c))) {
			t.Errorf("%d: %v", c, err)
		}
		if n := len(requests); n != 1 {
			t.Errorf("%d: %d requests", c, n)
		}
		for len(requests) > 0 {
			<-requests
		}
	}
}

func TestRetryAfter(t *testing.T) {
	silence(t)
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for text, want := range map[string]time.Duration{"": 0, "0": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "Mon, 01 Jan 2001 00:00:00 GMT": 0} {
			url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", text)
				w.WriteHeader(code)
			})
			err := open(t, Options{URL: url}).Send(t.Context(), batch)
			later, _ := errors.AsType[*target.Later](err)
			if later == nil {
				later = &target.Later{}
			}
			if err == nil || later.After != want {
				t.Errorf("%d, %q: %v, want %v", code, text, err, want)
			}
		}
	}
}

// TestPartialSuccess: an answer of 200 in which records were rejected is no
// success, and one that only says something is one.
func TestPartialSuccess(t *testing.T) {
	silence(t)
	for _, c := range []struct {
		answer http.HandlerFunc
		want   string
	}{
		{func(w http.ResponseWriter, _ *http.Request) { rejects(w, 0) }, "done"},
		{func(w http.ResponseWriter, _ *http.Request) { rejects(w, 1) }, "rejected"},
		{func(w http.ResponseWriter, _ *http.Request) { rejects(w, 2) }, "rejected"},
		{func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "done"},
		{func(w http.ResponseWriter, r *http.Request) { takes(w, r); _, _ = io.WriteString(w, "<html>") }, "again"},
	} {
		url, _ := serve(t, c.answer)
		err := open(t, Options{URL: url}).Send(t.Context(), batch)
		if kind(err) != c.want || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestRedirects: records go to the server that was named, and to no other.
func TestRedirects(t *testing.T) {
	silence(t)
	other, strangers := serve(t, takes)
	var to string
	url, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/logs" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	})
	for _, c := range []struct {
		to     string
		passes bool
	}{{"/moved", true}, {other + "/v1/logs", false}, {"/v1/logs", false}} {
		to = c.to
		err := open(t, Options{URL: url, Header: map[string]string{"Authorization": "Basic secret"}}).Send(t.Context(), batch)
		if (err == nil) != c.passes {
			t.Errorf("to %s: %v", c.to, err)
		}
		last := got{}
		for len(requests) > 0 {
			last = <-requests
		}
		if c.passes && (last.path != "/moved" || len(last.records) != 2 || last.header.Get("Authorization") == "") {
			t.Errorf("to %s: came as %+v", c.to, last)
		}
	}
	if len(strangers) > 0 {
		t.Error("another server got records")
	}
}

// TestChecks: what cannot work is refused with the option's name, and without
// what may be secret in it (field-history L1, L7, L24, D9, D15).
func TestChecks(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	write(t, empty, "\n")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "url:"},
		{Options{URL: "grpc://host:4317"}, "url:"},
		{Options{URL: "https://user:secret@host/"}, "url: there is a password"},
		{Options{URL: "https://host/v1/logs?token=secret"}, "url: there is a ?"},
		{Options{URL: "https://host/secret\x7f"}, "url:"},
		{Options{URL: "https://host", Timeout: time.Millisecond}, "timeout: it is 1ms"},
		{Options{URL: "https://host", Header: map[string]string{"content-type": "x"}}, "header:"},
		{Options{URL: "https://host", Header: map[string]string{"X": "a\r\nb"}}, "header:"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{Cert: "x"}}, "tls:"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{CA: filepath.Join(dir, "none")}}, "none"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{CA: empty}}, "no authority"},
		{Options{URL: "https://host", TokenFile: filepath.Join(dir, "none")}, "none"},
		{Options{URL: "https://host", TokenFile: empty}, "nothing in it"},
	} {
		s, err := Open(c.o)
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

// TestDead: a collector that is not there fails a batch without a word of where
// it should be, and takes it when it is back (field-history L18, L29).
func TestDead(t *testing.T) {
	silence(t)
	addrs, err := freeport.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	address := addrs[0]
	s := open(t, Options{URL: "http://" + address + "/secret"})
	if err := s.Send(t.Context(), batch); kind(err) != "again" || strings.Contains(err.Error(), "secret") {
		t.Errorf("dead: %v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	handler, requests := fakeCollector(t, takes)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	server.Start()
	defer server.Close()
	if err := s.Send(t.Context(), batch); err != nil || len((<-requests).records) != 2 {
		t.Errorf("back: %v", err)
	}
}

// TestHanging: a collector that hangs costs the timeout, not more; what it has
// taken nevertheless comes again under the same ids (faults.md 83).
func TestHanging(t *testing.T) {
	silence(t)
	release := make(chan struct{})
	var slow atomic.Bool
	slow.Store(true)
	url, requests := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	s := open(t, Options{URL: url, Timeout: time.Second})
	start := time.Now()
	if err := s.Send(t.Context(), batch); kind(err) != "again" {
		t.Fatalf("hanging: %v", err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("it took %v", took)
	}
	slow.Store(false)
	close(release)
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	uid := func(g got) any { return attributes(g.records[1].GetAttributes())[attrUID] }
	if first, second := uid(<-requests), uid(<-requests); first == nil || first != second {
		t.Errorf("ids %v and %v", first, second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestBodiesAreRead: many answers, one connection (field-history L43).
func TestBodiesAreRead(t *testing.T) {
	silence(t)
	var conns, requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // as collectors do
		w.WriteHeader([]int{200, 500, 429, 400}[requests.Add(1)%4])
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	sink := open(t, Options{URL: s.URL})
	for range 200 {
		_ = sink.Send(t.Context(), batch) // whatever it says
	}
	if n := conns.Load(); n > 2 || requests.Load() != 200 {
		t.Errorf("%d connections, %d requests", n, requests.Load())
	}
}

// TestMutualTLS: the collector sees our certificate, the new one as soon as it is
// in the files; one that cannot prove who it is gets nothing (faults.md 86).
func TestMutualTLS(t *testing.T) {
	silence(t)
	ours, theirs, strange := authority(t, "ours"), authority(t, "theirs"), authority(t, "strange")
	dir := t.TempDir()
	seen := make(chan string, 10)
	handler, _ := fakeCollector(t, func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.TLS.PeerCertificates[0].URIs[0].String()
	})
	server := httptest.NewUnstartedServer(handler)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.PEM)
	issued := issue(t, theirs, "127.0.0.1:1")
	certificate, err := tls.X509KeyPair(issued.Cert, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Certificates: []tls.Certificate{certificate},
	}
	server.StartTLS()
	defer server.Close()
	files := tlsfiles.Options{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	put := func(i certs.Issued) {
		write(t, files.Cert, string(i.Cert))
		write(t, files.Key, string(i.Key))
	}
	put(issue(t, ours, "127.0.0.1:7700"))
	write(t, files.CA, string(theirs.PEM))
	s := open(t, Options{URL: server.URL, TLS: files})
	for _, name := range []string{"127.0.0.1:7700", "127.0.0.1:7711"} {
		put(issue(t, ours, name))
		s.files.LookAgain()
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != "gridmesh://g/"+name {
			t.Errorf("it saw %s, want %s", got, name)
		}
	}
	for what, wrong := range map[string]struct {
		spoil func()
		want  string
	}{
		"half a key":             {func() { write(t, files.Key, "half of a k") }, "tls.crt"},
		"a strange certificate":  {func() { put(issue(t, strange, "127.0.0.1:7713")) }, ""},
		"a collector of another": {func() { write(t, files.CA, string(strange.PEM)) }, "x509"},
	} {
		put(issue(t, ours, "127.0.0.1:7712"))
		write(t, files.CA, string(theirs.PEM))
		wrong.spoil()
		s.files.LookAgain()
		if err := s.Send(t.Context(), batch); kind(err) != "again" || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(seen) > 0 {
		t.Errorf("a batch came through: %s", <-seen)
	}
}

func authority(t *testing.T, name string) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *certs.Authority, name string) certs.Issued {
	t.Helper()
	i, err := a.Issue(certs.Leaf{Grid: "g", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return i
}
