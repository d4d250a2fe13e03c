package tail

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// hang ends what will not come; a slow machine is not judged by it.
const hang = time.Minute

// node is what one node of a mesh has to do with tails.
type node struct {
	log   *logger.Log
	audit *audit.Audit
	*Server
}

// mesh is nodes that serve tails. What their library says goes into their logs.
type mesh struct {
	*gridtest.Mesh

	t     *testing.T
	nodes []*node
}

func newMesh(t *testing.T, n int, opts ...func(*grid.Options)) *mesh {
	t.Helper()
	m := &mesh{t: t}
	byName := make(map[string]*node)
	for i := range n {
		a, err := audit.Open(audit.Options{Node: gridtest.Name(i), Report: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		l := logger.New(logger.Options{Console: target.NewConsole(io.Discard), Level: slog.LevelDebug})
		nd := &node{log: l, audit: a, Server: New(l.Ring(), a, Mesh, "")}
		m.nodes, byName[gridtest.Name(i)] = append(m.nodes, nd), nd
		t.Cleanup(func() {
			l.Close(context.Background())
			_ = a.Close(context.Background())
		})
	}
	linked := make(chan struct{}, n*(n-1))
	m.Mesh = gridtest.New(t, n, append(opts, func(o *grid.Options) {
		nd := byName[o.Local]
		o.Logger = nd.log.Logger().With("node", o.Local)
		o.Interceptors = append(o.Interceptors, nd.audit.Interceptor())
		o.OnEvent = func(e grid.Event) {
			nd.audit.OnEvent(e)
			if e.Kind == grid.EventLinked {
				select {
				case linked <- struct{}{}:
				default: // a link that came later
				}
			}
		}
	})...)
	m.Register(func(m *grid.Manager) error {
		for id, handler := range byName[m.Local()].Handlers() {
			if err := m.RegisterStream(id, handler); err != nil {
				return err
			}
		}
		return errors.Join(
			m.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }),
			m.RegisterSingle("fail", func(context.Context, []byte) ([]byte, error) { return nil, grid.NewError(grid.CodeNotFound, "no") }))
	})
	m.WaitLinked()
	for range n * (n - 1) { // a link is up before it is logged that it is, and then recorded
		select {
		case <-linked:
		case <-time.After(hang):
			t.Fatal("not all links that are up were told of")
		}
	}
	return m
}

// reader reads a tail as the command does.
type reader struct {
	t *testing.T
	*grid.CallerStream
	unsaid int
}

func (m *mesh) tail(from, to int, handler string, ask any) *reader {
	m.t.Helper()
	payload, err := json.Marshal(ask)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.t.Cleanup(cancel)
	s, err := m.Conn(from, to).OpenStream(ctx, grid.HandlerID(handler), payload)
	if err != nil {
		m.t.Fatal(err)
	}
	return &reader{t: m.t, CallerStream: s}
}

// message is an entry or a note.
type message struct {
	adminapi.TailNote

	Msg     string `json:"msg"`
	N       int    `json:"n"`
	Event   string `json:"event"`
	Handler string `json:"handler"`
	Result  string `json:"result"`
	Sent    int    `json:"sent"`
	raw     string
}

func (r *reader) next() (message, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	raw, err := r.Recv(ctx)
	if err != nil {
		return message{}, err
	}
	if r.unsaid += len(raw); r.unsaid >= adminapi.TailAck {
		_ = r.Send(ctx, strconv.AppendInt(nil, int64(r.unsaid), 10)) // Recv says why not
		r.unsaid = 0
	}
	msg := message{raw: string(raw)}
	if err := json.Unmarshal(raw, &msg); err != nil {
		r.t.Fatalf("%q: %v", raw, err)
	}
	return msg, nil
}

func (r *reader) must() message {
	r.t.Helper()
	msg, err := r.next()
	if err != nil {
		r.t.Fatal(err)
	}
	return msg
}

// rest reads to the end, which must be a clean one.
func (r *reader) rest() (all []message) {
	r.t.Helper()
	for {
		msg, err := r.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, msg)
	}
}

// fails reads on to an end that is an error, and gives it.
func (r *reader) fails() error {
	r.t.Helper()
	for {
		if _, err := r.next(); err != nil {
			if errors.Is(err, io.EOF) {
				r.t.Error("the tail ended as if all were well")
			}
			return err
		}
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(hang)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for: %s", what)
		}
	}
}

// running waits until so many tails run.
func (n *node) running(t *testing.T, count int) {
	t.Helper()
	until(t, strconv.Itoa(count)+" tails to run", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.sum == count && (count > 0 || len(n.from) == 0)
	})
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// each runs f so often at once, and waits.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}
