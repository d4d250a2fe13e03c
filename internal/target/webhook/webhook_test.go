package webhook

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// got is a request as a receiver sees it.
type got struct {
	header http.Header
	body   string
	path   string
}

// serve is a receiver that answers as it is told.
func serve(t *testing.T, answer http.HandlerFunc) (url string, requests chan got) {
	t.Helper()
	requests = make(chan got, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- read(t, r)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func read(t *testing.T, r *http.Request) got {
	t.Helper()
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return got{}
		}
		body = zip
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return got{r.Header, string(text), r.URL.Path}
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func open(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var batch = targettest.Batch

var lines = string(batch.Items[0].Data) + "\n" + string(batch.Items[1].Data) + "\n"

// TestRequest: what a receiver gets (field-history L2, L6, D4).
func TestRequest(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	targettest.Write(t, token, "secret-1\n")
	for _, compress := range []bool{false, true} {
		url, requests := serve(t, ok)
		s := open(t, Options{
			URL: url + "/in?x=1", TokenFile: token, Compress: compress, UserAgent: "gridmesh/1",
			Header: map[string]string{"X-Scope-OrgID": "tenant"},
		})
		for _, text := range []string{"secret-1", "secret-2"} { // read afresh each time
			targettest.Write(t, token, text)
			if err := s.Send(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			r := <-requests
			if r.body != lines || r.path != "/in" {
				t.Errorf("got %q at %s", r.body, r.path)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/x-ndjson", "Idempotency-Key": `"node-0:7700/audit/0192f3a4b5c6-1-2"`, "Gridmesh-Entries": "2",
				"Authorization": "Bearer " + text, "User-Agent": "gridmesh/1", "X-Scope-Orgid": "tenant",
			} {
				if r.header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, r.header.Get(name), want)
				}
			}
		}
	}
}

// TestRedirects: entries go to the server that was named, and to no other.
func TestRedirects(t *testing.T) {
	other, strangers := serve(t, ok)
	var to string
	var code int
	url, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/in" {
			http.Redirect(w, r, to, code)
		}
	})
	for _, c := range []struct {
		to     string
		code   int
		passes bool
	}{
		{"/moved", 307, true}, {"/moved", 308, true}, {"/moved", 302, false}, {"/moved", 303, false},
		{other + "/in", 307, false}, {other + "/in", 308, false}, {other + "/in", 301, false},
		{strings.Replace(url, "http:", "https:", 1), 307, false}, {"/in", 307, false},
	} {
		to, code = c.to, c.code
		err := open(t, Options{URL: url + "/in", Header: map[string]string{"Authorization": "Basic secret"}}).Send(t.Context(), batch)
		if (err == nil) != c.passes {
			t.Errorf("%d to %s: %v", code, to, err)
		}
		last := got{}
		for len(requests) > 0 {
			last = <-requests
		}
		if c.passes && (last.path != "/moved" || last.body != lines || last.header.Get("Authorization") == "") {
			t.Errorf("%d to %s: came as %+v", code, to, last)
		}
	}
	if len(strangers) > 0 {
		t.Error("another server got entries")
	}
}

// TestSlow: a receiver that hangs costs the timeout, not more; a batch that it
// has taken nevertheless comes again under the same key (faults.md 83).
func TestSlow(t *testing.T) {
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
	if err := s.Send(t.Context(), batch); err == nil {
		t.Fatal("it took what nobody has answered")
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("it took %v", took)
	}
	slow.Store(false)
	close(release)
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	first, second := <-requests, <-requests
	if key := first.header.Get(headerKey); key == "" || key != second.header.Get(headerKey) {
		t.Errorf("keys %q and %q", key, second.header.Get(headerKey))
	}
	slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestProxy(t *testing.T) {
	var asked string
	proxy, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Host })
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // counts for nothing
	if err := open(t, Options{URL: "http://receiver.example/in", Proxy: proxy}).Send(t.Context(), batch); err != nil || asked != "receiver.example" {
		t.Errorf("asked for %q, %v", asked, err)
	}
}

func TestJSONArray(t *testing.T) {
	url, requests := serve(t, ok)
	if err := open(t, Options{URL: url, Format: JSON}).Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	if err := json.Unmarshal([]byte((<-requests).body), &all); err != nil || len(all) != 2 || all[1]["event"] != "say \"hi\"\x1b" {
		t.Errorf("%v, %v", all, err)
	}
}

