package link

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowTransport is the reading end of a path on which a batch takes its time.
type slowTransport struct {
	Transport
	read   atomic.Uint64
	stall  atomic.Bool   // nothing comes any more
	closed chan struct{} // closed by Close
	once   sync.Once
}

// speed is that of the path in bytes a second: slower than a batch in DeadAfter.
const speed = 7 << 10

func (s *slowTransport) ReadBatch() (*batch, error) {
	b, err := s.Transport.ReadBatch()
	if err != nil {
		return nil, err
	}
	for left := len(b.b); left > 0; {
		select {
		case <-time.After(time.Second):
		case <-s.closed:
			return nil, io.EOF
		}
		if s.stall.Load() {
			<-s.closed
			return nil, io.EOF
		}
		n := min(left, speed)
		left -= n
		s.read.Add(uint64(n))
	}
	return b, nil
}

func (s *slowTransport) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Transport.Close()
}

func (s *slowTransport) Wire() (in, out uint64) {
	_, out = s.Transport.Wire()
	return s.read.Load(), out
}

// slowPair is a pair whose second end reads from a slow path.
func slowPair(t *testing.T) (x, y end, path *slowTransport) {
	ta, tb := MemoryPair()
	path = &slowTransport{Transport: tb, closed: make(chan struct{})}
	path.read.Store(1000) // a handshake
	x, y = pairOver(t, testLimits(), ta, path, true, nil, []*Handler{echo()})
	return x, y, path
}

// A link that moves is never cut for being slow, though a whole batch takes
// longer than silence may last (field case 6).
func TestSlowLinkIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, _ := slowPair(t)
		began := time.Now()
		var calls sync.WaitGroup
		for range 20 { // they fill batches to the brim
			calls.Go(func() {
				reply, err := x.Call(t.Context(), &Call{Handler: "echo", Body: make([]byte, 30<<10)})
				if err != nil || len(reply) != 30<<10 {
					t.Errorf("%d bytes, %v after %v", len(reply), err, time.Since(began))
				}
			})
		}
		calls.Wait()
		if took := time.Since(began); took < time.Minute {
			t.Errorf("it took %v: was the path slow at all?", took)
		}
		if x.Err() != nil || y.Err() != nil {
			t.Errorf("%v, %v", x.Err(), y.Err())
		}
	})
}

// A path that falls silent in the middle of a batch is found, though a little
// later than one that does between batches.
func TestSilenceWithinABatchIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, path := slowPair(t)
		go func() { _, _ = x.Call(t.Context(), &Call{Handler: "echo", Body: make([]byte, 600<<10)}) }()
		time.Sleep(12 * time.Second)
		path.stall.Store(true)
		began := time.Now()
		<-y.Done()
		l := testLimits()
		var cut *CutError
		if took := time.Since(began); took < l.DeadAfter-time.Second || took > l.DeadAfter+l.PingEvery+time.Second {
			t.Errorf("found after %v", took)
		}
		if !errors.As(y.Err(), &cut) || cut.Code != CodeTimeout {
			t.Error(y.Err())
		}
	})
}

// Silence between batches, or from the beginning, ends the link after
// DeadAfter, to the second (fault row 1).
func TestSilentLinkIsDead(t *testing.T) {
	for name, calls := range map[string]int{"after a call": 1, "from the beginning": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y, path := slowPair(t)
				for range calls {
					if _, err := x.Call(t.Context(), &Call{Handler: "echo"}); err != nil {
						t.Fatal(err)
					}
				}
				path.stall.Store(true)
				began := time.Now()
				<-y.Done()
				if took, want := time.Since(began), testLimits().DeadAfter; took < want-time.Second || took > want+time.Second {
					t.Errorf("found after %v, want %v", took, want)
				}
			})
		})
	}
}
