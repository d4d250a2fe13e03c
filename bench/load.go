package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A crowd is a number of callers that all do the same: each sends its next
// call when the last one is answered.
type crowd struct {
	callers int
	size    int           // bytes of each request, and of each reply
	pause   time.Duration // of each caller between two calls, on average: callers in step would wait for each other
	caller  func(i int) Caller
	turn    func()                   // before each of its turns; may be nil
	saw     func(from, to time.Time) // of each call, by its caller; may be nil
}

func (c crowd) begin() {
	if c.turn != nil {
		c.turn()
	}
}

// of returns the crowd with its callers calling the method of pair.
func (c crowd) of(pair Pair, m Method) crowd {
	c.caller = func(int) Caller { return pair.Caller(m) }
	return c
}

// A tally is what one crowd did.
type tally struct {
	latency *Histogram
	calls   float64
	bytes   float64 // of requests; as many came back
}

// A run is what all crowds did together, and what it took.
type run struct {
	tallies []tally // one for each crowd, in the order given
	elapsed time.Duration
	used    usage
	p99s    []float64 // of the one crowd in each turn, if it took turns
}

// calls is the number of calls of all crowds.
func (r *run) calls() float64 {
	var n float64
	for _, t := range r.tallies {
		n += t.calls
	}
	return n
}

// perSecond, cpuMicros, allocs and bytes are shares of a call.
func (r *run) perSecond() float64 { return r.calls() / r.elapsed.Seconds() }
func (r *run) cpuMicros() float64 { return micros(r.used.cpu) / r.calls() }
func (r *run) allocs() float64    { return float64(r.used.allocs) / r.calls() }
func (r *run) bytes() float64     { return float64(r.used.bytes) / r.calls() }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// A stopwatch times what is measured and nothing around it.
type stopwatch struct {
	warm    time.Duration // load before the measured part
	measure time.Duration
	begin   func() error // before each measured part; may be nil
}

// measured warms up with the crowds, collects garbage, and runs them again for
// what is measured.
func (s stopwatch) measured(ctx context.Context, crowds ...crowd) (*run, error) {
	if _, err := drive(ctx, s.warm, crowds); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	r, err := drive(ctx, s.measure, crowds)
	if err != nil {
		return nil, err
	}
	if r.calls() == 0 {
		return nil, errors.New("no call was answered in the measured time")
	}
	return r, nil
}

// maxShards bounds the histograms of a crowd: callers share them beyond it, so
// that ten thousand callers don't walk over as many histograms.
const maxShards = 16

// drive runs the crowds for d and waits for all of them. The first failed call
// stops everybody.
func drive(ctx context.Context, d time.Duration, crowds []crowd) (*run, error) {
	var (
		stop    atomic.Bool
		failure atomic.Pointer[error]
		ready   sync.WaitGroup
		done    sync.WaitGroup
		start   = make(chan struct{})
		shards  = make([][]*Histogram, len(crowds))
	)
	for i, c := range crowds {
		shards[i] = make([]*Histogram, min(c.callers, maxShards))
		for j := range shards[i] {
			shards[i][j] = new(Histogram)
		}
		for j := range c.callers {
			ready.Add(1)
			done.Go(func() {
				call, latency := c.caller(j), shards[i][j%len(shards[i])]
				ready.Done()
				<-start
				if err := c.loop(ctx, call, latency, &stop); err != nil {
					failure.CompareAndSwap(nil, &err)
					stop.Store(true)
				}
			})
		}
	}
	ready.Wait()

	before, err := usageNow()
	if err != nil {
		stop.Store(true)
	}
	began := time.Now()
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	close(start)
	done.Wait()
	elapsed := time.Since(began)
	timer.Stop()
	if err != nil {
		return nil, err
	}
	after, err := usageNow()
	if err != nil {
		return nil, err
	}
	if err := failure.Load(); err != nil {
		return nil, *err
	}

	r := &run{elapsed: elapsed, used: after.since(before)}
	for i, c := range crowds {
		t := tally{latency: new(Histogram)}
		for _, h := range shards[i] {
			t.latency.Add(h)
		}
		t.calls = float64(t.latency.Count())
		t.bytes = t.calls * float64(c.size)
		r.tallies = append(r.tallies, t)
	}
	return r, nil
}

// loop calls until stop, and checks that each reply is that of its request: a
// system that mixes up replies must not win by it.
func (c crowd) loop(ctx context.Context, call Caller, latency *Histogram, stop *atomic.Bool) error {
	req := make([]byte, c.size)
	dst := make([]byte, 0, c.size)
	if c.pause > 0 { // or all would be in step at first
		if err := pause(ctx, rand.N(c.pause)); err != nil {
			return err
		}
	}
	began := time.Now()
	for seq := uint64(1); seq == 1 || !stop.Load(); seq++ { // one at least: on a busy machine the time may be over at once
		binary.LittleEndian.PutUint64(req, seq)
		reply, err := call.Call(ctx, req, dst[:0])
		if err != nil {
			return fmt.Errorf("call %d of a caller: %w", seq, err)
		}
		if len(reply) != len(req) || binary.LittleEndian.Uint64(reply) != seq {
			return fmt.Errorf("call %d of a caller: the reply (%d bytes) is not that of the request (%d bytes)", seq, len(reply), len(req))
		}
		dst = reply
		now := time.Now()
		latency.Record(now.Sub(began))
		if c.saw != nil {
			c.saw(began, now)
		}
		began = now // one reading of the clock serves two calls
		if c.pause > 0 {
			if err := pause(ctx, c.pause/2+rand.N(c.pause)); err != nil {
				return err
			}
			began = time.Now()
		}
	}
	return nil
}

// pause waits for d, or fails when ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
