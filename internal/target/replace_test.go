package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys"
)

// TestReplace: while entries flow, a target is replaced by one like it, with
// another spool, or with none. Nothing is lost, nothing comes out of order, and
// a batch at most comes twice (field-history L13, L35, D2, D5, D14).
func TestReplace(t *testing.T) {
	dirs := []string{"q", "q", "r", "", "", "q", "r", "r", "", "s"}
	for _, state := range []string{"works", "fails", "hangs"} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				all := &receiver{}
				var target *Target
				for i, dir := range dirs {
					r := &receiver{answer: func(b Batch) error { return all.Send(t.Context(), b) }}
					switch state {
					case "fails":
						r.answer = func(Batch) error { return errors.New("down") }
					case "hangs":
						r.hangs = true
					}
					if i == len(dirs)-1 {
						r.hangs, r.answer = false, func(b Batch) error { return all.Send(t.Context(), b) }
					}
					o := w.spooled(r)
					o.Spool.Dir, o.BatchAge, o.BatchCount = dir, 50*time.Millisecond, 30
					start := time.Now()
					target = w.start(o, target)
					if took := time.Since(start); took > 0 {
						t.Errorf("replacing took %v", took)
					}
					for range 1 + rand.IntN(40) {
						if w.push(target, rand.IntN(10)) > 0 {
							t.Fatal("entries were dropped")
						}
						time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					}
				}
				time.Sleep(5 * time.Second)
				target.Close(t.Context())
				if gaps := checkExact(t, all, w.next); gaps > 0 {
					t.Errorf("%d entries are missing", gaps)
				}
				if strings.Contains(w.console.String(), "lost") {
					t.Error(w.console.String())
				}
			})
		})
	}
}

// TestPushToReplaced: whoever still has the old target leaves entries with the
// new one, in order.
func TestPushToReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{}
		old := w.start(w.spooled(&receiver{}), nil)
		newer := w.start(w.spooled(&receiver{}), old)
		newest := w.start(w.spooled(&receiver{answer: func(b Batch) error { return r.Send(t.Context(), b) }}), newer)
		w.push(newest, 1)
		w.push(old, 1)
		w.push(newer, 1)
		w.push(old, 1)
		time.Sleep(2 * time.Second)
		w.want(r, span(1, 4))
		newest.Close(t.Context())
		if to, _ := old.Push(0, []byte("{}")); to != nil {
			t.Error("an entry was taken by a target that has ended")
		}
	})
}

// TestCloseDelivers: what is left when a target ends is delivered, if that is
// possible, and else waits on disk or is told of as lost (field-history D6).
func TestCloseDelivers(t *testing.T) {
	for _, c := range []struct {
		name, dir, state string
		delivered        bool
		lost             int
	}{
		{"spool", "q", "works", true, 0},
		{"memory", "", "works", true, 0},
		{"spool, hanging", "q", "hangs", false, 0},
		{"memory, hanging", "", "hangs", false, 50},
		{"spool, failing", "q", "fails", false, 0},
		{"memory, failing", "", "fails", false, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{hangs: c.state == "hangs"}
				if c.state == "fails" {
					r.answer = func(Batch) error { return errors.New("down") }
				}
				o := w.spooled(r)
				o.Spool.Dir = c.dir
				target := w.start(o, nil)
				w.push(target, 50)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				target.Close(ctx)
				if took := time.Since(start); c.delivered != (took < time.Second) || took > 5*time.Second {
					t.Errorf("closing took %v", took)
				}
				if c.delivered {
					w.want(r, span(1, 50))
				}
				if s := target.Stats(); s.Dropped != uint64(c.lost) || (c.lost > 0) != (w.console.count("entries lost") == 1) {
					t.Errorf("%+v; console: %s", s, w.console.String())
				}
				if r.see().closed != 1 {
					t.Errorf("closed %d times", r.see().closed)
				}
				if c.dir == "" || c.delivered {
					return
				}
				r2 := &receiver{}
				o.Sink = func() (Sink, error) { return r2, nil }
				target = w.start(o, nil)
				target.Close(t.Context())
				w.want(r2, span(1, 50))
			})
		})
	}
}

