package target

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStatsAskNobody: how a target is doing is known at once, whatever its
// receiver does (field-history L17).
func TestStatsAskNobody(t *testing.T) {
	opening := func(wait bool) func() (Sink, error) {
		return func() (Sink, error) {
			if wait {
				<-time.After(time.Hour)
			}
			return nil, errors.New("connection refused")
		}
	}
	for what, sink := range map[string]func() (Sink, error){
		"hangs": func() (Sink, error) { return &receiver{hangs: true}, nil },
		"fails": func() (Sink, error) {
			return &receiver{answer: func(Batch) error { return errors.New("answered 500") }}, nil
		},
		"opens slowly": opening(true),
		"never opens":  opening(false),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.spooled(nil)
				o.Sink = sink
				target := w.start(o, nil)
				w.push(target, 10)
				time.Sleep(5 * time.Second)
				start := time.Now()
				for range 1000 {
					if s := target.Stats(); s.In != 10 || s.Out != 0 || s.QueueEntries != 10 {
						t.Fatalf("%+v", s)
					}
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %v", took)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				target.Close(ctx)
			})
		})
	}
}
