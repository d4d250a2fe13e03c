package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ledger checks what a receiver gets as it comes: order, gaps, duplicates.
type ledger struct {
	t *testing.T

	mu       sync.Mutex
	next     uint64 // what comes next, if nothing comes twice
	from     uint64 // of the batch before: from there entries may come twice after a crash
	crashed  bool   // since the last batch
	missing  map[uint64]bool
	twice    int
	batch    int // the largest
	received int
}

// Send takes a batch, which is checked whole.
func (l *ledger) Send(_ context.Context, b Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch = max(l.batch, len(b.Items))
	from := uint64(0)
	for i, item := range b.Items {
		first, last := item.ID, item.ID
		gap := bytes.Contains(item.Data, []byte(`"gap"`))
		if gap {
			_, text, _ := bytes.Cut(item.Data, []byte(`"gap":"`))
			text, _, _ = bytes.Cut(text, []byte(".."))
			first, _ = strconv.ParseUint(string(text), 10, 64)
		} else if want := fmt.Appendf(nil, `"n":%d}`, item.ID); !bytes.HasSuffix(item.Data, want) {
			l.t.Errorf("entry %d is %s", item.ID, item.Data)
		}
		if i == 0 {
			from = first
			if first != l.next && !(l.crashed && first < l.next && first >= l.from) {
				l.t.Errorf("entry %d came where %d should (crash before: %v, the batch before began at %d)", first, l.next, l.crashed, l.from)
			}
			if first < l.next {
				l.twice += int(l.next - first)
			}
		} else if first != l.next {
			l.t.Errorf("entry %d came within a batch where %d should", first, l.next)
		}
		for id := first; gap && id <= last; id++ {
			l.missing[id] = true
		}
		if !gap {
			delete(l.missing, item.ID) // thought lost, and then found
			l.received++
		}
		l.next = last + 1
	}
	l.from, l.crashed = from, false
	return nil
}

func (l *ledger) Close() error { return nil }

// TestSoakStorm: a million entries through 20 replacements and 20 ends of the
// process at any step of I/O, with a receiver that comes and goes. In block
// none that was safe is lost, in drop what is missing is what was dropped or
// lay in memory; order is kept, and after a crash a batch at most comes twice.
func TestSoakStorm(t *testing.T) {
	entries := 1_000_000
	if raceDetector || testing.Short() {
		entries = 40_000
	}
	for _, block := range []bool{true, false} {
		t.Run(map[bool]string{true: "block", false: "drop"}[block], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storm(t, block, entries) })
		})
	}
}

func storm(t *testing.T, block bool, entries int) {
	const crashes, replacements, callers = 20, 20, 64
	w := newWorld(t)
	all := &ledger{t: t, next: 1, missing: make(map[uint64]bool)}
	var (
		mu      sync.Mutex // of what follows, and of the order of pushes
		target  *Target
		safe    = make(map[uint64]bool)
		dropped = make(map[uint64]bool)
		pushed  int
	)
	step := entries / (crashes + replacements + 1)
	limit := step
	var life atomic.Int64 // counts processes
	options := func() Options {
		mine := life.Load()
		o := w.spooled(nil)
		o.Block, o.BatchCount, o.BatchAge = block, 200+rand.IntN(800), 10*time.Millisecond
		o.Buffer, o.Spool.MaxBytes = 32<<10, 1<<20
		o.Sink = func() (Sink, error) {
			return &receiver{answer: func(b Batch) error {
				if _, crashed := w.fs.Steps(); crashed || mine != life.Load() {
					return errors.New("this process has ended")
				}
				if rand.IntN(20) == 0 {
					return errors.New("answered 503")
				}
				return all.Send(t.Context(), b)
			}}, nil
		}
		return o
	}
	target = w.start(options(), nil)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for {
				mu.Lock()
				if pushed >= entries {
					mu.Unlock()
					return
				}
				if pushed >= limit { // time stands still while all are busy: let events happen, too
					mu.Unlock()
					time.Sleep(time.Millisecond)
					continue
				}
				pushed++
				at := target
				id := uint64(w.next + 1)
				w.next++
				to, _ := at.Push(0, fmt.Appendf(nil, `{"n":%d}`, id))
				if to == nil {
					dropped[id] = true
				}
				mu.Unlock()
				switch {
				case block && to != nil:
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					if to.Wait(ctx, id) == nil {
						mu.Lock()
						safe[id] = true
						mu.Unlock()
					}
					cancel()
				case rand.IntN(50) == 0 || to == nil:
					time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
				}
			}
		})
	}
	events := rand.Perm(crashes + replacements)
	for _, event := range events {
		for reached := false; !reached; {
			time.Sleep(time.Millisecond)
			mu.Lock()
			reached = pushed >= limit
			mu.Unlock()
		}
		mu.Lock()
		limit += step
		mu.Unlock()
		if event >= crashes {
			mu.Lock()
			target = w.start(options(), target)
			mu.Unlock()
			continue
		}
		w.fs.CrashIn(1 + rand.IntN(40)) // somewhere in what it does now
		for range 1000 {
			time.Sleep(time.Millisecond)
			if _, crashed := w.fs.Steps(); crashed {
				break
			}
		}
		w.fs.Crash()
		mu.Lock() // nobody calls while the process is not there
		closeNow(target)
		life.Add(1)
		all.mu.Lock()
		all.crashed = true
		all.mu.Unlock()
		w.fs.Restart(false)
		target = w.start(options(), nil)
		mu.Unlock()
	}
	mu.Lock()
	limit = entries
	mu.Unlock()
	group.Wait()
	time.Sleep(5 * time.Minute)
	w.push(target, 1)
	time.Sleep(time.Minute)
	target.Close(t.Context())

	if all.next != uint64(w.next)+1 {
		t.Errorf("the last entry that came is %d, %d were made", all.next-1, w.next)
	}
	lost, beside := 0, 0
	for id := range all.missing {
		if safe[id] {
			lost++
		}
		if !dropped[id] {
			beside++
		}
	}
	if lost > 0 {
		t.Errorf("%d entries are missing that were safe", lost)
	}
	for id := range dropped {
		if !all.missing[id] {
			t.Errorf("entry %d was dropped and is not missing", id)
		}
	}
	// What lay in memory when a process ended was at most its buffer and what
	// was being written from it.
	if most := crashes * 2 * (32 << 10) / entryCost; beside > most {
		t.Errorf("%d entries are missing that were not dropped", beside)
	}
	if all.twice > crashes*all.batch {
		t.Errorf("%d entries came twice, the largest batch has %d", all.twice, all.batch)
	}
	t.Logf("%d entries: %d safe, %d dropped, %d lost with a process, %d twice", w.next, len(safe), len(dropped), beside, all.twice)
	if block && len(safe) < entries*8/10 || !block && len(dropped) == 0 {
		t.Error("that shows nothing")
	}
}