// TestLoki checks the body as Loki's push API reads it.
func TestLoki(t *testing.T) {
	url, requests := serve(t, ok)
	if err := open(t, Options{URL: url + "/loki/api/v1/push", Format: Loki, Labels: map[string]string{"job": "grid", "cluster": "a"}}).Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	r := <-requests
	var push struct {
		Streams []struct {
			Stream map[string]string `json:"stream"`
			Values [][2]string       `json:"values"`
		} `json:"streams"`
	}
	if err := json.Unmarshal([]byte(r.body), &push); err != nil || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, r.body)
	}
	want := fmt.Sprint([][2]string{{"1772359200000000001", string(batch.Items[0].Data)}, {"1772359200500000000", string(batch.Items[1].Data)}})
	if s := push.Streams; len(s) != 1 || s[0].Stream["cluster"] != "a" || fmt.Sprint(s[0].Values) != want {
		t.Errorf("got %+v, want %s", s, want)
	}
}

// TestElasticsearchSaysMuch: its answer has some hundred bytes for each document,
// and more for each that it rejects. However long, a batch is delivered, or it is
// found out in smaller ones what cannot be; it is not sent again for ever.
func TestElasticsearchSaysMuch(t *testing.T) {
	long := target.Batch{Origin: batch.Origin, Run: batch.Run}
	for range 5000 {
		long.Items = append(long.Items, batch.Items[0])
	}
	item := `{"create":{"_index":"grid","_id":"x","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201` + strings.Repeat(" ", 150) + `}}`
	for _, c := range []struct {
		name, reply string
		rejected    bool
	}{
		{"taken", `{"errors":true,"items":[` + strings.TrimSuffix(strings.Repeat(item+",", len(long.Items)), ",") + `]}`, false},
		{"endless", `{"errors":true,"items":[` + strings.Repeat(item+",", 20*len(long.Items)), true},
	} {
		url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.reply) })
		err := open(t, Options{URL: url, Format: Elasticsearch}).Send(t.Context(), long)
		if _, rejected := errors.AsType[*target.Rejected](err); rejected != c.rejected || err != nil && !rejected {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestElasticsearch checks the body as the bulk API reads it, and what becomes
// of documents that it does not take.
func TestElasticsearch(t *testing.T) {
	for _, c := range []struct {
		reply, want string
	}{
		{`{"errors":false,"items":[]}`, "done"},
		{`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}}]}`, "done"}, // there already
		{`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400}}]}`, "rejected"},
		{`{"errors":true,"items":[{"create":{"status":400}},{"create":{"status":429}}]}`, "again"},
		{`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":503}}]}`, "again"},
		{`{"errors":true,"items":[{"create":{"status":201}}]}`, "again"}, // what of the other one?
		{`{"message":"welcome"}`, "again"},
		{`<html>`, "again"},
	} {
		url, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.reply) })
		err := open(t, Options{URL: url + "/grid/_bulk", Format: Elasticsearch}).Send(t.Context(), batch)
		if targettest.Kind(err) != c.want {
			t.Errorf("%s: %v, want %s", c.reply, err, c.want)
		}
		r := <-requests
		all := strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
		if len(all) != 4 || all[0] != `{"create":{"_id":"node-0:7700/audit/0192f3a4b5c6-0000000000000001"}}` || all[1] != string(batch.Items[0].Data) || !strings.HasSuffix(r.body, "\n") {
			t.Errorf("got %s", r.body)
		}
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
	targettest.Answers(t, opens)
}

func TestRetryAfter(t *testing.T) {
	targettest.RetryAfter(t, opens)
}

// TestBodiesAreRead: field-history L43.
func TestBodiesAreRead(t *testing.T) {
	targettest.BodiesAreRead(t, opens)
}

// TestMutualTLS: faults.md 86.
func TestMutualTLS(t *testing.T) {
	targettest.MutualTLS(t, opens)
}

// TestChecks: field-history L1, L7, L24, D9, D15.
func TestChecks(t *testing.T) {
	targettest.Checks(t, opens)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{URL: "https://host", Format: "xml"}, "format:"},
		{Options{URL: "https://host", Labels: map[string]string{"a": "b"}}, "labels:"},
		{Options{URL: "https://host", Proxy: "::"}, "proxy:"},
	} {
		if _, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}
