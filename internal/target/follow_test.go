package target

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"
	"weak"
)

// TestForgetsWhomItFollowed: a target that was removed and comes back again and
// again holds none of those before, each of which had room for entries.
func TestForgetsWhomItFollowed(t *testing.T) {
	r := &receiver{}
	open := func() *Target {
		return New(Options{
			Name: "a", Sequence: NewSequence(), BatchAge: -1, Report: slog.New(slog.DiscardHandler),
			Sink: func() (Sink, error) { return r, nil }, Gap: func(Missing) []byte { return []byte("{}") },
		})
	}
	follow := func() (before weak.Pointer[Target], second *Target) { // which returns, so that nobody here holds the first
		first := open()
		first.Start(nil)
		second = open()
		second.Follow(first)
		second.Start(nil)
		first.Close(context.Background())
		return weak.Make(first), second
	}
	before, second := follow()
	deadline := time.Now().Add(time.Minute)
	for before.Value() != nil {
		if time.Now().After(deadline) {
			t.Fatal("the target of before is still held")
		}
		runtime.GC()
	}
	second.Close(context.Background())
}
