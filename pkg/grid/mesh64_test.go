//go:build !race

// Sixteen thousand goroutines are more than the race detector bears; make test
// runs this without it, and smaller meshes with it.

package grid

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// 64 nodes: exactly 2016 links, the work of dialling shared. Then their lists
// change 500 times under load: every call ends once, and what it says of
// having run is true (fault rows 3, 61, 65).
func TestMeshOf64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		names := ordinals(64)
		all := n.startAll(t, names, func(o *Options) { o.RemovalGrace = time.Second })
		n.checkLinks(t, all)

		// Each call has a number; how often it ran is counted.
		var runs sync.Map
		for _, nd := range all {
			err := nd.RegisterSingle("count", func(_ context.Context, req []byte) ([]byte, error) {
				c, _ := runs.LoadOrStore(binary.BigEndian.Uint64(req), new(atomic.Int64))
				c.(*atomic.Int64).Add(1)
				return req, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		stop := make(chan struct{})
		var load sync.WaitGroup
		var number atomic.Uint64
		var outcomes [3]atomic.Int64
		for _, nd := range all {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
					}
					c := nd.Connection(names[rand.IntN(len(names))])
					if c == nil {
						continue
					}
					id := number.Add(1)
					req := binary.BigEndian.AppendUint64(nil, id)
					reply, err := c.Request(context.Background(), "count", req)
					ran := int64(0)
					if v, ok := runs.Load(id); ok {
						ran = v.(*atomic.Int64).Load()
					}
					outcome := OutcomeOf(err)
					outcomes[outcome].Add(1)
					switch {
					case ran > 1, outcome == Answered && ran != 1, outcome == NotSent && ran != 0:
						t.Errorf("call %d from %s to %s ran %d times and says %v: %v", id, nd.Local(), c.Name(), ran, outcome, err)
					case err == nil && !slices.Equal(reply, req):
						t.Errorf("call %d has the answer %x", id, reply)
					case err != nil && !errors.Is(err, ErrNotLinked) && !errors.Is(err, ErrPeerRemoved) && !errors.Is(err, ErrDraining) && !errors.Is(err, ErrDisconnected) && !errors.Is(err, ErrUnknownHandler):
						t.Errorf("call %d: %v", id, err)
					}
				}
			})
		}
		lists := make([][]string, len(all))
		for i := range lists {
			lists[i] = slices.Clone(names)
		}
		for range 500 {
			i := rand.IntN(len(all))
			j := rand.IntN(len(names))
			if k := slices.Index(lists[i], names[j]); k >= 0 {
				lists[i] = slices.Delete(lists[i], k, k+1)
			} else {
				lists[i] = append(lists[i], names[j])
			}
			if err := all[i].SetPeers(lists[i]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		}
		for _, nd := range all {
			if err := nd.SetPeers(names); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		load.Wait()
		waitForAll(t, all)
		time.Sleep(time.Minute) // what is removed has had its grace
		waitForAll(t, all)
		n.checkLinks(t, all)
		t.Logf("%d calls: %d answered, %d not sent, %d maybe processed", number.Load(), outcomes[Answered].Load(), outcomes[NotSent].Load(), outcomes[MaybeProcessed].Load())
		if outcomes[Answered].Load() < 10_000 {
			t.Error("there was hardly any load")
		}
		if got := outcomes[MaybeProcessed].Load(); got != 0 {
			t.Errorf("%d calls were cut: a removal has a grace", got)
		}
	})
}