// TestKilled: a process that is killed has lost what was in memory. The next
// one tells so, exactly.
func TestKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{hangs: true}
		target := w.start(w.spooled(r), nil)
		w.push(target, 30)
		time.Sleep(time.Second)
		w.fs.Crash() // nothing comes to the disk any more
		w.push(target, 12)
		closeNow(target)
		w.fs.Restart(false)
		r = &receiver{}
		target = w.start(w.spooled(r), nil) // with the same sequence, as one from a file would be
		w.push(target, 3)
		time.Sleep(2 * time.Second)
		w.want(r, span(1, 30)+" 31..42 process ended "+span(43, 45))
		target.Close(t.Context())
	})
}

// TestStartsLate: a target whose folder or sink does not work yet takes entries
// all the same, and delivers when it does (field-history L11, L19, L29, D1).
func TestStartsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{}
		lock, err := w.fs.Lock("q/lock") // another process has the folder
		if err != nil {
			t.Fatal(err)
		}
		o := w.spooled(r)
		var works atomic.Bool
		o.Sink = func() (Sink, error) {
			if !works.Load() {
				return nil, errors.New("no such file")
			}
			return r, nil
		}
		target := w.start(o, nil)
		w.push(target, 10)
		time.Sleep(2 * time.Minute)
		works.Store(true)
		time.Sleep(2 * time.Minute)
		if n := w.console.count("not started"); n < 2 || n > 20 {
			t.Errorf("told %d times: %s", n, w.console.String())
		}
		_ = lock.Close()
		time.Sleep(2 * time.Minute)
		w.want(r, span(1, 10))
		target.Close(t.Context())
	})
}

// TestNeverStarts: ending a target whose sink never worked does not hang. What
// it took waits on disk, or is told of as lost.
func TestNeverStarts(t *testing.T) {
	for _, dir := range []string{"q", ""} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			o := w.spooled(nil)
			o.Spool.Dir = dir
			o.Sink = func() (Sink, error) { return nil, errors.New("no such file") }
			target := w.start(o, nil)
			w.push(target, 10)
			time.Sleep(2 * time.Minute)
			if s := target.Stats(); !s.Failing || s.LastError != "no such file" || s.Oldest < time.Minute {
				t.Errorf("it says %+v", s)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			target.Close(ctx)
			if dir == "" {
				if w.console.count("entries lost") != 1 || w.console.count("count=10") != 1 {
					t.Error(w.console.String())
				}
				return
			}
			r := &receiver{}
			target = w.start(w.spooled(r), nil)
			target.Close(t.Context())
			w.want(r, span(1, 10))
		})
	}
}

// TestBlock: an entry for which Wait has returned is on disk, whatever happens
// then; where it cannot come to the disk, Wait says so in time, and what was
// not taken is missing, exactly.
func TestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{hangs: true}
		o := w.spooled(r)
		o.Block, o.Buffer, o.Spool.MaxBytes = true, 8<<10, 64<<10
		wait := func(target *Target, id uint64) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return target.Wait(ctx, id)
		}
		safe := make(map[int]bool)
		for life := range 20 {
			w.fs.CrashAt = 20 + rand.IntN(200)
			w.fs.Fails = []float64{0, 0.05}[life%2]
			target := w.start(o, nil)
			for range 300 {
				w.next++
				to, id := target.Push(0, fmt.Appendf(nil, `{"n":%d}`, w.next))
				if to != nil && wait(to, id) == nil {
					safe[w.next] = true
				}
				if _, crashed := w.fs.Steps(); crashed {
					break
				}
			}
			w.fs.Crash()
			closeNow(target)
			w.fs.Restart(life%3 == 0)
			w.fs.Fails = 0
		}
		if len(safe) < 500 {
			t.Fatalf("only %d entries were safe: that shows nothing", len(safe))
		}
		r2 := &receiver{}
		o.Sink = func() (Sink, error) { return r2, nil }
		target := w.start(o, nil)
		w.push(target, 1)
		time.Sleep(5 * time.Second)
		target.Close(t.Context())
		checkExact(t, r2, w.next)
		for _, n := range r2.numbers(t) {
			number := 0
			_, _ = fmt.Sscan(n, &number)
			delete(safe, number)
		}
		if len(safe) > 0 {
			t.Errorf("lost, though they were safe: %v", safe)
		}
	})
}

