//go:build !race

// A thousand starts take ten minutes under the race detector and tell nothing
// more than the twenty of TestRandomStarts; make test runs these without it.

package grid

import (
	"strconv"
	"testing"
)

// A thousand starts of 20 nodes, as many as fault row 3 asks for.
func TestSoakOfRandomStarts(t *testing.T) {
	t.Parallel()
	const starts, lanes = 1000, 4
	for lane := range lanes {
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			for i := range starts / lanes {
				if randomStart(t); t.Failed() {
					t.Fatalf("start %d", i)
				}
			}
		})
	}
}
