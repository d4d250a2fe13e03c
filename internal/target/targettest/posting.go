package targettest

import (
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
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// Options are those that all sinks which post have in common.
type Options struct {
	URL       string
	TLS       tlsfiles.Options
	TokenFile string
	Header    map[string]string
	Timeout   time.Duration
}

// Open makes the sink that is tested. The second result has it read its files
// again.
type Open func(o Options) (target.Sink, func(), error)

// open is Open for a sink that ends with the test.
func (open Open) open(t *testing.T, o Options) (target.Sink, func()) {
	t.Helper()
	s, lookAgain, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, lookAgain
}

// Batch is some entries.
var Batch = target.Batch{Origin: "node-0:7700/audit", Run: "0192f3a4b5c6", Items: []target.Item{
	{ID: 1, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000001","time":"2026-03-01T10:00:00.000000001Z","event":"call"}`)},
	{ID: 2, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000002","time":"2026-03-01T10:00:00.5Z","event":"say \"hi\"\u001b"}`)},
}}

// Kind is what becomes of a batch of which Send says err.
func Kind(err error) string {
	if err == nil {
		return "done"
	}
	if _, rejected := errors.AsType[*target.Rejected](err); rejected {
		return "rejected"
	}
	return "again"
}

// serve is a receiver, which reads what comes before it answers.
func serve(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it is cut where the sink gives up
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Answers checks that any 2xx is a success, what is about the entries is final, all else is
// tried again, by whoever calls Send. No answer's text is in an error.
func Answers(t *testing.T, open Open) {
	t.Helper()
	var code, requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(int(code.Load()))
		_, _ = io.WriteString(w, "what was sent: secret-entry") // not in 204 and 304
	})
	server.Start()
	s, _ := open.open(t, Options{URL: server.URL + "/secret-path"})
	for c := 200; c < 600; c++ {
		code.Store(int64(c))
		requests.Store(0)
		err := s.Send(t.Context(), Batch)
		want := "again"
		switch {
		case c/100 == 2:
			want = "done"
		case c == 400 || c == 413 || c == 422:
			want = "rejected"
		}
		if Kind(err) != want || requests.Load() != 1 {
			t.Errorf("%d: %s (%v) in %d requests, want %s", c, Kind(err), err, requests.Load(), want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), strconv.Itoa(c))) {
			t.Errorf("%d: %v", c, err)
		}
	}
}

// RetryAfter checks that a receiver may ask for time, in seconds or with a date.
func RetryAfter(t *testing.T, open Open) {
	t.Helper()
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for text, want := range map[string]time.Duration{
			"": 0, "0": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999999": 0, "Mon, 01 Jan 2001 00:00:00 GMT": 0,
		} {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", text)
				w.WriteHeader(code)
			})
			server.Start()
			s, _ := open.open(t, Options{URL: server.URL})
			err := s.Send(t.Context(), Batch)
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

// BodiesAreRead checks that many answers take one connection, or a few: on a busy machine net/http
// gives one up whose request it is not sure to have written. Unread, 150 of the
// answers would cost theirs.
func BodiesAreRead(t *testing.T, open Open) {
	t.Helper()
	var conns, requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader([]int{200, 500, 429, 400}[requests.Add(1)%4])
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	s, _ := open.open(t, Options{URL: server.URL})
	for range 200 {
		_ = s.Send(t.Context(), Batch) // whatever it says
	}
	if n := conns.Load(); n > 20 || requests.Load() != 200 {
		t.Errorf("%d connections, %d requests", n, requests.Load())
	}
}

// MutualTLS checks that the receiver sees our certificate, the new one as soon as it is in
// the files; one that cannot prove who it is gets nothing.
func MutualTLS(t *testing.T, open Open) {
	t.Helper()
	ours, theirs, strange := Authority(t, "ours"), Authority(t, "theirs"), Authority(t, "strange")
	dir, seen := t.TempDir(), make(chan string, 10)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.TLS.PeerCertificates[0].URIs[0].String() })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.PEM)
	issued := Issue(t, theirs, "127.0.0.1:1")
	certificate, err := tls.X509KeyPair(issued.Cert, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Certificates: []tls.Certificate{certificate},
	}
	server.StartTLS()
	files := tlsfiles.Options{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	put := func(i certs.Issued) {
		Write(t, files.Cert, string(i.Cert))
		Write(t, files.Key, string(i.Key))
	}
	put(Issue(t, ours, "127.0.0.1:7700"))
	Write(t, files.CA, string(theirs.PEM))
	s, lookAgain := open.open(t, Options{URL: server.URL, TLS: files})
	good := func(name string) {
		t.Helper()
		put(Issue(t, ours, name))
		Write(t, files.CA, string(theirs.PEM))
		lookAgain()
		if err := s.Send(t.Context(), Batch); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != "gridmesh://g/"+name {
			t.Errorf("it saw %s, want %s", got, name)
		}
	}
	good("127.0.0.1:7700")
	for what, wrong := range map[string]struct {
		spoil func()
		want  string
	}{
		"half a key":            {func() { Write(t, files.Key, "half of a k") }, "tls.crt"},
		"a strange certificate": {func() { put(Issue(t, strange, "127.0.0.1:7713")) }, ""},
		"a receiver of another": {func() { Write(t, files.CA, string(strange.PEM)) }, "x509"},
	} {
		wrong.spoil()
		lookAgain()
		if err := s.Send(t.Context(), Batch); Kind(err) != "again" || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("%s: %v", what, err)
		}
		if len(seen) > 0 {
			t.Errorf("%s: a batch came through: %s", what, <-seen)
		}
		good("127.0.0.1:7711")
	}
}

// Checks sees to it that what cannot work is refused with the option's name, and
// without what may be secret in it.
func Checks(t *testing.T, open Open) {
	t.Helper()
	dir := t.TempDir()
	none, empty := filepath.Join(dir, "none"), filepath.Join(dir, "empty")
	Write(t, empty, "\n")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "url:"},
		{Options{URL: "ftp://host/"}, "url:"},
		{Options{URL: "https://"}, "url:"},
		{Options{URL: "https://user:secret@host/"}, "url: there is a password"}, //nolint:gosec // nobody's
		{Options{URL: "https://host/secret\x7f"}, "url:"},
		{Options{URL: "https://host", Timeout: time.Millisecond}, "timeout: it is 1ms"},
		{Options{URL: "https://host", Header: map[string]string{"content-type": "x"}}, "header:"},
		{Options{URL: "https://host", Header: map[string]string{"X": "a\r\nb"}}, "header:"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{Cert: "x"}}, "tls:"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{CA: none}}, "none"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{CA: empty}}, "no authority"},
		{Options{URL: "https://host", TLS: tlsfiles.Options{Cert: empty, Key: empty}}, "empty"},
		{Options{URL: "https://host", TokenFile: none}, "none"},
		{Options{URL: "https://host", TokenFile: empty}, "nothing in it"},
	} {
		_, _, err := open(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}
