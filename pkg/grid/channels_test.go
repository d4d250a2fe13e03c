package grid

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// In the form with channels, too, who does not read stops nobody else: large
// messages flow on the other streams, both ways and in both forms, and what
// lies in pumps' hands is free once the streams have ended. (A pump has to take
// a message to offer it; enough of them that nobody looks at use up what the
// budget has for this form, and stop this form, see Limits.DataBytes.)
func TestUnreadChannelsStopOnlyTheirStream(t *testing.T) {
	const size, count = 1 << 20, 10
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t, func(o *Options) {
			o.Limits.MaxMessage, o.Limits.RequestBytes, o.Limits.ReplyBytes, o.Limits.DataBytes = size, 4*size, 4*size, 4*size
		})
		for h, s := range map[HandlerID]StreamHandler{
			"deaf": {InCapacity: 4, OutCapacity: 4, Handle: func(ctx context.Context, _ []byte, _ <-chan []byte, out chan<- []byte) error {
				for {
					select {
					case out <- make([]byte, size):
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			}},
			"back": {InCapacity: 4, OutCapacity: 4, Handle: func(_ context.Context, _ []byte, in <-chan []byte, out chan<- []byte) error {
				for msg := range in {
					out <- msg
				}
				return nil
			}},
		} {
			if err := b.RegisterStream(h, s); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		hog, err := a.Connection(b.Local()).NewStream(ctx, "deaf", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				select {
				case hog.Requests <- make([]byte, size):
				case <-ctx.Done():
					return
				}
			}
		}()
		synctest.Wait()

		began := time.Now()
		st, err := a.Connection(b.Local()).NewStream(t.Context(), "back", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(st.Requests)
			for range count {
				st.Requests <- make([]byte, size)
			}
		}()
		got := 0
		for r := range st.Responses {
			if r.Err != nil || len(r.Msg) != size {
				t.Fatalf("response %d: %d bytes, %v", got, len(r.Msg), r.Err)
			}
			got++
		}
		cs, err := a.Connection(b.Local()).OpenStream(t.Context(), "back", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range count {
			if err := cs.Send(t.Context(), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if msg, err := cs.Recv(t.Context()); err != nil || len(msg) != size {
				t.Fatalf("response %d: %d bytes, %v", i, len(msg), err)
			}
		}
		if took := time.Since(began); got != count || took > time.Second {
			t.Errorf("%d of %d came back, in %v", got, count, took)
		}
		cancel()
		_ = cs.CloseSend()
		synctest.Wait()
		for r := range hog.Responses {
			if r.Err == nil {
				t.Error("a response after the end of the context")
			}
		}
		synctest.Wait()
		for _, nd := range []*node{a, b} {
			if s := nd.Stats().Links[0]; s.StreamsOpen != 0 || s.CallsIn != 0 {
				t.Errorf("%s is left with %+v", nd.Local(), s)
			}
		}
	})
}
