package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

func call(peer, handler string) string { return "/v1/call/" + peer + "/" + handler }

func stream(peer, handler string) string { return "/v1/stream/" + peer + "/" + handler }

func TestCalls(t *testing.T) {
	a, b := pair(t, "--max-message=1MiB")
	for id, fn := range map[grid.HandlerID]grid.SingleHandler{
		"test/fails": func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no such luck") },
		"test/refuses": func(context.Context, []byte) ([]byte, error) {
			return nil, grid.NewError(grid.CodeInvalidArgument, "not like this")
		},
		"test/forwards": func(context.Context, []byte) ([]byte, error) { return nil, grid.ErrNotLinked },
		"test/waits":    func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		if err := b.m.RegisterSingle(id, fn); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.config.Name).Supports(id) })
	}
	self, other := a.config.Name, b.config.Name
	big := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, path, body string
		status           int
		outcome          string
		want             string // in the body, or in the reason
	}{
		{"echo", call(other, "echo"), "hello", 200, adminapi.OutcomeAnswered, "hello"},
		{"nothing", call(other, "echo"), "", 200, adminapi.OutcomeAnswered, ""},
		{"echo of oneself", call(self, "echo"), "hello", 200, adminapi.OutcomeAnswered, "hello"},
		{"all that is allowed", call(other, "echo"), big, 200, adminapi.OutcomeAnswered, big},
		{"a byte more", call(other, "echo"), big + "x", 413, adminapi.OutcomeNotSent, "more than this node holds"},
		{"who I am", call(other, "info"), "", 200, adminapi.OutcomeAnswered, `"caller":"` + self + `"`},
		{"no such peer", call("nobody:1", "echo"), "", 404, adminapi.OutcomeNotSent, `there is no peer "nobody:1"`},
		{"no such handler", call(other, "nope"), "", 404, adminapi.OutcomeNotSent, "the peer has no such handler"},
		{"a stream's handler", call(other, "digest"), "", 404, adminapi.OutcomeNotSent, "the peer has no such handler"},
		{"a handler with a slash, failing", call(other, "test/fails"), "", 502, adminapi.OutcomeAnswered, "no such luck"},
		{"a handler that refuses", call(other, "test/refuses"), "", 422, adminapi.OutcomeAnswered, "not like this"},
		{"a handler's own missing link", call(other, "test/forwards"), "", 502, adminapi.OutcomeAnswered, "no link"},
		{"out of time", call(other, "test/waits") + "?timeout=20ms", "", 504, "", "deadline"},
		{"no time", call(other, "echo") + "?timeout=0s", "", 400, adminapi.OutcomeNotSent, "timeout is"},
		{"a strange time", call(other, "echo") + "?timeout=soon", "", 400, adminapi.OutcomeNotSent, "timeout is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := a.send("POST", tt.path, nil, tt.body)
			if got.status != tt.status || tt.outcome != "" && got.header.Get(adminapi.HeaderOutcome) != tt.outcome {
				t.Fatalf("status %d, outcome %q: %.300s", got.status, got.header.Get(adminapi.HeaderOutcome), got.body)
			}
			text := got.body
			if tt.status != http.StatusOK {
				e := got.failure(t)
				if text = e.Message; e.Outcome != got.header.Get(adminapi.HeaderOutcome) {
					t.Errorf("the outcome is %q in the body", e.Outcome)
				}
			}
			if !strings.Contains(text, tt.want) || tt.name == "nothing" && text != "" {
				t.Errorf("got %.300q, want %.300q", text, tt.want)
			}
		})
	}
	if used := a.held.used.Load(); used != 0 {
		t.Errorf("%d bytes are held for calls that have ended", used)
	}
}

