package main

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// callFunc is a Caller made of a function.
type callFunc func(req []byte) ([]byte, error)

func (f callFunc) Call(_ context.Context, req, _ []byte) ([]byte, error) { return f(req) }

var short = stopwatch{warm: time.Millisecond, measure: 20 * time.Millisecond}

func TestLoadCountsWhatEachCrowdDid(t *testing.T) {
	// Without a yield, callers that never wait would keep the others off the processor.
	echo := func(int) Caller {
		return callFunc(func(req []byte) ([]byte, error) { runtime.Gosched(); return req, nil })
	}
	r, err := short.measured(t.Context(),
		crowd{callers: 20, size: 8, caller: echo}, // more than there are histograms
		crowd{callers: 1, size: 100, pause: time.Millisecond, caller: echo})
	if err != nil {
		t.Fatal(err)
	}
	many, paused := r.tallies[0], r.tallies[1]
	if many.calls < 20 || many.calls != float64(many.latency.Count()) || many.bytes != 8*many.calls {
		t.Errorf("20 callers: %g calls, %g bytes, %d latencies", many.calls, many.bytes, many.latency.Count())
	}
	// The pauses bound the calls from above however fast the machine is.
	if most := r.elapsed.Seconds()*1000 + 1; paused.calls < 1 || paused.calls > most {
		t.Errorf("a caller with pauses of 1 ms made %g calls in %s", paused.calls, r.elapsed)
	}
	if r.calls() != many.calls+paused.calls {
		t.Errorf("%g calls in all, want %g", r.calls(), many.calls+paused.calls)
	}
	if r.elapsed < short.measure {
		t.Errorf("measured for %s, want at least %s", r.elapsed, short.measure)
	}
}

func TestLoadRefusesWrongReplies(t *testing.T) {
	var mu sync.Mutex
	var last []byte
	for name, reply := range map[string]func([]byte) []byte{
		"short":             func(req []byte) []byte { return req[1:] },
		"empty":             func([]byte) []byte { return nil },
		"of another call":   func(req []byte) []byte { r := make([]byte, len(req)); return r },
		"of the one before": func(req []byte) []byte { before := last; last = append([]byte(nil), req...); return before },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := short.measured(t.Context(), crowd{callers: 3, size: 64, caller: func(int) Caller {
				return callFunc(func(req []byte) ([]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					return reply(req), nil
				})
			}})
			if err == nil || !strings.Contains(err.Error(), "not that of the request") {
				t.Errorf("error = %v, want one about the reply", err)
			}
		})
	}
}

func TestLoadStopsAtTheFirstFailure(t *testing.T) {
	broken := errors.New("broken")
	began := time.Now()
	_, err := stopwatch{warm: time.Hour, measure: time.Hour}.measured(t.Context(),
		crowd{callers: 4, size: 8, caller: func(i int) Caller {
			return callFunc(func(req []byte) ([]byte, error) {
				if i == 3 {
					return nil, broken
				}
				return req, nil
			})
		}})
	if !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
	if took := time.Since(began); took > time.Hour/2 {
		t.Errorf("stopped after %s", took)
	}
}

// hungSystem answers no call before its pair is closed.
type hungSystem struct{ closed chan struct{} }

func (hungSystem) Name() string { return "hung" }
func (hungSystem) Can() Feature { return CanCall }

func (h hungSystem) Start(context.Context, Settings) (Pair, error) {
	return &hungPair{closed: h.closed}, nil
}

type hungPair struct {
	closed chan struct{}
	once   sync.Once
}

func (p *hungPair) Close() error { p.once.Do(func() { close(p.closed) }); return nil }
func (p *hungPair) Caller(Method) Caller {
	return callFunc(func([]byte) ([]byte, error) { <-p.closed; return nil, errFloorClosed })
}
func (p *hungPair) StreamFrom(context.Context, int, int) error { <-p.closed; return errFloorClosed }

func TestHungSystemIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := onPair(ctx, hungSystem{closed: make(chan struct{})}, Settings{}, func(p Pair) (Values, error) {
		return echo(ctx, p, short, 4)
	})
	if !errors.Is(err, errFloorClosed) {
		t.Errorf("error = %v, want that of the calls when the pair was closed", err)
	}
}
