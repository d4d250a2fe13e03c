package tail

import (
	"testing"

	"github.com/gridmesh/gridmesh/internal/target"
)

// What is there is looked at once, though entries come as fast as they are read.
func TestPastEnds(t *testing.T) {
	ring := target.NewRing(target.RingEntries, target.RingBytes)
	for range 100 {
		ring.Add([]byte("entry"))
	}
	looked := 0
	s := &stream{ring: ring, end: ring.End(), wanted: func([]byte) bool {
		if looked++; looked > 100 {
			t.Fatalf("%d entries of 100 were looked at", looked)
		}
		ring.Add([]byte("another"))
		return true
	}}
	reader := s.past(10)
	if entry, missed, ok := reader.Try(); !ok || missed != 0 || reader.Number() != 90 || string(entry) != "entry" {
		t.Errorf("the first is %d, %q, %d missed", reader.Number(), entry, missed)
	}
}