func TestCallsToAPeerThatIsDown(t *testing.T) {
	names := freePorts(t, 2)
	a := start(t, "--name="+names[0], "--peers="+strings.Join(names, ","), "--admin-addr=127.0.0.1:0", "--insecure-plain-text")
	eventually(t, "the list to be in use", func() bool { return a.m.Connection(names[1]) != nil })
	got := a.send("POST", call(names[1], "echo"), nil, "x")
	if e := got.failure(t); got.status != http.StatusServiceUnavailable || e.Outcome != adminapi.OutcomeNotSent || !strings.Contains(e.Hint, "--wait") {
		t.Errorf("status %d: %+v", got.status, e)
	}
	got = a.send("POST", call(names[1], "echo")+"?wait=true&timeout=30ms", nil, "x")
	if e := got.failure(t); got.status != http.StatusGatewayTimeout || e.Outcome != adminapi.OutcomeNotSent {
		t.Errorf("waiting in vain: status %d: %+v", got.status, e)
	}
	done := make(chan answered)
	go func() { done <- a.send("POST", call(names[1], "echo")+"?wait=true&timeout=30s", nil, "late") }()
	start(t, "--name="+names[1], "--peers="+strings.Join(names, ","), "--admin-addr=127.0.0.1:0", "--insecure-plain-text")
	if got := <-done; got.body != "late" {
		t.Errorf("waiting for a node to come: status %d, %q", got.status, got.body)
	}
}

// A caller at the admin port who goes takes the call in the mesh along.
func TestCallGivenUp(t *testing.T) {
	a, b := pair(t)
	began, ended := make(chan struct{}), make(chan struct{}, 1)
	err := b.m.RegisterSingle("test/waits", func(ctx context.Context, _ []byte) ([]byte, error) {
		close(began)
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.config.Name).Supports("test/waits") })
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.addr+call(b.config.Name, "test/waits"), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		cancel()
	}()
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
		t.Error("an answer, though nobody waits for it")
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the handler runs on")
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestStreams(t *testing.T) {
	a, b := pair(t, "--max-message=1MiB")
	for id, s := range map[grid.HandlerID]grid.StreamHandler{
		"test.upper": {InCapacity: 4, OutCapacity: 4, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			for msg, err := range s.All() {
				if err != nil {
					return err
				}
				if err := s.Send(ctx, []byte(strings.ToUpper(string(msg)))); err != nil {
					return err
				}
			}
			return nil
		}},
		"test.opened": {OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error { return s.Send(ctx, s.Payload()) }},
		"test.breaks": {InCapacity: 1, OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			return errors.Join(s.Send(ctx, []byte("first")), grid.NewError(grid.CodeNotFound, "nö\nluck"))
		}},
		"test.mute":  {OutCapacity: 1, Serve: func(ctx context.Context, _ *grid.HandlerStream) error { <-ctx.Done(); return ctx.Err() }},
		"test.waits": {InCapacity: 1, OutCapacity: 1, Serve: func(ctx context.Context, _ *grid.HandlerStream) error { <-ctx.Done(); return ctx.Err() }},
	} {
		if err := b.m.RegisterStream(id, s); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.config.Name).Supports(id) })
	}
	peer := b.config.Name
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	line := strings.Repeat("y", 1<<20)
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
		outcome, reason  string
	}{
		{"a digest", stream(peer, "digest") + "?framing=raw", big, 200, sha(big), adminapi.OutcomeAnswered, ""},
		{"a digest of nothing", stream(peer, "digest") + "?framing=raw", "", 200, sha(""), adminapi.OutcomeAnswered, ""},
		{"a digest of lines", stream(peer, "digest") + "?framing=lines", "a\nb\r\n\nc", 200, sha("ab\rc") + "\n", adminapi.OutcomeAnswered, ""},
		{"a digest at home", stream(a.config.Name, "digest") + "?framing=raw", big, 200, sha(big), adminapi.OutcomeAnswered, ""},
		{"lines", stream(peer, "test.upper") + "?framing=lines", "a\n\nb", 200, "A\n\nB\n", adminapi.OutcomeAnswered, ""},
		{"raw", stream(peer, "test.upper") + "?framing=raw", "a\n\nb", 200, "A\n\nB", adminapi.OutcomeAnswered, ""},
		{"the longest line", stream(peer, "test.upper") + "?framing=lines", line + "\n", 200, strings.ToUpper(line) + "\n", adminapi.OutcomeAnswered, ""},
		{"a longer line", stream(peer, "test.upper") + "?framing=lines", line + "y\n", 200, "", adminapi.OutcomeMaybe, "a line of more than 1048576 bytes"},
		{"opened with", stream(peer, "test.opened") + "?framing=lines&payload=a%20b", "", 200, "a b\n", adminapi.OutcomeAnswered, ""},
		{"nothing may be sent", stream(peer, "test.mute") + "?framing=lines", "x\n", 200, "", "", "takes no messages"},
		{"an error", stream(peer, "test.breaks") + "?framing=lines", "", 200, "first\n", adminapi.OutcomeAnswered, "n?\nluck"},
		{"out of time", stream(peer, "test.waits") + "?framing=raw&timeout=30ms", "", 200, "", "", "deadline"},
		{"no framing", stream(peer, "digest"), "", 400, "", adminapi.OutcomeNotSent, `framing is ""`},
		{"a strange framing", stream(peer, "digest") + "?framing=xml", "", 400, "", adminapi.OutcomeNotSent, `framing is "xml"`},
		{"a single's handler", stream(peer, "echo") + "?framing=raw", "", 404, "", adminapi.OutcomeNotSent, "no such handler"},
		{"no such peer", stream("nobody:1", "digest") + "?framing=raw", "", 404, "", adminapi.OutcomeNotSent, "there is no peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := a.send("POST", tt.path, nil, tt.body)
			if got.status != tt.status {
				t.Fatalf("status %d: %.300s", got.status, got.body)
			}
			if tt.status != http.StatusOK {
				if e := got.failure(t); !strings.Contains(e.Message, tt.reason) || e.Outcome != tt.outcome {
					t.Errorf("failed with %+v", e)
				}
				return
			}
			if tt.reason == "" && got.body != tt.want || !strings.HasPrefix(got.body, tt.want) {
				t.Errorf("got %.200q, want %.200q", got.body, tt.want)
			}
			if outcome := got.trailer.Get(adminapi.HeaderOutcome); outcome != tt.outcome && tt.outcome != "" {
				t.Errorf("outcome %q, want %q", outcome, tt.outcome)
			}
			var e adminapi.Error
			if text := got.trailer.Get(adminapi.HeaderError); text != "" {
				if err := json.Unmarshal([]byte(text), &e); err != nil {
					t.Errorf("%v: %q", err, text)
				}
			}
			if !strings.Contains(e.Message, tt.reason) || (e.Message == "") != (tt.reason == "") {
				t.Errorf("ended with %q, want %q", e.Message, tt.reason)
			}
		})
	}
	eventually(t, "all places to be free", func() bool { return len(a.Node.running) == 0 })
	if open := a.m.Stats().Links[0].StreamsOpen; open != 0 {
		t.Errorf("%d streams are open", open)
	}
}

