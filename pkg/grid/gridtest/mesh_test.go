package gridtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// echo answers with its own name and the request; "wait" waits for the end of
// its context.
func echo(m *grid.Manager) error {
	return m.RegisterSingle("echo", func(ctx context.Context, req []byte) ([]byte, error) {
		if string(req) == "wait" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return append([]byte(m.Local()+" "), req...), nil
	})
}

// everywhere runs a test in real time and in a bubble.
func everywhere(t *testing.T, f func(*testing.T)) {
	t.Helper()
	t.Run("real time", f)
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, f) })
}

func callAll(t *testing.T, mesh *Mesh) {
	t.Helper()
	for a := range mesh.Len() {
		for b := range mesh.Len() {
			reply, err := mesh.Conn(a, b).Request(t.Context(), "echo", []byte("hi"))
			if want := Name(b) + " hi"; err != nil || string(reply) != want {
				t.Errorf("%d calls %d: got %q and %v, want %q", a, b, reply, err, want)
			}
		}
	}
}

func TestMesh(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mesh := New(t, 4)
		mesh.Register(echo)
		mesh.WaitLinked()
		callAll(t, mesh)
	})
}

func TestMeshOfOne(t *testing.T) {
	mesh := New(t, 1)
	mesh.Register(echo)
	mesh.WaitLinked()
	callAll(t, mesh)
}

func TestOptionsReachEachNode(t *testing.T) {
	var mu sync.Mutex
	dialled := map[string]int{}
	mesh := New(t, 3, func(o *grid.Options) {
		dial := o.Dial
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			mu.Lock()
			dialled[o.Local+">"+addr]++
			mu.Unlock()
			return dial(ctx, addr)
		}
		o.Grid = "other"
	})
	mesh.WaitLinked()
	mu.Lock()
	defer mu.Unlock()
	if len(dialled) != 3 {
		t.Errorf("the wrapped dials were %v, want one for each of 3 pairs", dialled)
	}
	if got := mesh.Node(0).Stats().Grid; got != "other" {
		t.Errorf("node 0 is of grid %q", got)
	}
}

func TestCut(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mesh := New(t, 3)
		mesh.Register(echo)
		mesh.WaitLinked()
		before := mesh.Node(0).Stats().Links
		result := make(chan error, 1)
		go func() {
			_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", []byte("wait"))
			result <- err
		}()
		for mesh.Node(1).Stats().Links[0].CallsIn == 0 { // until the call is there
			<-time.After(time.Millisecond)
		}
		mesh.Cut(0, 1)
		if err := <-result; !errors.Is(err, grid.ErrDisconnected) {
			t.Errorf("the call in flight: got %v, want ErrDisconnected", err)
		}
		mesh.WaitLinked()
		callAll(t, mesh)
		after := mesh.Node(0).Stats().Links
		if !after[0].Since.After(before[0].Since) {
			t.Error("the link of the pair is the one of before")
		}
		if !after[1].Since.Equal(before[1].Since) {
			t.Error("the link of another pair was cut, too")
		}
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := New(t, 2)
		mesh.Register(echo)
		mesh.WaitLinked()
		mesh.Stall(0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := mesh.Conn(0, 1).Request(ctx, "echo", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call over a stalled wire: got %v, want the deadline's error", err)
		}
		mesh.Unstall(0, 1)
		callAll(t, mesh) // a stall of a second costs nothing

		mesh.Stall(0, 1)
		start := time.Now()
		_, err := mesh.Conn(0, 1).Request(t.Context(), "echo", []byte("wait"))
		if took := time.Since(start); !errors.Is(err, grid.ErrDisconnected) || took > 16*time.Second {
			t.Errorf("a call over a dead wire: got %v after %v, want ErrDisconnected after about 15s", err, took)
		}
		mesh.Unstall(0, 1)
		synctest.Wait() // until the other side has noticed, too
		mesh.WaitLinked()
		callAll(t, mesh)
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := New(t, 2)
		mesh.Register(echo)
		mesh.WaitLinked()
		took := func(size int) time.Duration {
			start := time.Now()
			if _, err := mesh.Conn(0, 1).Request(t.Context(), "echo", make([]byte, size)); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		mesh.Slow(0, 1, 20*time.Millisecond, 0)
		if d := took(10); d != 40*time.Millisecond {
			t.Errorf("with 20 ms each way a call took %v", d)
		}
		mesh.Slow(0, 1, 0, 1<<20)
		if d := took(1 << 20); d < 2*time.Second || d > 2200*time.Millisecond {
			t.Errorf("with 1 MiB/s each way a call of 1 MiB took %v", d)
		}
		mesh.Slow(0, 1, 0, 0)
		if d := took(1 << 20); d > time.Millisecond {
			t.Errorf("without limits a call of 1 MiB took %v", d)
		}
	})
}

