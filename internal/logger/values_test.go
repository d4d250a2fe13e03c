package logger

import (
	"io"
	"sync"
	"testing"
)

// TestValuesAreTheCallers: what a caller logs is written before its call returns.
// It may go on changing it, and finds nothing changed by us, whenever the target
// delivers (field-history L31, D17; the race detector sees the rest).
func TestValuesAreTheCallers(t *testing.T) {
	l := newLog(t, io.Discard, Options{})
	slow := &collector{}
	slow.mu.Lock() // it delivers nothing yet
	l.Swap([]*Output{{Target: slow.target(l, "slow")}})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			tags, list := map[string]any{"a": "before"}, []string{"before"}
			shared := []any{"tags", tags, "list", list}
			log := l.Logger().With(shared...)
			for range 100 {
				log.Info("tick", shared...)
				if tags["a"] != "before" || list[0] != "before" || len(tags) != 1 {
					t.Error("the caller's values were changed")
				}
				tags["a"], list[0] = "after", "after"
				delete(tags, "a")
				tags["a"], list[0] = "before", "before"
			}
			tags["a"], list[0] = "after", "after"
		})
	}
	group.Wait()
	slow.mu.Unlock()
	flush(l)
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if len(slow.lines) != 400 {
		t.Errorf("%d entries", len(slow.lines))
	}
	for _, line := range slow.lines {
		e := parse(t, line)
		tags, _ := e["tags"].(map[string]any)
		list, _ := e["list"].([]any)
		if len(list) != 1 || tags["a"] != "before" || list[0] != "before" {
			t.Fatalf("%s", line)
		}
	}
}
