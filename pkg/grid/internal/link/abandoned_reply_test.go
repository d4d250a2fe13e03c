package link

import (
	"context"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// A large answer that its caller does not want any more stops, whenever the
// CANCEL comes: before its BEGIN, before its GRANT, in the middle; and whoever
// runs the handler. Nothing is left of the call, though no GRANT ever comes.
func TestLargeAnswerThatNobodyWants(t *testing.T) {
	big := make([]byte, 1<<20)
	for name, c := range map[string]struct {
		worker bool
		after  wire.Kind // the CANCEL comes after this, REQUEST: before the handler returns
	}{
		"run by the reader, before the GRANT":      {after: wire.Begin},
		"run by the reader, in the middle":         {after: wire.Chunk},
		"run by a worker, before the GRANT":        {after: wire.Begin, worker: true},
		"run by a worker, in the middle":           {after: wire.Chunk, worker: true},
		"before the answer":                        {after: wire.Request, worker: true},
		"before the answer, taken from the reader": {after: wire.Request},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				h := single("big", func(ctx context.Context, _ []byte) ([]byte, error) {
					if c.after == wire.Request {
						<-ctx.Done()
					}
					return big, nil
				})
				if c.worker {
					h.slow.Store(1 << 30)
				}
				x, p := attack(t, testLimits(), true, h)
				p.send(wire.Frame{Kind: wire.Request, Mine: true, ID: 1})
				if c.after != wire.Request {
					f := p.next(wire.Begin)
					if c.after == wire.Chunk {
						p.send(wire.Frame{Kind: wire.Grant, Xfer: f.Xfer})
						p.next(wire.Chunk) // and no ACK, so there is no last one
					}
				}
				p.send(wire.Frame{Kind: wire.Cancel, Mine: true, ID: 1})
				balanced(t, x)
				if c.after != wire.Request {
					p.next(wire.Abort)
				}
				p.sync()
				x.Drain()
				p.next(wire.Drain)
				p.send(wire.Frame{Kind: wire.Pong, Total: p.next(wire.Ping).Total})
				<-x.Quiet()
				if x.Err() != nil {
					t.Fatal(x.Err())
				}
			}
		})
	}
}

// And between two links: callers that give up while large answers come leave
// nothing behind on either side.
func TestCallersOfLargeAnswersGiveUp(t *testing.T) {
	big := make([]byte, 1<<20)
	h := single("big", func(context.Context, []byte) ([]byte, error) { return big, nil })
	x, y := wsPair(t, testLimits(), nil, []*Handler{h})
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = x.Call(ctx, &Call{Handler: "big"})
		}()
		for range i % 50 {
			x.Stats() // for a moment
		}
		cancel()
		<-done
	}
	balanced(t, x)
	balanced(t, y)
	if got, err := x.Call(t.Context(), &Call{Handler: "big"}); len(got) != len(big) {
		t.Errorf("afterwards: %d bytes, %v", len(got), err)
	}
}