// lateDisk is a context that ends while the disk takes the entry, at once.
type lateDisk struct {
	context.Context

	safe func()
}

func (c lateDisk) Done() <-chan struct{} {
	c.safe()
	ended := make(chan struct{})
	close(ended)
	return ended
}

// TestSafeInTheLastMoment: an entry that comes to the disk just as the time to
// wait for it is over leaves nothing stuck. Whoever is told so makes no more
// entries, so none would ever be safe again, and no call be served.
func TestSafeInTheLastMoment(t *testing.T) {
	for range 100 { // either may be seen first
		target := New(newWorld(t).options(&receiver{}))
		_, id := target.Push(0, []byte(`{}`))
		err := target.Wait(lateDisk{t.Context(), func() { target.safe(id) }}, id)
		if err != nil || target.Stuck() {
			t.Fatalf("%v, stuck %v", err, target.Stuck())
		}
		target.stopSend()
	}
}

// TestLossy: a console that fails costs its lines and nothing else: no pause, no
// report, no try again (faults.md 82).
func TestLossy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t), &receiver{answer: func(Batch) error { return errors.New("no space left") }}
		o := w.options(r)
		o.Lossy, o.BatchAge = true, -1
		target := w.start(o, nil)
		for range 100 {
			w.push(target, 1)
			synctest.Wait()
		}
		if s := target.Stats(); r.see().sends != 100 || s.Dropped != 100 || s.Retried != 0 {
			t.Errorf("%d sends, %+v", r.see().sends, s)
		}
		r.set(nil)
		w.push(target, 1)
		synctest.Wait()
		if got := strings.Join(r.numbers(t), " "); got != "1..100 spool damaged 101" && got != "1..100 lost 101" {
			t.Errorf("got %s", got)
		}
		target.Close(t.Context())
	})
}

// TestIndependent: a target that hangs delays neither its siblings nor any call
// (faults.md 76).
func TestIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, slow, good := newWorld(t), &receiver{hangs: true}, &receiver{}
		a := w.start(w.spooled(slow), nil)
		o := w.options(good)
		o.BatchAge, o.Sequence = -1, NewSequence()
		b := w.start(o, nil)
		for n := range 5000 {
			body := fmt.Appendf(nil, `{"n":%d}`, n+1)
			start := time.Now()
			a.Push(0, body)
			b.Push(0, body)
			synctest.Wait()
			if took := time.Since(start); took > 0 {
				t.Fatalf("a call waited %v", took)
			}
		}
		w.want(good, span(1, 5000))
		b.Close(t.Context())
		closeNow(a)
	})
}

// TestReplacedBeforeItBegan: a target that was mended before its first entry was
// delivered begins where that one would have: what a killed process has lost is
// told of, and nothing else.
func TestReplacedBeforeItBegan(t *testing.T) {
	for _, dir := range []string{"q", ""} {
		t.Run(dir, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{}
				for range 40 {
					w.seq.Next() // by an earlier process, of which the receiver has 30
				}
				o := w.spooled(nil)
				o.Spool.Dir = dir
				o.Sink = func() (Sink, error) { return &resuming{receiver: r, run: w.seq.Run(), last: 30}, nil }
				bad := o
				bad.Spool.FS, bad.Sink = lockedFS{w.fs}, func() (Sink, error) { return nil, errors.New("no such folder") }
				w.next = 40
				target := w.start(bad, nil)
				w.push(target, 2)
				time.Sleep(time.Minute)
				target = w.start(o, target)
				w.push(target, 1)
				time.Sleep(time.Minute)
				target.Close(t.Context())
				want := "31..40 process ended " + span(41, 43)
				if dir != "" {
					want = span(41, 43) // a spool that is new was never given them
				}
				w.want(r, want)
			})
		})
	}
}

// lockedFS is a file system in which another process has everything.
type lockedFS struct{ fsys.FS }

func (lockedFS) Lock(string) (io.Closer, error) { return nil, errors.New("in use") }

// resuming is a receiver that knows what it has.
type resuming struct {
	*receiver
	run  string
	last uint64
}

