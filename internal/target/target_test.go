package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys/crashfs"
	"github.com/gridmesh/gridmesh/internal/spool"
)

// receiver is a sink that keeps what it gets, and fails as it is told to.
type receiver struct {
	mu      sync.Mutex
	lines   []string
	keys    []string
	sizes   []int
	answer  func(b Batch) error // nil: takes all
	hangs   bool                // until its context ends
	sends   int
	closed  int
	running bool
}

func (r *receiver) Send(ctx context.Context, b Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running || r.closed > 0 {
		return errors.New("two sends at once, or after close")
	}
	r.sends++
	if r.hangs {
		r.running = true
		r.mu.Unlock()
		<-ctx.Done()
		r.mu.Lock()
		r.running = false
		return ctx.Err()
	}
	if r.answer != nil {
		if err := r.answer(b); err != nil {
			return err
		}
	}
	r.keys = append(r.keys, b.Key())
	r.sizes = append(r.sizes, len(b.Items))
	for _, item := range b.Items {
		r.lines = append(r.lines, string(item.Data))
	}
	return nil
}

func (r *receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
	return nil
}

// seen is what a receiver has got so far.
type seen struct {
	lines, keys   []string
	sizes         []int
	sends, closed int
}

func (r *receiver) see() seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return seen{lines: slices.Clone(r.lines), keys: slices.Clone(r.keys), sizes: slices.Clone(r.sizes), sends: r.sends, closed: r.closed}
}

