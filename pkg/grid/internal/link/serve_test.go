package link

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func single(name string, fn func(ctx context.Context, req []byte) ([]byte, error)) *Handler {
	return &Handler{Name: name, Single: func(ctx context.Context, _ *Incoming, req []byte) ([]byte, error) { return fn(ctx, req) }}
}

// do calls and fails the test if it takes for ever.
func do(t *testing.T, l *Link, handler, body string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, err := l.Call(ctx, &Call{Handler: handler, Body: []byte(body)})
	return string(reply), err
}

// A handler that blocks holds up nobody: not those behind it in its batch, not
// those that come later, not calls the other way, not its own call back.
func TestBlockedHandlerHoldsUpNobody(t *testing.T) {
	block, entered := make(chan struct{}), make(chan struct{}, 100)
	var y end
	x, y := memoryPair(t, testLimits(), []*Handler{echo()}, []*Handler{
		echo(),
		single("block", func(context.Context, []byte) ([]byte, error) {
			entered <- struct{}{}
			<-block
			return []byte("late"), nil
		}),
		single("back", func(ctx context.Context, req []byte) ([]byte, error) {
			return y.Call(ctx, &Call{Handler: "echo", Body: req})
		}),
	})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if got, err := do(t, x.Link, "block", ""); got != "late" || err != nil {
				t.Errorf("blocked call: %q, %v", got, err)
			}
		})
	}
	for range 10 { // all run at once, though the first of them held the reader
		<-entered
	}
	if got, err := do(t, x.Link, "echo", "hi"); got != "hi" || err != nil {
		t.Fatalf("beside blocked handlers: %q, %v", got, err)
	}
	if got, err := do(t, x.Link, "back", "and forth"); got != "and forth" || err != nil {
		t.Fatalf("call back: %q, %v", got, err)
	}
	close(block)
	wg.Wait()
}

// Handlers that compute for long without ever blocking run side by side.
func TestComputingHandlersGoToWorkers(t *testing.T) {
	h := single("compute", func(context.Context, []byte) ([]byte, error) {
		n := 0
		for until := time.Now().Add(2 * quick); time.Now().Before(until); n++ {
			n *= 3
		}
		return []byte{byte(n)}, nil
	})
	x, _ := memoryPair(t, testLimits(), nil, []*Handler{h})
	for range 100 * sampleEvery {
		if _, err := do(t, x.Link, "compute", ""); err != nil {
			t.Fatal(err)
		}
		if h.slow.Load() > 0 {
			return
		}
	}
	t.Fatal("they still run on the reader")
}

// Cancelling returns at once and reaches the handler's context, wherever it runs (field case 12).
func TestCancelReachesTheHandler(t *testing.T) {
	for _, slow := range []bool{false, true} {
		entered, causes := make(chan struct{}), make(chan error, 1)
		h := single("wait", func(ctx context.Context, _ []byte) ([]byte, error) {
			close(entered)
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		if slow {
			h.slow.Store(1000) // on a worker from the start
		}
		x, _ := memoryPair(t, testLimits(), nil, []*Handler{h})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		_, err := x.Call(ctx, &Call{Handler: "wait"})
		var f *Failure
		if !errors.As(err, &f) || !errors.Is(err, context.Canceled) || !f.Sent {
			t.Fatalf("caller: %#v", err)
		}
		if cause := <-causes; !errors.Is(cause, context.Canceled) {
			t.Fatalf("handler's cause: %v", cause)
		}
	}
}

func TestDeadlineTravelsAsRemainingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan time.Duration, 1)
		h := single("wait", func(ctx context.Context, _ []byte) ([]byte, error) {
			d, ok := ctx.Deadline()
			if !ok {
				t.Error("no deadline")
			}
			got <- time.Until(d)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		x, _ := memoryPair(t, testLimits(), nil, []*Handler{h})
		began := time.Now()
		_, err := x.Call(t.Context(), &Call{Handler: "wait", Timeout: 1500*time.Millisecond + 1, Expire: true})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began).Round(time.Millisecond) != 1500*time.Millisecond {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if d := <-got; d != 1501*time.Millisecond { // rounded up to the millisecond
			t.Fatalf("the handler had %v", d)
		}
	})
}

// A panic, a nil map, a runtime.Goexit: an answer for that call, its quota
// back, and the link goes on (fault rows 44, 45).
func TestBrokenHandlersAnswer(t *testing.T) {
	handlers := []*Handler{
		echo(),
		single("panic", func(context.Context, []byte) ([]byte, error) { panic("oh") }),
		single("nil map", func(context.Context, []byte) ([]byte, error) { nilMap["x"] = 1; return nil, nil }),
		single("goexit", func(context.Context, []byte) ([]byte, error) { runtime.Goexit(); return nil, nil }),
	}
	for _, slow := range []int32{0, 1 << 30} {
		for _, h := range handlers {
			h.slow.Store(slow)
		}
		x, y := memoryPair(t, testLimits(), nil, handlers)
		for range 100 {
			for _, name := range []string{"panic", "nil map", "goexit"} {
				_, err := do(t, x.Link, name, "")
				var r *Remote
				if !errors.As(err, &r) || r.Code != CodeInternal || strings.Contains(r.Message, "oh") {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		if got, err := do(t, x.Link, "echo", "still here"); got != "still here" || err != nil {
			t.Fatalf("after panics: %q, %v", got, err)
		}
		waitFor(t, func() bool { return y.Stats().CallsIn == 0 })
	}
}

var nilMap map[string]int

// waitFor waits until ok holds: for conditions that have no channel.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatal("condition never came true")
		}
	}
}

