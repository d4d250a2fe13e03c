package grid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// pair gives two linked managers over loopback TCP without TLS. change, if
// not nil, changes the options of both.
func pair(tb testing.TB, change func(*grid.Options)) (a, b *grid.Manager) {
	tb.Helper()
	var ms [2]*grid.Manager
	var lns [2]net.Listener
	names := []string{"node-0.test:7946", "node-1.test:7946"}
	addr := map[string]string{}
	for i := range ms {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		lns[i] = ln
		addr[names[i]] = ln.Addr().String()
	}
	for i := range ms {
		o := grid.Options{
			Local: names[i], InsecurePlainText: true,
			Resolve: func(_ context.Context, name string) (string, error) { return addr[name], nil },
		}
		if change != nil {
			change(&o)
		}
		m, err := grid.NewManager(context.Background(), o)
		if err != nil {
			tb.Fatal(err)
		}
		ms[i] = m
		srv := m.NewServer()
		go func() { _ = srv.Serve(lns[i]) }()
		tb.Cleanup(func() {
			_ = m.Close()
			_ = srv.Close()
		})
	}
	for _, m := range ms {
		if err := m.SetPeers(names); err != nil {
			tb.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, m := range ms {
		if err := m.WaitAll(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	return ms[0], ms[1]
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func echo(_ context.Context, req []byte) ([]byte, error) { return req, nil }

var errHeld = errors.New("held by somebody else")

// Calls to a peer and to oneself have the same semantics and errors.
func TestRequestSemanticsHereAndThere(t *testing.T) {
	a, b := pair(t, func(o *grid.Options) { o.ErrorCodes = map[grid.Code]error{"lock.held": errHeld} })
	for _, m := range []*grid.Manager{a, b} {
		must(t, m.RegisterSingle("echo", echo))
		must(t, m.RegisterSingle("held", func(context.Context, []byte) ([]byte, error) { return nil, errHeld }))
		must(t, m.RegisterSingle("code", func(context.Context, []byte) ([]byte, error) {
			return nil, grid.NewError(grid.CodeNotFound, "no such key")
		}))
		must(t, m.RegisterSingle("forged", func(context.Context, []byte) ([]byte, error) { return nil, grid.ErrDisconnected }))
		must(t, m.RegisterSingle("deadline", func(context.Context, []byte) ([]byte, error) { return nil, context.DeadlineExceeded }))
		must(t, m.RegisterSingle("info", func(ctx context.Context, _ []byte) ([]byte, error) {
			in := grid.CallInfo(ctx)
			return []byte(in.Peer + " " + string(in.Handler) + " " + in.Header["k"]), nil
		}))
	}
	for name, c := range map[string]*grid.Connection{"peer": a.Connection(b.Local()), "oneself": a.Connection(a.Local())} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			waitSupports(t, c, "info")
			got, err := c.Request(ctx, "echo", []byte("hi"))
			if string(got) != "hi" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			got, err = c.AppendRequest(ctx, "echo", []byte("hi"), []byte("oh "))
			if string(got) != "oh hi" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			got, err = c.With(grid.CallOptions{Header: grid.Header{"k": "v"}}).Request(ctx, "info", nil)
			if string(got) != a.Local()+" info v" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			for h, want := range map[grid.HandlerID]struct {
				is, isNot error
				code      grid.Code
				outcome   grid.Outcome
			}{
				"held":     {errHeld, nil, "lock.held", grid.Answered},
				"code":     {nil, errHeld, grid.CodeNotFound, grid.Answered},
				"forged":   {nil, grid.ErrDisconnected, grid.CodeUnknown, grid.Answered},
				"deadline": {context.DeadlineExceeded, nil, grid.CodeDeadline, grid.Answered},
				"missing":  {grid.ErrUnknownHandler, nil, "", grid.NotSent},
			} {
				_, err := c.Request(ctx, h, nil)
				var remote *grid.RemoteError
				switch {
				case want.is != nil && !errors.Is(err, want.is), want.isNot != nil && errors.Is(err, want.isNot):
					t.Errorf("%s: identity of %v", h, err)
				case grid.OutcomeOf(err) != want.outcome:
					t.Errorf("%s: outcome %v", h, grid.OutcomeOf(err))
				case want.code != "" && (!errors.As(err, &remote) || remote.Code != want.code):
					t.Errorf("%s: code of %v", h, err)
				}
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := c.Request(done, "echo", nil); !errors.Is(err, context.Canceled) || grid.OutcomeOf(err) != grid.NotSent {
				t.Errorf("cancelled before: %v", err)
			}
			big := strings.Repeat("x", 5000)
			if _, err := c.With(grid.CallOptions{Header: grid.Header{"k": big}}).Request(ctx, "echo", nil); !errors.Is(err, grid.ErrHeaderTooLarge) {
				t.Errorf("large header: %v", err)
			}
			// What the handler got is a copy.
			req := []byte("mine")
			got, err = c.Request(ctx, "echo", req)
			must(t, err)
			req[0] = 'X'
			if string(got) != "mine" {
				t.Error("the reply shares the request's memory")
			}
		})
	}
}

// waitSupports waits until the peer has announced h.
func waitSupports(t testing.TB, c *grid.Connection, h grid.HandlerID) {
	t.Helper()
	late := time.After(time.Minute)
	for !c.Supports(h) {
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			t.Fatalf("%s never announced %q", c.Name(), h)
		}
	}
}

// The channel forms: requests in, responses out, ends and errors as documented.
func TestChannelStreams(t *testing.T) {
	a, b := pair(t, nil)
	must(t, b.RegisterStream("upper", grid.StreamHandler{
		InCapacity: 2, OutCapacity: 2,
		Handle: func(ctx context.Context, payload []byte, in <-chan []byte, out chan<- []byte) error {
			out <- payload
			for msg := range in {
				out <- []byte(strings.ToUpper(string(msg)))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return grid.NewError("over", "that was all")
		},
	}))
	must(t, b.RegisterStream("three", grid.StreamHandler{
		OutCapacity: 1,
		Handle: func(_ context.Context, _ []byte, in <-chan []byte, out chan<- []byte) error {
			if in != nil {
				t.Error("in should be nil")
			}
			for range 3 {
				out <- []byte("x")
			}
			return nil
		},
	}))
	for name, c := range map[string]*grid.Connection{"peer": a.Connection(b.Local())} {
		t.Run(name, func(t *testing.T) {
			waitSupports(t, c, "three")
			s, err := c.NewStream(t.Context(), "upper", []byte("p"))
			must(t, err)
			go func() {
				for range 50 {
					s.Requests <- []byte("a")
				}
				close(s.Requests)
			}()
			n := 0
			var last error
			for r := range s.Responses {
				if r.Err != nil {
					last = r.Err
					continue
				}
				if want := map[bool]string{true: "p", false: "A"}[n == 0]; string(r.Msg) != want {
					t.Fatalf("response %d: %q", n, r.Msg)
				}
				n++
			}
			var remote *grid.RemoteError
			if n != 51 || !errors.As(last, &remote) || remote.Code != "over" {
				t.Fatalf("%d responses, then %v", n, last)
			}
			s, err = c.NewStream(t.Context(), "three", nil)
			must(t, err)
			if s.Requests != nil {
				t.Error("Requests should be nil")
			}
			n = 0
			for r := range s.Responses {
				must(t, r.Err)
				n++
			}
			if n != 3 {
				t.Fatalf("%d responses", n)
			}
			// A reader who comes late finds the error of an ended context, not a clean end.
			ctx, cancel := context.WithCancel(t.Context())
			s, err = c.NewStream(ctx, "upper", nil)
			must(t, err)
			cancel()
			last = nil
			for r := range s.Responses {
				last = r.Err
			}
			if !errors.Is(last, context.Canceled) {
				t.Fatalf("after cancel: %v", last)
			}
		})
	}
}

func TestCoreStreamsTyped(t *testing.T) {
	a, b := pair(t, nil)
	must(t, b.RegisterStream("sum", grid.StreamHandler{InCapacity: 8, OutCapacity: 1, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
		n := 0
		for msg, err := range s.All() {
			if err != nil {
				return err
			}
			n += len(msg)
		}
		return s.Send(ctx, []byte(strings.Repeat("x", n)))
	}}))
	c := a.Connection(b.Local())
	waitSupports(t, c, "sum")
	s, err := c.OpenStream(t.Context(), "sum", nil)
	must(t, err)
	for range 100 {
		must(t, s.Send(t.Context(), []byte("12345")))
	}
	must(t, s.CloseSend())
	got, err := s.Recv(t.Context())
	if len(got) != 500 || err != nil {
		t.Fatal(len(got), err)
	}
	if _, err = s.Recv(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
}

// A fan-out that failed is safe to repeat only if no peer may have run it.
func TestOutcomeOfQuorum(t *testing.T) {
	refused := &grid.RefusedError{Peer: "a:1", Reason: grid.ErrOverloaded}
	for _, c := range []struct {
		name string
		errs []error
		want grid.Outcome
	}{
		{"all refused", []error{refused, refused}, grid.NotSent},
		{"one answered", []error{refused, nil}, grid.MaybeProcessed},
		{"one failed in its handler", []error{refused, &grid.RemoteError{Code: grid.CodeNotFound}}, grid.MaybeProcessed},
		{"one was cut", []error{&grid.DisconnectedError{Sent: true}, refused}, grid.MaybeProcessed},
	} {
		q := &grid.QuorumError{Want: 2}
		for _, err := range c.errs {
			q.Results = append(q.Results, grid.Result{Err: err})
		}
		if got := grid.OutcomeOf(fmt.Errorf("lock: %w", q)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
