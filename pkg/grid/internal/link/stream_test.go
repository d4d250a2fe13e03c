package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func streaming(name string, in, out int, fn func(ctx context.Context, s *Stream) error) *Handler {
	return &Handler{Name: name, In: in, Out: out, Stream: func(ctx context.Context, _ *Incoming, s *Stream) error { return fn(ctx, s) }}
}

// upper answers each request until the caller's end.
func echoStream() *Handler {
	return streaming("echo stream", 4, 4, func(ctx context.Context, s *Stream) error {
		for {
			msg, err := s.Recv(ctx)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.Send(ctx, msg); err != nil {
				return err
			}
		}
	})
}

func TestStreamBothWaysInOrder(t *testing.T) {
	x, y := wsPair(t, testLimits(), []*Handler{echoStream()}, []*Handler{echoStream()})
	sizes := []int{0, 1, 100, 64 << 10, 64<<10 + 1, 300 << 10, 3, 1 << 20, 5, 0, 70000, 2}
	for _, from := range []end{x, y} {
		s, err := from.Open(t.Context(), &Call{Handler: "echo stream"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 600 {
				msg := make([]byte, sizes[i%len(sizes)]+8)
				copy(msg, fmt.Sprintf("%08d", i))
				if err := s.Send(t.Context(), msg); err != nil {
					t.Errorf("send %d: %v", i, err)
					return
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Error(err)
			}
		})
		for i := range 600 {
			msg, err := s.Recv(t.Context())
			if err != nil || len(msg) != sizes[i%len(sizes)]+8 || string(msg[:8]) != fmt.Sprintf("%08d", i) {
				t.Fatalf("message %d: %d bytes, %v", i, len(msg), err)
			}
		}
		if _, err := s.Recv(t.Context()); err != io.EOF {
			t.Fatalf("end: %v", err)
		}
		wg.Wait()
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
	waitFor(t, func() bool { return x.Stats().Streams == 0 && y.Stats().Streams == 0 })
}

// A receiver that doesn't read stops its sender at the declared capacity, and
// nothing else on the link (fault row 28).
func TestSlowReaderStopsItsSenderOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan int, 100)
		x, y := memoryPair(t, testLimits(), nil, []*Handler{echo(), streaming("flood", 0, 7, func(ctx context.Context, s *Stream) error {
			for i := range 20 {
				if err := s.Send(ctx, []byte{byte(i)}); err != nil {
					return err
				}
				sent <- i
			}
			return nil
		})})
		s, err := x.Open(t.Context(), &Call{Handler: "flood"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(sent) != 7 {
			t.Fatalf("%d messages sent unread, the capacity is 7", len(sent))
		}
		time.Sleep(2 * time.Second) // in the bubble
		if st := y.Stats(); st.StreamsWaiting != 1 || st.LongestWait < 2*time.Second {
			t.Fatalf("stats: %+v", st)
		}
		if got, err := x.Call(t.Context(), &Call{Handler: "echo", Body: []byte("hi")}); string(got) != "hi" || err != nil {
			t.Fatalf("beside it: %q, %v", got, err)
		}
		for i := range 20 {
			if msg, err := s.Recv(t.Context()); err != nil || msg[0] != byte(i) {
				t.Fatalf("message %d: %v, %v", i, msg, err)
			}
		}
		if _, err := s.Recv(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
	})
}

// Beside a stream that is not read a hundred others have all of the path's
// speed: at least 95 % of what they have alone (fault row 28).
func TestBusyStreamsBesideAStalledOne(t *testing.T) {
	took := map[bool]time.Duration{}
	for _, stalled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ta, tb := MemoryPair()
			path := &slowTransport{Transport: tb, closed: make(chan struct{})} // 7 KiB a second to y
			x, _ := pairOver(t, testLimits(), ta, path, true, nil, []*Handler{
				streaming("deaf", 4, 0, func(ctx context.Context, _ *Stream) error { <-ctx.Done(); return nil }),
				streaming("sink", 4, 0, func(ctx context.Context, s *Stream) error {
					for {
						if _, err := s.Recv(ctx); err != nil {
							return eofIsFine(err)
						}
					}
				}),
			})
			if stalled {
				s, err := x.Open(t.Context(), &Call{Handler: "deaf"})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for s.Send(t.Context(), []byte("unread")) == nil { // until the test's end
					}
				}()
				synctest.Wait()
			}
			began := time.Now()
			var busy sync.WaitGroup
			for range 100 {
				busy.Go(func() {
					s, err := x.Open(t.Context(), &Call{Handler: "sink"})
					if err != nil {
						t.Error(err)
						return
					}
					for range 50 {
						if err := s.Send(t.Context(), make([]byte, 500)); err != nil {
							t.Error(err)
							return
						}
					}
					_ = s.CloseSend()
					_, _ = s.Recv(t.Context()) // its end
				})
			}
			busy.Wait()
			took[stalled] = time.Since(began)
		})
	}
	if alone, beside := took[false], took[true]; alone < time.Minute || beside.Seconds()*0.95 > alone.Seconds() {
		t.Errorf("alone they took %v, beside a stalled one %v", alone, beside)
	}
}

