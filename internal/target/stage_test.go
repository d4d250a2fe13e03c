package target

import (
	"fmt"
	"log/slog"
	"testing"
)

// TestWakes: intake is woken by the first entry, and when there are enough, and
// by none between.
func TestWakes(t *testing.T) {
	for what, c := range map[string]struct {
		o    Options
		want string
	}{
		"by count": {Options{BatchCount: 5, BatchBytes: 1 << 20}, "[1 5]"},
		"by bytes": {Options{BatchCount: 1000, BatchBytes: 35}, "[1 4]"},
		"refused":  {Options{BatchCount: 1000, BatchBytes: 1 << 20, Buffer: 100}, "[1 3 4 5 6 7 8]"}, // each is told of
	} {
		t.Run(what, func(t *testing.T) {
			c.o.Sequence, c.o.Report = NewSequence(), slog.New(slog.DiscardHandler)
			target := New(c.o)
			var woken []int
			for n := 1; n <= 8; n++ {
				target.Push(0, []byte(`{"n":1234}`))
				select {
				case <-target.stage.wake:
					woken = append(woken, n)
				default:
				}
			}
			if got := fmt.Sprint(woken); got != c.want {
				t.Errorf("woken by %s, want %s", got, c.want)
			}
			// What comes after all was taken is the first again.
			target.stage.take(&taken{})
			target.Push(0, []byte(`{}`))
			if len(target.stage.wake) != 1 {
				t.Error("nobody was woken by the first after that")
			}
		})
	}
}