func TestIsolate(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mesh := New(t, 3)
		mesh.Register(echo)
		mesh.WaitLinked()
		mesh.Isolate(2)
		if _, err := mesh.Conn(0, 2).Request(t.Context(), "echo", nil); !errors.Is(err, grid.ErrNotLinked) {
			t.Errorf("a call to the isolated node: got %v, want ErrNotLinked", err)
		}
		if _, err := mesh.Conn(0, 1).Request(t.Context(), "echo", nil); err != nil {
			t.Errorf("a call among the others: %v", err)
		}
		mesh.Rejoin(2)
		mesh.WaitLinked()
		callAll(t, mesh)
	})
}

func TestRestart(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mesh := New(t, 3)
		mesh.Register(echo)
		mesh.WaitLinked()
		was := mesh.Node(1)
		mesh.Restart(1)
		if mesh.Node(1) == was || mesh.Node(1).Stats().Instance == was.Stats().Instance {
			t.Error("the node is the one of before")
		}
		mesh.WaitLinked()
		callAll(t, mesh)
	})
}

// recorder is a test that notes its failures instead of failing.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failures []string
	cleanup  []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// errFatal ends what runs with a recorder, as Fatalf has to.
var errFatal = errors.New("fatal")

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(errFatal)
}

func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }

// run runs f and the clean-up, and gives the failures.
func (r *recorder) run(f func()) string {
	func() {
		defer func() {
			if p := recover(); p != nil && p != errFatal {
				panic(p)
			}
		}()
		f()
	}()
	for _, clean := range r.cleanup {
		clean()
	}
	return strings.Join(r.failures, "\n")
}

// TestFailures: what a mesh is there to find fails the test, with a sentence
// that says where to look.
func TestFailures(t *testing.T) {
	stuck := make(chan struct{})
	for _, c := range []struct {
		name string
		want string
		f    func(t testing.TB)
	}{
		{"all is well", "", func(t testing.TB) { New(t, 2).WaitLinked() }},
		{"no nodes", "takes 1 at least", func(t testing.TB) { New(t, 0) }},
		{"bad options", "node 0: options: Grid", func(t testing.TB) { New(t, 2, func(o *grid.Options) { o.Grid = "\x00" }) }},
		{"no such node", "there is no node 2, only 0 to 1", func(t testing.TB) { New(t, 2).Node(2) }},
		{"oneself", "nothing lies between node 1 and itself", func(t testing.TB) { New(t, 2).Cut(1, 1) }},
		{"no peer", "node 1 is no peer of node 0", func(t testing.TB) {
			mesh := New(t, 2, func(o *grid.Options) { o.Peers = nil })
			mesh.Conn(0, 1)
		}},
		{"registered twice", `node 0: register: handler "echo"`, func(t testing.TB) {
			mesh := New(t, 1)
			mesh.Register(echo)
			mesh.Register(echo)
		}},
		{"never linked", "node 0: wait for a link to node-1", func(t testing.TB) {
			mesh := New(t, 2)
			mesh.Isolate(0)
			mesh.WaitLinked()
		}},
		{"stuck handler", `node 1 is closed and its handlers ["stuck"] run on`, func(t testing.TB) {
			mesh := New(t, 2)
			mesh.Register(func(m *grid.Manager) error {
				return m.RegisterSingle("stuck", func(context.Context, []byte) ([]byte, error) {
					<-stuck
					return nil, nil
				})
			})
			mesh.WaitLinked()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = mesh.Conn(0, 1).Request(ctx, "stuck", nil)
		}},
		{"open connection", "was left open", func(t testing.TB) {
			mesh := New(t, 2)
			mesh.WaitLinked()
			a, b := newConns(mesh.net.wire(Name(0), Name(1)), "a", "b")
			mesh.net.wire(Name(0), Name(1)).add(a, b)
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			stuck = make(chan struct{})
			r := &recorder{TB: t}
			got := r.run(func() { c.f(r) })
			close(stuck)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s: got %q, want %q", c.name, got, c.want)
			}
		})
	}
}
