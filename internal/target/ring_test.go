package target

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRingLosesNothingSilently: whatever is added, and however slowly it is read,
// what a reader gets and what it is told to have missed are all entries, in order.
func TestRingLosesNothingSilently(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		ring := NewRing(1+rnd.IntN(20), 100+rnd.IntN(2000))
		type follower struct {
			*Reader
			seen uint64 // entries and missed ones
		}
		all := []*follower{{Reader: ring.Read(0)}}
		added := uint64(0)
		look := func(f *follower) bool {
			data, missed, ok := f.Try()
			if !ok {
				return false
			}
			f.seen += missed
			n, err := strconv.ParseUint(strings.TrimLeft(string(data), " "), 10, 64)
			if err != nil || n != f.seen || f.Number() != n {
				t.Fatalf("seed %d: got %q, number %d, where %d belongs", seed, data, f.Number(), f.seen)
			}
			f.seen++
			return true
		}
		for range 300 {
			switch rnd.IntN(10) {
			case 0:
				all = append(all, &follower{Reader: ring.ReadFrom(added), seen: added})
			case 1, 2, 3:
				look(all[rnd.IntN(len(all))])
			case 4:
				for f := all[rnd.IntN(len(all))]; look(f); {
					continue
				}
			default:
				text := strconv.FormatUint(added, 10)
				ring.Add([]byte(strings.Repeat(" ", max(0, rnd.IntN(3000)-2000)) + text))
				added++
			}
			if ring.bytes > ring.mostBytes || ring.next-ring.first > uint64(ring.most) {
				t.Fatalf("seed %d: %d entries of %d bytes", seed, ring.next-ring.first, ring.bytes)
			}
		}
		ring.Add([]byte(strconv.FormatUint(added, 10))) // what is missing is told of with the next one
		for _, f := range all {
			for look(f) {
				continue
			}
			if f.seen != added+1 {
				t.Fatalf("seed %d: %d entries were added, and %d seen or missed", seed, added+1, f.seen)
			}
		}
	}
}

// TestReaderTakesItsTime: a reader that follows takes the lock a hundred times a
// second, however many entries come.
func TestReaderTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewRing(RingEntries, RingBytes)
		ctx, cancel := context.WithCancel(t.Context())
		var woken atomic.Int64
		var group sync.WaitGroup
		group.Go(func() {
			reader := ring.Read(0)
			last := time.Time{}
			for {
				if _, _, err := reader.Next(ctx); err != nil {
					return
				}
				if now := time.Now(); now != last {
					woken.Add(1)
					last = now
				}
			}
		})
		for range 10_000 {
			ring.Add([]byte("entry"))
			time.Sleep(100 * time.Microsecond)
		}
		cancel()
		group.Wait()
		if n := woken.Load(); n > 101 {
			t.Errorf("woken %d times in a second", n)
		}
	})
}

// BenchmarkRingAdd is what an entry costs whoever logs it, with readers that
// follow and with some that are stuck.
func BenchmarkRingAdd(b *testing.B) {
	entry := []byte(strings.Repeat("x", 250))
	for _, readers := range []int{0, 1, 8} {
		b.Run(fmt.Sprint(readers, "-readers"), func(b *testing.B) {
			ring := NewRing(RingEntries, RingBytes)
			ctx, cancel := context.WithCancel(b.Context())
			var group sync.WaitGroup
			for range readers {
				group.Go(func() {
					for reader := ring.Read(0); ; {
						if _, _, err := reader.Next(ctx); err != nil {
							return
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				ring.Add(entry)
			}
			cancel()
			group.Wait()
		})
	}
}