func (r *receiver) set(answer func(b Batch) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// numbers gives the n of each entry, and of each gap "first..last reason".
func (r *receiver) numbers(t *testing.T) (all []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		var e struct {
			N   int    `json:"n"`
			Gap string `json:"gap"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Gap != "" {
			all = append(all, e.Gap)
			continue
		}
		all = append(all, strconv.Itoa(e.N))
	}
	return all
}

func gapLine(m Missing) []byte {
	return fmt.Appendf(nil, `{"gap":"%d..%d %s"}`, m.First, m.Last, m.Reason)
}

// console keeps what targets report.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func (c *console) count(words string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.text.String(), words)
}

// world is what the targets of one test share.
type world struct {
	t       *testing.T
	fs      *crashfs.FS
	seq     *Sequence
	console console
	next    int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, fs: crashfs.New(1), seq: NewSequence()}
}

func (w *world) options(r Sink) Options {
	return Options{
		Name: "test", Kind: "fake", Sequence: w.seq, WithIDs: true, Origin: "node/log/test",
		Sink: func() (Sink, error) { return r, nil },
		Gap:  gapLine, Report: slog.New(slog.NewTextHandler(&w.console, nil)),
	}
}

func (w *world) spooled(r Sink) Options {
	o := w.options(r)
	o.Spool = spool.Options{Dir: "q", FS: w.fs, MaxBytes: 256 << 10}
	return o
}

func (w *world) start(o Options, before *Target) *Target {
	t := New(o)
	if before != nil {
		before.Retire(t)
	}
	t.Start(before)
	return t
}

// push pushes n entries with rising numbers, and gives how many were dropped.
func (w *world) push(t *Target, n int) (dropped int) {
	for range n {
		w.next++
		if to, _ := t.Push(0, fmt.Appendf(nil, `{"n":%d}`, w.next)); to == nil {
			dropped++
		}
	}
	return dropped
}

func closeNow(t *Target) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t.Close(ctx)
}

// span lists first to last.
func span(first, last int) string {
	var all []string
	for n := first; n <= last; n++ {
		all = append(all, strconv.Itoa(n))
	}
	return strings.Join(all, " ")
}

func (w *world) want(r *receiver, want string) {
	w.t.Helper()
	if got := strings.Join(r.numbers(w.t), " "); got != want {
		w.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// TestShortBatches: what gathers for the disk does not have a batch wait for much
// longer than it should.
func TestShortBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{}
		o := w.spooled(r)
		o.BatchAge = 10 * time.Millisecond
		target := w.start(o, nil)
		w.push(target, 3)
		time.Sleep(2*o.BatchAge + time.Millisecond)
		w.want(r, span(1, 3))
		target.Close(t.Context())
	})
}

// TestDelivers: each entry once, in order, in batches, with ids and keys
// (field-history L25, L34, D18).
func TestDelivers(t *testing.T) {
	for _, kind := range []string{"spool", "memory"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{}
				o := w.options(r)
				if kind == "spool" {
					o = w.spooled(r)
				}
				o.BatchCount = 100
				target := w.start(o, nil)
				w.push(target, 3)
				time.Sleep(900 * time.Millisecond)
				if len(r.see().lines) != 0 {
					t.Error("a batch of 3 was sent before its time")
				}
				time.Sleep(100*time.Millisecond + gatherFor + time.Millisecond)
				w.want(r, span(1, 3))
				w.push(target, 250)
				synctest.Wait()
				time.Sleep(2 * time.Second)
				w.want(r, span(1, 253))
				if want := fmt.Sprintf(`{"id":"%s-0000000000000253","n":253}`, w.seq.Run()); r.see().lines[252] != want {
					t.Errorf("got  %s\nwant %s", r.see().lines[252], want)
				}
				if want := fmt.Sprintf("node/log/test/%s-1-3", w.seq.Run()); r.see().keys[0] != want {
					t.Errorf("key %s, want %s", r.see().keys[0], want)
				}
				for _, n := range r.see().sizes {
					if n > 100 {
						t.Errorf("a batch of %d", n)
					}
				}
				s := target.Stats()
				if s.In != 253 || s.Out != 253 || s.Dropped+s.Retried+s.Rejected != 0 || s.QueueEntries != 0 || s.QueueBytes != 0 || s.Failing {
					t.Errorf("%+v", s)
				}
				target.Close(t.Context())
				if r.see().closed != 1 || w.console.String() != "" {
					t.Errorf("closed %d times; console: %s", r.see().closed, w.console.String())
				}
			})
		})
	}
}

// TestDownAndUp: what comes while the receiver fails goes out when it is back,
// with few tries and few lines on the console, and is counted once (faults.md
// 75; field-history L3, L4, L18, L20, L29, L38, D3).
func TestDownAndUp(t *testing.T) {
	for _, kind := range []string{"spool", "memory"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{answer: func(Batch) error { return errors.New("answered 500") }}
				o := w.options(r)
				if kind == "spool" {
					o = w.spooled(r)
				}
				target := w.start(o, nil)
				for range 600 {
					w.push(target, 1)
					time.Sleep(time.Second)
				}
				if r.see().sends < 15 || r.see().sends > 60 {
					t.Errorf("%d tries in 10 minutes", r.see().sends)
				}
				if n := w.console.count("level=ERROR"); n < 2 || n > r.see().sends {
					t.Errorf("%d errors on the console:\n%s", n, w.console.String())
				}
				if s := target.Stats(); !s.Failing || s.LastError != "answered 500" || s.Out != 0 || s.QueueEntries < 590 || s.Retried == 0 {
					t.Errorf("%+v", s)
				}
				r.set(nil)
				time.Sleep(2 * time.Minute)
				w.want(r, span(1, 600))
				if s := target.Stats(); s.Failing || s.In != 600 || s.Out != 600 || s.Dropped != 0 || w.console.count("again") != 1 {
					t.Errorf("%+v; console: %s", s, w.console.String())
				}
				target.Close(t.Context())
			})
		})
	}
}

// TestLater: a receiver is left alone for as long as it asks, but not for ever.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{answer: func(Batch) error { return &Later{After: 7 * time.Minute, Reason: "answered 429"} }}
		target := w.start(w.spooled(r), nil)
		w.push(target, 1)
		time.Sleep(7 * time.Minute)
		if r.see().sends != 1 {
			t.Errorf("%d tries within 7 minutes", r.see().sends)
		}
		r.set(func(Batch) error { return &Later{After: 1000 * time.Hour} })
		time.Sleep(time.Minute)
		r.set(nil)
		time.Sleep(mostWait + time.Minute)
		w.want(r, "1")
		target.Close(t.Context())
	})
}

// TestPoison: what the receiver will never take is found, kept and told of, and
// nothing before or behind it waits (field-history D8).
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		poison := map[string]bool{`"n":1}`: true, `"n":37}`: true, `"n":38}`: true, `"n":200}`: true}
		r := &receiver{answer: func(b Batch) error {
			for _, item := range b.Items {
				_, n, _ := bytes.Cut(item.Data, []byte(","))
				if poison[string(n)] {
					return &Rejected{Reason: "answered 422"}
				}
			}
			return nil
		}}
		o := w.spooled(r)
		o.Spool.FS, o.Spool.Dir = nil, t.TempDir()
		target := w.start(o, nil)
		w.push(target, 200)
		time.Sleep(2 * time.Second)
		w.push(target, 1)
		time.Sleep(2 * time.Second)
		w.want(r, "1..1 rejected "+span(2, 36)+" 37..37 rejected 38..38 rejected "+span(39, 199)+" 200..200 rejected 201")
		if s := target.Stats(); s.In != 201 || s.Out != 197 || s.Rejected != 4 || s.Retried != 0 || s.Failing {
			t.Errorf("%+v", s)
		}
		if r.see().sends > 80 {
			t.Errorf("%d tries to find 4 of 200", r.see().sends)
		}
		target.Close(t.Context())
		kept := readFile(t, o.Spool.Dir+"/"+asideName)
		if strings.Count(kept, "\n") != 4 || !strings.Contains(kept, `"n":37}`) {
			t.Errorf("kept:\n%s", kept)
		}
		if strings.Contains(w.console.String(), `"n":`) {
			t.Errorf("an entry is on the console: %s", w.console.String())
		}
	})
}

// TestReceiverRejectsAll: when nothing at all is taken, entries wait for the
// receiver to be mended.
func TestReceiverRejectsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{answer: func(Batch) error { return &Rejected{Reason: "answered 400"} }}
		target := w.start(w.spooled(r), nil)
		w.push(target, 900)
		time.Sleep(10 * time.Minute)
		if s := target.Stats(); s.Rejected < 1 || s.Rejected > 20 || s.QueueEntries < 850 || !s.Failing {
			t.Errorf("%+v", s)
		}
		if sends := r.see().sends; sends > 200 {
			t.Errorf("%d tries in 10 minutes", sends)
		}
		r.set(nil)
		time.Sleep(2 * time.Minute)
		if s := target.Stats(); s.QueueBytes != 0 || s.Out < 850 || s.Failing {
			t.Errorf("%+v", s)
		}
		target.Close(t.Context())
	})
}

// TestNoticesRejected: a receiver that does not take notices of what is missing
// gets the entries all the same.
func TestNoticesRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{}
		r.set(func(b Batch) error {
			for _, item := range b.Items {
				if bytes.Contains(item.Data, []byte("gap")) || bytes.HasSuffix(item.Data, []byte(`"n":5}`)) {
					return &Rejected{Reason: "answered 422"}
				}
			}
			return nil
		})
		target := w.start(w.spooled(r), nil)
		w.push(target, 20)
		time.Sleep(30 * time.Minute)
		w.want(r, span(1, 4)+" "+span(6, 20))
		target.Close(t.Context())
	})
}

// TestFull: a full queue drops what comes, at once; what is dropped is counted
// and told of, exactly (faults.md 78; field-history L8, L15).
func TestFull(t *testing.T) {
	for _, kind := range []string{"spool", "memory"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{hangs: true}
				o := w.options(r)
				if kind == "spool" {
					o = w.spooled(r)
					o.Spool.MaxBytes = 64 << 10
				}
				o.Buffer = 16 << 10
				target := w.start(o, nil)
				dropped := 0
				for range 200 {
					dropped += w.push(target, 20)
					time.Sleep(10 * time.Millisecond)
				}
				if s := target.Stats(); dropped == 0 || s.Dropped != uint64(dropped) || s.In != 4000 {
					t.Fatalf("dropped %d, stats say %+v", dropped, s)
				}
				start := time.Now()
				w.push(target, 1000)
				if took := time.Since(start); took != 0 {
					t.Errorf("calls waited %v", took)
				}
				time.Sleep(time.Minute)
				if n := w.console.count("entries dropped"); n < 1 || n > 10 {
					t.Errorf("told %d times:\n%s", n, w.console.String())
				}
				closeNow(target)
				if kind == "memory" {
					return
				}
				r2 := &receiver{}
				o.Sink = func() (Sink, error) { return r2, nil }
				target = w.start(o, nil)
				w.push(target, 1)
				time.Sleep(3 * time.Second)
				target.Close(t.Context())
				checkExact(t, r2, w.next)
			})
		})
	}
}

// checkExact holds the receiver's numbers to 1..last, each there or in exactly
// one gap.
func checkExact(t *testing.T, r *receiver, last int) (gaps int) {
	t.Helper()
	next := 1
	for _, text := range r.numbers(t) {
		var first, end int
		if n, _ := fmt.Sscanf(text, "%d..%d", &first, &end); n != 2 {
			_, _ = fmt.Sscan(text, &first)
			end = first
		} else {
			gaps += end - first + 1
		}
		if first != next || end < first {
			t.Fatalf("%s comes where %d should", text, next)
		}
		next = end + 1
	}
	if next != last+1 {
		t.Fatalf("it ends before %d, %d were pushed", next, last)
	}
	return gaps
}