// Both directions at once, over HTTP/1.1 as well: a message comes back before
// the next one is sent.
func TestStreamGoesBothWaysAtOnce(t *testing.T) {
	a, b := pair(t)
	err := b.m.RegisterStream("test.echo", grid.StreamHandler{InCapacity: 1, OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
		for msg, err := range s.All() {
			if err != nil || s.Send(ctx, msg) != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.config.Name).Supports("test.echo") })
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			var protocols http.Protocols
			protocols.SetHTTP1(version == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(version != "HTTP/1.1")
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
			defer client.CloseIdleConnections()
			in, out := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.addr+stream(b.config.Name, "test.echo")+"?framing=lines", in)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if response.Proto != version {
				t.Fatalf("spoke %s", response.Proto)
			}
			for i := range 10 {
				want := fmt.Sprintf("message %d\n", i)
				if _, err := io.WriteString(out, want); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			_ = out.Close()
			if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 || response.Trailer.Get(adminapi.HeaderOutcome) != adminapi.OutcomeAnswered {
				t.Errorf("at the end: %q, %v, %v", rest, err, response.Trailer)
			}
		})
	}
}

// A body that breaks off is not the end of the messages: the handler must not
// take half of them for all.
func TestStreamOfABrokenBody(t *testing.T) {
	a, b := pair(t)
	ends := make(chan error, 1)
	err := b.m.RegisterStream("test.reads", grid.StreamHandler{InCapacity: 4, OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
		for {
			if _, err := s.Recv(ctx); err != nil {
				ends <- err
				return err
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.config.Name).Supports("test.reads") })
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.addr+stream(b.config.Name, "test.reads")+"?framing=raw", in)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = out.CloseWithError(errors.New("broken"))
	_ = response.Body.Close()
	select {
	case err := <-ends:
		if errors.Is(err, io.EOF) {
			t.Error("the handler saw a clean end")
		}
	case <-time.After(patience):
		t.Error("the handler waits on")
	}
}

