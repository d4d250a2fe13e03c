//go:build !race

// A million calls take minutes under the race detector and tell nothing more;
// make test runs this without it, and all other tests with it.

package chaos

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// soak makes calls and streams from 16 goroutines, both ways, with random
// cancels, while the link is cut again and again.
func soak(t *testing.T, mesh *gridtest.Mesh, calls, streams, cuts int) {
	t.Helper()
	var left, answered, failed atomic.Int64
	left.Store(int64(calls + streams))
	every := int64(calls / max(streams, 1))
	var wg sync.WaitGroup
	for g := range 16 {
		conn := mesh.Conn(g%2, 1-g%2).With(grid.CallOptions{WaitForLink: true})
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 7))
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				var err error
				switch {
				case streams > 0 && n%(every+1) == 0:
					err = oneStream(ctx, cancel, conn, rng)
				case rng.IntN(50) == 0:
					go cancel()
					_, err = conn.Request(ctx, "until cancelled", nil)
				default:
					err = oneCall(ctx, cancel, conn, rng)
				}
				cancel()
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, context.Canceled), errors.Is(err, grid.ErrDisconnected), errors.Is(err, grid.ErrNotLinked):
					failed.Add(1)
				default:
					t.Errorf("a call ended with %v", err)
					left.Store(0)
				}
			}
		})
	}
	total := int64(calls + streams)
	for i := range int64(cuts) {
		for left.Load() > total-(i+1)*total/int64(cuts+1) {
			runtime.Gosched()
		}
		mesh.Cut(0, 1)
	}
	wg.Wait()
	t.Logf("%d calls and streams ended well, %d were cancelled or cut", answered.Load(), failed.Load())
	if answered.Load() < total*3/4 {
		t.Errorf("only %d of %d ended well", answered.Load(), total)
	}
}

// oneCall is an echo, cancelled now and then.
func oneCall(ctx context.Context, cancel func(), conn *grid.Connection, rng *rand.Rand) error {
	req := make([]byte, rng.IntN(300))
	if rng.IntN(5000) == 0 {
		req = make([]byte, 100<<10) // in chunks
	}
	if rng.IntN(20) == 0 {
		go cancel()
	}
	reply, err := conn.Request(ctx, "echo", req)
	if err == nil && !bytes.Equal(reply, req) {
		return errors.New("not what was sent")
	}
	return err
}

// oneStream sends some, receives as many, and ends in one of three ways.
func oneStream(ctx context.Context, cancel func(), conn *grid.Connection, rng *rand.Rand) error {
	s, err := conn.OpenStream(ctx, "echo stream", nil)
	if err != nil {
		return err
	}
	for range rng.IntN(4) {
		if err := s.Send(ctx, []byte("hello")); err != nil {
			return err
		}
		if _, err := s.Recv(ctx); err != nil {
			return err
		}
	}
	switch rng.IntN(5) {
	case 0:
		cancel()
		return nil
	case 1:
		s.Cancel(nil)
		return nil
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(ctx); err != io.EOF {
		return err
	}
	return nil
}

// settled waits until nothing runs, and gives what is left.
func settled(t *testing.T, mesh *gridtest.Mesh, before balance) []string {
	t.Helper()
	mesh.WaitLinked()
	var left []string
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
		if left = weigh(mesh).leaks(before); len(left) == 0 {
			return nil
		}
	}
	return left
}

// A million calls and a hundred thousand streams with random cancels and cut
// links: goroutines, ids and credit return to exactly where they were, heap to
// within 2 MiB (field case 15).
func TestSoakLeavesNothingBehind(t *testing.T) {
	mesh := gridtest.New(t, 2)
	mesh.Register(register)
	mesh.WaitLinked()
	soak(t, mesh, 20_000, 2_000, 3) // fills the pools
	idle := balance{heap: 1 << 60}
	idle.goroutines = weigh(mesh).goroutines
	if left := settled(t, mesh, idle); left != nil {
		t.Log("while warming up:", left)
	}
	before := weigh(mesh)
	soak(t, mesh, 1_000_000, 100_000, 40)
	if left := settled(t, mesh, before); left != nil {
		stacks := make([]byte, 1<<20)
		t.Fatalf("left behind: %s\n%s", strings.Join(left, "; "), stacks[:runtime.Stack(stacks, true)])
	}
}

// The check finds what it is there for.
func TestSoakCheckSeesLeaks(t *testing.T) {
	mesh := gridtest.New(t, 2)
	mesh.Register(register)
	mesh.WaitLinked()
	soak(t, mesh, 2_000, 200, 0)
	before := weigh(mesh)

	stop := make(chan struct{})
	go func() { <-stop }()
	if weigh(mesh).leaks(before) == nil {
		t.Error("a goroutine is not seen")
	}
	close(stop)

	kept := make([]byte, maxGrowth+maxGrowth/2)
	if weigh(mesh).leaks(before) == nil {
		t.Error("memory is not seen")
	}
	runtime.KeepAlive(kept)

	s, err := mesh.Conn(0, 1).OpenStream(t.Context(), "echo stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	if weigh(mesh).leaks(before) == nil {
		t.Error("a stream is not seen")
	}
	s.Cancel(nil)
}
