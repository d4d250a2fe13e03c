package gridpod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/nodectl"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// line is an entry of a tail.
type line struct {
	Msg     string `json:"msg"`
	Node    string `json:"node"`
	Shelf   int    `json:"shelf"`
	Event   string `json:"event"`
	Handler string `json:"handler"`
	Peer    string `json:"peer"`
}

// tail opens a tail of another pod, or of the pod itself.
func (r *running) tail(to *running, handler grid.HandlerID, ask any) *grid.CallerStream {
	r.t.Helper()
	payload, err := json.Marshal(ask)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	eventually(r.t, "the handler to be known", func() bool { return r.m.Connection(to.name()).Supports(handler) })
	s, err := r.m.Connection(to.name()).OpenStream(ctx, handler, payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func next(t *testing.T, s *grid.CallerStream) (line, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := s.Recv(ctx)
	if err != nil {
		return line{}, err
	}
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return l, nil
}

// rest reads to the end, which must be a clean one.
func rest(t *testing.T, s *grid.CallerStream) (all []line) {
	t.Helper()
	for {
		l, err := next(t, s)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// TestTailsOfPods: a pod shows every member what it has logged, and what its
// program has by LogHandler, without any target; who calls it is seen by who follows.
func TestTailsOfPods(t *testing.T) {
	o := newOperator(t, false)
	pods := o.grid(2)
	a, b := pods[0], pods[1]
	slog.New(b.LogHandler()).Info("opened", "shelf", 3)
	slog.New(b.LogHandler()).Debug("not at this level")
	for _, from := range pods {
		all := rest(t, from.tail(b, adminapi.HandlerLogTail, adminapi.LogTail{Tail: adminapi.Tail{Past: 1000}}))
		for _, want := range []string{"node started", "opened"} {
			if !slices.ContainsFunc(all, func(l line) bool { return l.Msg == want && l.Node == b.name() }) {
				t.Errorf("%q of %s is not in %v", want, b.name(), all)
			}
		}
		ask := adminapi.LogTail{Tail: adminapi.Tail{Past: 1000}, Text: []string{"open"}, Attrs: map[string]string{"shelf": "3"}}
		if all := rest(t, from.tail(b, adminapi.HandlerLogTail, ask)); len(all) != 1 || all[0].Msg != "opened" {
			t.Errorf("of those with a word and an attribute: %v", all)
		}
	}
	follow := a.tail(b, adminapi.HandlerAuditTail, adminapi.AuditTail{Tail: adminapi.Tail{Follow: true}, Handlers: []string{"echo"}})
	seen := make(chan line, 1)
	go func() {
		l, err := next(t, follow)
		if err != nil {
			t.Error(err)
		}
		seen <- l
	}()
	eventually(t, "a call to be seen", func() bool {
		if _, err := a.m.Connection(b.name()).Request(t.Context(), "echo", nil); err != nil {
			t.Fatal(err)
		}
		select {
		case l := <-seen:
			return l == line{Node: b.name(), Event: "call", Handler: "echo", Peer: a.name()}
		default:
			return false
		}
	})
}

// TestTailDoesNotKeepPod: a pod that leaves ends the tails that it serves.
func TestTailDoesNotKeepPod(t *testing.T) {
	o := newOperator(t, false)
	o.file.DrainTimeout = "10m"
	pods := o.grid(2)
	s := pods[0].tail(pods[1], adminapi.HandlerLogTail, adminapi.LogTail{Tail: adminapi.Tail{Past: 1, Follow: true}})
	if _, err := next(t, s); err != nil {
		t.Fatal(err)
	}
	pods[1].stop()
	for {
		_, err := next(t, s)
		if err == nil {
			continue
		}
		remote := new(grid.RemoteError)
		if !errors.As(err, &remote) || remote.Code != grid.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the tail ended with %v", err)
		}
		break
	}
	<-pods[1].done
	if pods[1].err != nil {
		t.Error(pods[1].err)
	}
}

// TestLocalTails: GRID_TAILS means for a pod what it means for a node.
func TestLocalTails(t *testing.T) {
	t.Setenv("GRID_TAILS", "local")
	o := newOperator(t, false)
	pods := o.grid(2)
	for _, handler := range []grid.HandlerID{adminapi.HandlerLogTail, adminapi.HandlerAuditTail} {
		remote := new(grid.RemoteError)
		if _, err := next(t, pods[0].tail(pods[1], handler, adminapi.Tail{Past: 1})); !errors.As(err, &remote) || remote.Code != grid.CodePermission {
			t.Errorf("%s from another pod: %v", handler, err)
		}
		rest(t, pods[1].tail(pods[1], handler, adminapi.Tail{Past: 1}))
	}
	t.Setenv("GRID_TAILS", "nobody")
	dir, _ := o.mount("web-9")
	if _, err := fromDir(dir, "web-9"); err == nil || !strings.Contains(err.Error(), `GRID_TAILS is "nobody": say mesh or local`) {
		t.Errorf("a word that means nothing: %v", err)
	}
}

// TestOwnTail: a program that has a handler of that name keeps it.
func TestOwnTail(t *testing.T) {
	o := newOperator(t, false)
	dir, name := o.mount("web-0")
	o.publish(o.sign(name), dir)
	r := o.open(dir, name)
	own := func(context.Context, []byte) ([]byte, error) { return []byte("mine"), nil }
	if err := r.m.RegisterSingle(adminapi.HandlerLogTail, own); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(r.done)
		r.err = r.ServeContext(ctx, r.m)
	}()
	defer r.client.CloseIdleConnections()
	r.waitReady()
	if got, err := r.m.Connection(name).Request(t.Context(), adminapi.HandlerLogTail, nil); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
	rest(t, r.tail(r, adminapi.HandlerAuditTail, adminapi.Tail{Past: 1}))
	if got := r.log.String(); !strings.Contains(got, "handler=log.tail") {
		t.Errorf("nothing is said of it: %s", got)
	}
	cancel()
	<-r.done
	if r.err != nil {
		t.Error(r.err)
	}
}

// TestTailByAdminPort: whoever is on the pod's own machine, as through a
// port-forward, reads the tails of all members by its admin port, and makes no
// other stream there.
func TestTailByAdminPort(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	a, b := pods[0], pods[1]
	slog.New(b.LogHandler()).Info("opened")
	eventually(t, "the handler to be known", func() bool { return a.m.Connection(b.name()).Supports(adminapi.HandlerLogTail) })
	tail := adminapi.PathStream + "/" + b.name() + "/" + adminapi.HandlerLogTail + "?framing=lines&payload=%7B%22past%22:1000%7D"
	if got := a.send(http.MethodPost, tail, "", ""); got.status != http.StatusOK || !strings.Contains(got.body, `"msg":"opened"`) {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	for _, tt := range []struct {
		name, path string
		header     map[string]string
		from       string
		want       int
	}{
		{"from the network", tail, nil, "10.0.0.7:1234", http.StatusUnauthorized},
		{"by a web page", tail, map[string]string{"Origin": "http://evil.example"}, "127.0.0.1:1234", http.StatusForbidden},
		{"with a token, of which there is none", tail, map[string]string{"Authorization": "Bearer "}, "127.0.0.1:1234", http.StatusUnauthorized},
		{"another stream", adminapi.PathStream + "/" + b.name() + "/echo?framing=lines", nil, "127.0.0.1:1234", http.StatusNotFound},
		{"of nobody", adminapi.PathStream + "/nobody:1/" + adminapi.HandlerLogTail + "?framing=lines", nil, "127.0.0.1:1234", http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(""))
		r.RemoteAddr, r.Host = tt.from, "127.0.0.1:7701"
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		a.handler(a.m).ServeHTTP(w, r)
		var e adminapi.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); w.Code != tt.want || err != nil || e.Hint == "" {
			t.Errorf("%s: status %d, want %d: %s", tt.name, w.Code, tt.want, w.Body)
		}
	}
}

// TestTailCommand: the commands of the node are asked of a pod, too, and see all
// members.
func TestTailCommand(t *testing.T) {
	o := newOperator(t, false)
	pods := o.grid(2)
	for _, r := range pods {
		eventually(t, "the handler to be known", func() bool { return pods[0].m.Connection(r.name()).Supports(adminapi.HandlerLogTail) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	status := nodectl.Main(ctx, "log", []string{"tail", "--mesh", "--match=node started", "--output=text"}, nodectl.IO{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Environ: []string{"GRID_ADMIN_ADDR=127.0.0.1" + address(pods[0].Pod.dir.AdminPort)},
	})
	if status != 0 || strings.Count(stdout.String(), "node started") != 2 {
		t.Errorf("status %d: %s%s", status, &stdout, &stderr)
	}
	for _, r := range pods {
		if !strings.Contains(stdout.String(), r.name()+" 2") { // the name, then the time
			t.Errorf("nothing of %s: %s", r.name(), &stdout)
		}
	}
}