func TestBenches(t *testing.T) {
	a, b := pair(t)
	path := "/v1/bench/" + b.config.Name
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{path, `{"callers":4,"bytes":100,"for_ms":50}`, 200, ""},
		{path, `{"callers":1,"bytes":0,"for_ms":1}`, 200, ""},
		{path, `{"callers":0,"bytes":1,"for_ms":1}`, 422, "callers is 0, allowed are 1 to 1024"},
		{path, `{"callers":1025,"bytes":1,"for_ms":1}`, 422, "callers is 1025"},
		{path, `{"callers":1024,"bytes":1,"for_ms":1}`, 200, ""},
		{path, `{"callers":1,"bytes":1048576,"for_ms":1}`, 200, ""},
		{path, `{"callers":1,"bytes":1048577,"for_ms":1}`, 422, "bytes is 1048577, allowed are 0 to 1048576"},
		{path, `{"callers":1,"bytes":-1,"for_ms":1}`, 422, "bytes is -1"},
		{path, `{"callers":1,"bytes":1,"for_ms":0}`, 422, "for_ms is 0, allowed are 1 to 60000"},
		{path, `{"callers":1,"bytes":1,"for_ms":60001}`, 422, "for_ms is 60001"},
		{path, `fast`, 400, "not JSON"},
		{path, strings.Repeat(" ", 5000), 413, "larger than allowed"},
		{"/v1/bench/nobody:1", `{"callers":1,"bytes":1,"for_ms":1}`, 422, `there is no peer "nobody:1"`},
	} {
		got := a.send("POST", tt.path, nil, tt.body)
		if got.status != tt.status {
			t.Errorf("%.80s: status %d: %s", tt.body, got.status, got.body)
			continue
		}
		if tt.status != http.StatusOK {
			if e := got.failure(t); !strings.Contains(e.Message, tt.want) {
				t.Errorf("%.80s: %+v", tt.body, e)
			}
			continue
		}
		var r adminapi.BenchResult
		if err := json.Unmarshal([]byte(got.body), &r); err != nil || r.Calls == 0 || r.P50Millis <= 0 || r.P99Millis < r.P50Millis ||
			r.MaxMillis < r.P99Millis || len(r.Errors) > 0 || r.From != a.config.Name || r.To != b.config.Name {
			t.Errorf("%.80s: %+v, %v", tt.body, r, err)
		}
	}

	// The same between two other nodes, asked of one of them; one at a time.
	got := a.send("POST", call(b.config.Name, "bench"), nil, `{"to":"`+a.config.Name+`","callers":1,"bytes":1,"for_ms":10}`)
	if !strings.Contains(got.body, `"from":"`+b.config.Name+`"`) {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	b.bench.running.Store(true)
	got = a.send("POST", call(b.config.Name, "bench"), nil, `{"to":"`+a.config.Name+`","callers":1,"bytes":1,"for_ms":10}`)
	if e := got.failure(t); e.Code != string(grid.CodeUnavailable) || !strings.Contains(e.Message, "measures already") {
		t.Errorf("two at once: %+v", e)
	}
}

func TestAdminPortHasSoManyPlaces(t *testing.T) {
	n := alone(t)
	n.waitReady()
	places := n.Node.running
	for range adminCalls - 1 {
		places <- struct{}{}
	}
	if got := n.send("POST", call(n.config.Name, "echo"), nil, "x"); got.status != http.StatusOK {
		t.Errorf("with a place left: status %d", got.status)
	}
	places <- struct{}{}
	got := n.send("POST", call(n.config.Name, "echo"), nil, "x")
	if e := got.failure(t); got.status != http.StatusTooManyRequests || e.Outcome != adminapi.OutcomeNotSent {
		t.Errorf("without: status %d, %+v", got.status, e)
	}
	for range adminCalls {
		<-places
	}
	n.held.used.Store(n.held.most - 1)
	if got := n.send("POST", call(n.config.Name, "echo"), nil, "x"); got.status != http.StatusOK {
		t.Errorf("with a byte left: status %d", got.status)
	}
	if got := n.send("POST", call(n.config.Name, "echo"), nil, "xx"); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("without: status %d", got.status)
	}
}

func TestDigestOfACutStreamIsNone(t *testing.T) {
	a, b := pair(t)
	s, err := a.m.Connection(b.config.Name).OpenStream(t.Context(), handlerDigest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []byte("half")); err != nil {
		t.Fatal(err)
	}
	s.Cancel(nil)
	if msg, err := s.Recv(t.Context()); err == nil {
		t.Errorf("a digest of half: %s", msg)
	}
}