// A cut is never taken for a clean end, at either end, whoever cuts (field cases 2, 5).
func TestCutStreamNeverEndsCleanly(t *testing.T) {
	for name, cutBy := range map[string]func(x, y end){
		"caller's side":  func(x, _ end) { x.Terminate("test", "cut") },
		"handler's side": func(_, y end) { y.Terminate("test", "cut") },
		"the transport":  func(x, _ end) { _ = x.cfg.Transport.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			handlerEnd := make(chan error, 1)
			x, y := memoryPair(t, testLimits(), nil, []*Handler{streaming("s", 4, 4, func(ctx context.Context, s *Stream) error {
				for i := range 3 {
					if err := s.Send(ctx, []byte{byte(i)}); err != nil {
						t.Error(err)
					}
				}
				_, err := s.Recv(ctx)
				if ctx.Err() == nil {
					t.Error("the stream ended before its context")
				}
				handlerEnd <- err
				return nil // which must not make it a clean end
			})})
			s, err := x.Open(t.Context(), &Call{Handler: "s"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.queue) == 2 })
			cutBy(x, y)
			<-s.Done()
			for range 2 { // what had arrived is delivered
				if _, err := s.Recv(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var f *Failure
			if _, err := s.Recv(t.Context()); !errors.As(err, &f) || f.Cut == nil {
				t.Fatalf("caller: %v", err)
			}
			if err := <-handlerEnd; !errors.As(err, &f) || f.Cut == nil {
				t.Fatalf("handler: %v", err)
			}
			if err := s.Send(t.Context(), nil); err == nil {
				t.Fatal("send after the end")
			}
		})
	}
}

func TestStreamEnds(t *testing.T) {
	x, y := memoryPair(t, testLimits(), nil, []*Handler{
		streaming("fail", 1, 1, func(ctx context.Context, s *Stream) error {
			_ = s.Send(ctx, []byte("one"))
			return &coded{"mine", "it broke"}
		}),
		streaming("until cancelled", 1, 0, func(ctx context.Context, _ *Stream) error { <-ctx.Done(); return context.Cause(ctx) }),
		streaming("silent", 0, 0, func(ctx context.Context, s *Stream) error {
			if err := s.Send(ctx, nil); err != ErrNoCredit {
				t.Errorf("send without capacity: %v", err)
			}
			return nil
		}),
		streaming("panic", 0, 0, func(context.Context, *Stream) error { panic("oh") }),
	})
	open := func(name string) *Stream {
		t.Helper()
		s, err := x.Open(t.Context(), &Call{Handler: name, Body: []byte("payload")})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open("fail")
	if msg, err := s.Recv(t.Context()); string(msg) != "one" || err != nil {
		t.Fatal(msg, err)
	}
	var r *Remote
	if _, err := s.Recv(t.Context()); !errors.As(err, &r) || r.Code != "mine" || r.Message != "it broke" {
		t.Fatal(err)
	}
	s = open("until cancelled")
	s.Cancel(context.Canceled)
	if _, err := s.Recv(t.Context()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s = open("silent")
	if err := s.Send(t.Context(), nil); err != ErrNoCredit {
		t.Fatal(err)
	}
	if _, err := s.Recv(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
	s = open("panic")
	if _, err := s.Recv(t.Context()); !errors.As(err, &r) || r.Code != CodeInternal {
		t.Fatal(err)
	}
	if _, err := x.Open(t.Context(), &Call{Handler: "no such"}); err == nil {
		t.Fatal("unknown handler")
	}
	waitFor(t, func() bool { return y.Stats().CallsIn == 0 && x.Stats().Streams == 0 })
}

// The caller's context ends the stream; what the handler's end says of it is the cause.
func TestContextEndsTheStream(t *testing.T) {
	causes := make(chan error, 1)
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{streaming("wait", 1, 1, func(ctx context.Context, s *Stream) error {
		_, err := s.Recv(ctx)
		if err == io.EOF {
			t.Error("a cancellation looks like a clean end")
		}
		causes <- context.Cause(ctx)
		return err
	})})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := x.Open(ctx, &Call{Handler: "wait"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-s.Done()
	_ = s.CloseSend() // what the user closes afterwards is no clean end
	if cause := <-causes; !errors.Is(cause, context.Canceled) {
		t.Fatal(cause)
	}
}
