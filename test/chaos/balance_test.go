package chaos

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// maxGrowth is how much heap may be in use after a soak beyond what was before.
const maxGrowth = 2 << 20

// balance is what a mesh holds at one moment.
type balance struct {
	goroutines int // but for idle workers, which are a pool
	heap       uint64
	calls      int
	streams    int
	queued     int
}

// weigh looks at everything that must come back to where it was.
func weigh(mesh *gridtest.Mesh) balance {
	runtime.GC()
	runtime.GC() // the first one empties pools into their victim caches only
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b := balance{heap: m.HeapAlloc}
	stacks := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		// A worker that is at work counts: it may be a link's reader, whose
		// goroutine may as well be one of its own.
		_, frames, _ := strings.Cut(g, "\n")
		if at, _, _ := strings.Cut(frames, "\n"); !strings.Contains(at, "(*workers).work(") {
			b.goroutines++
		}
	}
	for i := range mesh.Len() {
		for _, l := range mesh.Node(i).Stats().Links {
			b.calls += l.CallsIn + l.CallsOut
			b.streams += l.StreamsOpen
			b.queued += l.QueueBytes
		}
	}
	return b
}

// leaks compares with what was before.
func (b balance) leaks(before balance) []string {
	var found []string
	if b.goroutines > before.goroutines {
		found = append(found, fmt.Sprintf("%d goroutines, %d before", b.goroutines, before.goroutines))
	}
	if b.heap > before.heap+maxGrowth {
		found = append(found, fmt.Sprintf("%d KiB of heap, %d before", b.heap>>10, before.heap>>10))
	}
	if b.calls != 0 || b.streams != 0 || b.queued != 0 {
		found = append(found, fmt.Sprintf("%d calls, %d streams and %d bytes still there", b.calls, b.streams, b.queued))
	}
	return found
}
