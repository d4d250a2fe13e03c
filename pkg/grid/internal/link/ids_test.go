package link

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
)

// Ids and transfers have 64 bits and go on where 32 would end: calls, streams
// and large bodies across that number are like all others (fault row 33). What
// comes again, or out of turn, is a violation: see TestViolationEndsTheLinkAlone.
func TestIdsOfMoreThan32Bits(t *testing.T) {
	mirror := streaming("mirror", 2, 2, func(ctx context.Context, s *Stream) error {
		for {
			msg, err := s.Recv(ctx)
			if err != nil {
				return eofIsFine(err)
			}
			if err := s.Send(ctx, msg); err != nil {
				return err
			}
		}
	})
	x, y := wsPair(t, testLimits(), []*Handler{echo()}, []*Handler{echo(), mirror})
	x.out.mu.Lock()
	x.out.nextID, x.out.nextXfer = 1<<32-10, 1<<32-10
	x.out.mu.Unlock()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, 10+i%2*(100<<10))
			if i%4 < 2 {
				if got, err := x.Call(t.Context(), &Call{Handler: "echo", Body: body}); !bytes.Equal(got, body) {
					t.Errorf("call %d: %d bytes, %v", i, len(got), err)
				}
				return
			}
			s, err := x.Open(t.Context(), &Call{Handler: "mirror", Body: body})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Send(t.Context(), body); err != nil {
				t.Error(err)
			}
			if got, err := s.Recv(t.Context()); !bytes.Equal(got, body) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
			if i%8 < 4 {
				s.Cancel(context.Canceled)
				return
			}
			_ = s.CloseSend()
			if _, err := s.Recv(t.Context()); err != io.EOF {
				t.Errorf("stream %d ended with %v", i, err)
			}
		})
	}
	wg.Wait()
	if x.out.nextID < 1<<32 || x.out.nextXfer < 1<<32 || x.Err() != nil || y.Err() != nil {
		t.Errorf("ids came to %d, transfers to %d; %v, %v", x.out.nextID, x.out.nextXfer, x.Err(), y.Err())
	}
	balanced(t, x)
	balanced(t, y)
}