func (r *resuming) Last() (run string, id uint64) { return r.run, r.last }

// TestForeignFile: ids that a file has from another sequence say nothing about
// this one's: no entry counts as delivered by them.
func TestForeignFile(t *testing.T) {
	for _, last := range []uint64{3, 5000} {
		synctest.Test(t, func(t *testing.T) {
			w, all := newWorld(t), &receiver{}
			for range 7 {
				w.seq.Next()
			}
			w.next = 7
			o := w.options(nil)
			to := func(run string, last uint64) {
				r := &receiver{answer: func(b Batch) error { return all.Send(t.Context(), b) }}
				o.Sink = func() (Sink, error) { return &resuming{receiver: r, run: run, last: last}, nil }
			}
			to(NewSequence().Run(), last)
			target := w.start(o, nil)
			w.push(target, 3)
			time.Sleep(2 * time.Second)
			w.want(all, span(8, 10))
			to(w.seq.Run(), 9000) // another file
			target = w.start(o, target)
			w.push(target, 2)
			time.Sleep(2 * time.Second)
			w.want(all, span(8, 12))
			target.Close(t.Context())
		})
	}
}

// TestFollow: a target that was removed while its receiver was away, and comes
// back before that one has ended, delivers what that one had, and tells of what
// was made meanwhile.
func TestFollow(t *testing.T) {
	for _, dir := range []string{"q", ""} {
		t.Run(dir, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{}
				o := w.spooled(&receiver{hangs: true})
				o.Spool.Dir = dir
				o.Sequence, o.Run = nil, w.seq.Run()
				first := w.start(o, nil)
				push := func(to *Target, id uint64) { to.Push(id, fmt.Appendf(nil, `{"n":%d}`, id)) }
				push(first, 1)
				time.Sleep(2 * time.Second)
				push(first, 2)
				first.Retire(nil)
				ended := make(chan struct{})
				go func() {
					first.Close(t.Context())
					close(ended)
				}()
				time.Sleep(time.Second)
				o.Issued = 5 // 3 to 5 were for others
				o.Sink = func() (Sink, error) { return r, nil }
				second := New(o)
				second.Follow(first)
				push(second, 6)
				second.Start(nil)
				push(first, 7) // by who still has it
				time.Sleep(2 * time.Second)
				<-ended
				second.Close(t.Context())
				w.want(r, "1 2 3..5 target absent 6 7")
				if strings.Contains(w.console.String(), "lost") {
					t.Error(w.console.String())
				}
			})
		})
	}
}

// TestFollowedAndReplaced: a target that comes back and has not got as far as to
// what was made without it, because its queue is full or its receiver away, hands
// on to the one in its place that it was absent then.
func TestFollowedAndReplaced(t *testing.T) {
	for _, dir := range []string{"q", ""} {
		t.Run(dir, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t), &receiver{}
				o := w.spooled(&receiver{hangs: true})
				o.Spool.Dir, o.Spool.MaxBytes = dir, 16<<10
				o.Sequence, o.Run = nil, w.seq.Run()
				o.BatchCount = 5
				last := uint64(0)
				push := func(to *Target, n int) {
					for range n {
						last++
						to.Push(last, fmt.Appendf(nil, `{"n":%d}`, last))
						time.Sleep(10 * time.Millisecond)
					}
				}
				start := func(sink Sink, before, follow *Target) *Target {
					o.Issued, o.Sink = last, func() (Sink, error) { return sink, nil }
					next := New(o)
					switch {
					case before != nil:
						before.Retire(next)
					case follow != nil:
						next.Follow(follow)
					}
					next.Start(before)
					return next
				}
				first := start(&receiver{hangs: true}, nil, nil)
				push(first, 400)
				closed, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					first.Close(closed)
					close(ended)
				}()
				synctest.Wait()
				last += 100
				second := start(&receiver{hangs: true}, nil, first)
				cancel()
				<-ended
				push(second, 3)
				third := start(r, second, nil)
				push(third, 3)
				time.Sleep(time.Minute)
				third.Close(t.Context())
				w.want(r, span(1, 400)+" 401..500 target absent "+span(501, 506))
			})
		})
	}
}
