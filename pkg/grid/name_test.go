package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Exactly one side of each pair dials (fault row 3, R1).
func TestOneSideOfAPairDials(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := "ab01.-"
	random := func() string {
		b := make([]byte, 1+rng.IntN(8))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	for range 100_000 {
		a, b := random(), random()
		if a != b && dials(a, b) == dials(b, a) {
			t.Fatalf("%s and %s: both say %v", a, b, dials(a, b))
		}
	}
}

// Contiguous ordinals share the dialling equally to within one, whatever the
// number of nodes, and so do ports on one host.
func TestDialsOfOrdinalsAreEqual(t *testing.T) {
	for _, form := range []string{"node-%d:7000", "127.0.0.1:%d", "node-%03d.demo.default.svc:7000"} {
		for _, n := range []int{2, 3, 9, 64, 101} {
			low, high := n, 0
			for i := range n {
				count := 0
				for j := range n {
					if i != j && dials(fmt.Sprintf(form, i+7), fmt.Sprintf(form, j+7)) {
						count++
					}
				}
				low, high = min(low, count), max(high, count)
			}
			if high-low > 1 {
				t.Errorf(form+": %d nodes dial from %d to %d peers", 0, n, low, high)
			}
		}
	}
}

// Names without order are decided by a hash: fair over all, and for each node
// within what a fair coin gives (five sigma).
func TestDialsOfRandomNamesAreFair(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf("%c%c%c%c-%x:7000", 'a'+rng.IntN(26), 'a'+rng.IntN(26), 'a'+rng.IntN(26), 'a'+rng.IntN(26), rng.Uint32())
	}
	lowerDials, pairs := 0, 0
	for i, a := range names {
		count := 0
		for j, b := range names {
			if i == j {
				continue
			}
			if dials(a, b) {
				count++
			}
			if a < b {
				pairs++
				if dials(a, b) {
					lowerDials++
				}
			}
		}
		if count < 64 || count > 135 { // mean 99.5, sigma 7.05
			t.Errorf("%s dials %d of 199", a, count)
		}
	}
	if share := float64(lowerDials) / float64(pairs); share < 0.48 || share > 0.52 {
		t.Errorf("the lower name dials in %.3f of all pairs", share)
	}
}

func TestOneNumber(t *testing.T) {
	for _, c := range []struct {
		s, t string
		ok   bool
	}{
		{"node-9:1", "node-10:1", true},
		{"node-9:1", "node-10:2", false},     // two numbers differ
		{"node-a:1", "node-b:1", false},      // none does
		{"node-1:1", "node-01:1", false},     // one number, two spellings: the hash decides
		{"node-1:1", "node-:1", false},       // nothing against something
		{"node-1:1", "node-1x:1", false},     // more than a number
		{"node-1:1", "node-1:1", false},      // the same name
		{"1", "99999999999999999999", false}, // beyond 64 bits
		{"a1b2", "a1b3", true},
		{"a1b2", "a1b2c", false},
	} {
		if _, _, ok := oneNumber(c.s, c.t); ok != c.ok {
			t.Errorf("%s, %s: %v", c.s, c.t, ok)
		}
	}
}