// The quota counts running handlers, not calls: what is cancelled but runs on
// still counts, and beyond the limit is refused, known not to have run.
func TestOverloadIsAnAnswer(t *testing.T) {
	l := testLimits()
	l.MaxCalls = 3
	block := make(chan struct{})
	var ran atomic.Int32
	x, y := memoryPair(t, l, nil, []*Handler{single("block", func(context.Context, []byte) ([]byte, error) {
		ran.Add(1)
		<-block // ignores its context
		return nil, nil
	})})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range l.MaxCalls {
		wg.Go(func() { _, _ = x.Call(ctx, &Call{Handler: "block"}) })
	}
	waitFor(t, func() bool { return ran.Load() == 3 })
	cancel()
	wg.Wait()
	_, err := do(t, x.Link, "block", "")
	var f *Failure
	if !errors.As(err, &f) || f.Code != CodeOverloaded || f.Sent {
		t.Fatalf("above the limit: %v", err)
	}
	waitFor(t, func() bool { return y.Stats().Overdue == 3 }) // fault row 46: seen, not forgotten
	close(block)
	waitFor(t, func() bool { return y.Stats().CallsIn == 0 })
	if _, err := do(t, x.Link, "block", ""); err != nil {
		t.Fatalf("at the limit: %v", err)
	}
	if n := ran.Load(); n != 4 {
		t.Fatalf("%d handlers ran, want 4", n)
	}
}

// Everything in flight ends with the link: sent calls as such, and none hangs.
func TestCutEndsEverything(t *testing.T) {
	entered, causes := make(chan struct{}, 2), make(chan error, 2)
	h := single("wait", func(ctx context.Context, _ []byte) ([]byte, error) {
		entered <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, nil
	})
	x, y := memoryPair(t, testLimits(), nil, []*Handler{h})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, err := do(t, x.Link, "wait", "")
			var f *Failure
			if !errors.As(err, &f) || f.Cut == nil || !f.Sent {
				t.Errorf("in flight: %#v", err)
			}
		})
	}
	<-entered
	<-entered
	y.Terminate("test", "cut by the test")
	wg.Wait()
	for range 2 {
		var cut *CutError
		if err := <-causes; !errors.As(err, &cut) {
			t.Fatalf("handler's cause: %v", err)
		}
	}
	<-x.Done()
	var cut *CutError
	if !errors.As(x.Err(), &cut) || cut.Code != "test" || !cut.Remote {
		t.Fatalf("the other side learnt %v", x.Err())
	}
	_, err := do(t, x.Link, "wait", "")
	var f *Failure
	if !errors.As(err, &f) || f.Cut == nil || f.Sent {
		t.Fatalf("afterwards: %#v", err)
	}
}

// Drain: what crosses is refused, what runs ends, then all is quiet.
func TestDrainLosesNothing(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	var ran atomic.Int64
	x, y := memoryPair(t, testLimits(), []*Handler{echo()}, []*Handler{
		single("slow", func(context.Context, []byte) ([]byte, error) { close(entered); <-release; return []byte("done"), nil }),
		single("count", func(context.Context, []byte) ([]byte, error) { ran.Add(1); return nil, nil }),
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, err := do(t, x.Link, "slow", ""); got != "done" || err != nil {
			t.Errorf("running call: %q, %v", got, err)
		}
	})
	<-entered
	var answered, refused atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				_, err := do(t, x.Link, "count", "")
				var f *Failure
				switch {
				case err == nil:
					answered.Add(1)
				case errors.As(err, &f) && f.Code == CodeDraining && !f.Sent:
					refused.Add(1)
					return
				default:
					t.Errorf("while draining: %#v", err)
					return
				}
			}
		})
	}
	waitFor(t, func() bool { return answered.Load() > 100 })
	y.Drain()
	waitFor(t, func() bool { return refused.Load() == 8 })
	if got, err := do(t, y.Link, "echo", "ours go on"); got != "ours go on" || err != nil {
		t.Fatalf("own call while draining: %q, %v", got, err)
	}
	select {
	case <-y.Quiet():
		t.Fatal("quiet while a call runs")
	default:
	}
	close(release)
	<-y.Quiet()
	wg.Wait()
	if ran.Load() != answered.Load() {
		t.Fatalf("%d calls ran, %d were answered", ran.Load(), answered.Load())
	}
}

// Giants that fill their budget leave room for small requests.
func TestGiantsLeaveRoomForSmallRequests(t *testing.T) {
	l := testLimits()
	l.RequestBytes = 1 << 20
	l.MaxMessage = 1 << 20
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	hold := single("hold", func(_ context.Context, req []byte) ([]byte, error) {
		entered <- struct{}{}
		<-release
		return req[:1], nil
	})
	hold.slow.Store(1 << 30) // on workers: that is where requests are counted
	x, y := memoryPair(t, l, nil, []*Handler{hold})
	var wg sync.WaitGroup
	for _, size := range []int{1 << 20, 1} {
		wg.Go(func() {
			if _, err := x.Call(t.Context(), &Call{Handler: "hold", Body: make([]byte, size)}); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		})
		<-entered
	}
	close(release)
	wg.Wait()
	waitFor(t, func() bool { return y.requests.Used() == 0 && y.small.Used() == 0 })
}
