package gridpod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
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
