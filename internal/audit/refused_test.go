package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// TestFloodOfStrangers: whoever reaches the grid port can have handshakes
// refused, as many as they like, without any credentials. That must not take the
// room of what members do: few of them have a record of their own, and the
// others are counted in the next one.
func TestFloodOfStrangers(t *testing.T) {
	r := &receiver{}
	a := openAudit(t, Options{}, r, nil)
	const flood = 10_000
	at := time.Now()
	event := func(kind grid.EventKind, after time.Duration, peer string) {
		a.OnEvent(grid.Event{Time: at.Add(after), Kind: kind, Peer: peer, Code: "malformed", Reason: "not a hello"})
	}
	for i := range flood {
		event(grid.EventRefused, time.Duration(i), fmt.Sprintf("192.0.2.%d", i%256))
	}
	if n := a.Stats().Records; n != refusedAtOnce {
		t.Errorf("%d records of %d refused handshakes, wanted are %d", n, flood, refusedAtOnce)
	}
	for range refusedAtOnce + 7 { // a stranger can say as well that it refuses us
		event(grid.EventRefusedBy, 0, "a peer")
	}
	event(grid.EventLinked, 0, "a peer")
	if n := a.Stats().Records; n != 2*refusedAtOnce+1 {
		t.Errorf("%d records", n)
	}
	if got := r.wait(t, map[string]any{"result": "accepted"})["unrecorded"]; got != nil {
		t.Errorf("it tells of %v others", got)
	}
	event(grid.EventRefused, time.Hour, "a later one")
	if got := r.wait(t, map[string]any{"peer": "a later one"})["unrecorded"]; got != float64(flood-refusedAtOnce) {
		t.Errorf("it tells of %v others", got)
	}
	for range refusedAtOnce {
		event(grid.EventRefused, time.Hour, "more") // an hour brings back as many as there were, and no more
	}
	a.Stop()
	if got := r.wait(t, map[string]any{"event": EventStop})["unrecorded"]; got != float64(1+7) {
		t.Errorf("the end tells of %v others", got)
	}
}
