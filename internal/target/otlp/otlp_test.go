package otlp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
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
	targettest.Write(t, token, "secret-1\n")
	for _, compress := range []bool{false, true} {
		for path, want := range map[string]string{"": "/v1/logs", "/": "/v1/logs", "/otlp/v1/logs": "/otlp/v1/logs"} {
			url, requests := serve(t, takes)
			s := open(t, Options{
				URL: url + path, TokenFile: token, Compress: compress, UserAgent: "gridmesh/1",
				Header: map[string]string{"X-Scope-OrgID": "tenant"},
			})
			for _, text := range []string{"secret-1", "secret-2"} { // read afresh each time
				targettest.Write(t, token, text)
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
		if targettest.Kind(err) != c.want || err != nil && strings.Contains(err.Error(), "secret") {
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
	if err := s.Send(t.Context(), batch); targettest.Kind(err) != "again" || strings.Contains(err.Error(), "secret") {
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
	if err := s.Send(t.Context(), batch); targettest.Kind(err) != "again" {
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

// opens makes a sink for the tests that all share which post.
func opens(o targettest.Options) (target.Sink, func(), error) {
	s, err := Open(Options{URL: o.URL, TLS: o.TLS, TokenFile: o.TokenFile, Header: o.Header, Timeout: o.Timeout})
	if err != nil {
		return nil, nil, err
	}
	return s, s.files.LookAgain, nil
}

// TestAnswers: field-history L5.
func TestAnswers(t *testing.T) {
	silence(t)
	targettest.Answers(t, opens)
}

func TestRetryAfter(t *testing.T) {
	silence(t)
	targettest.RetryAfter(t, opens)
}

// TestBodiesAreRead: field-history L43.
func TestBodiesAreRead(t *testing.T) {
	silence(t)
	targettest.BodiesAreRead(t, opens)
}

// TestMutualTLS: faults.md 86.
func TestMutualTLS(t *testing.T) {
	silence(t)
	targettest.MutualTLS(t, opens)
}

// TestChecks: field-history L1, L7, L24, D9, D15.
func TestChecks(t *testing.T) {
	targettest.Checks(t, opens)
	for _, url := range []string{"grpc://host:4317", "https://host/v1/logs?token=secret"} {
		if _, err := Open(Options{URL: url}); err == nil || !strings.Contains(err.Error(), "url: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
