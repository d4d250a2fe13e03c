package node

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// A node that answers the question of how it is with whatever it likes makes
// nobody hold more than it sent: any page of the mesh asks all nodes, and any
// member has others ask.
func TestMeshViewOfALiar(t *testing.T) {
	bomb := func(begin, part, end string, size int) []byte {
		return slices.Concat([]byte(begin), bytes.Repeat([]byte(part+","), size/(len(part)+1)), []byte(part+end))
	}
	honest := adminapi.Status{Peers: make([]adminapi.Peer, 2), Links: adminapi.Links{Up: 2, Expected: 2}}
	for i := range honest.Peers { // as much as there may be of it
		honest.Peers[i].LastError = strings.Repeat("x", 5000)
	}
	for range 32 {
		honest.Refusals = append(honest.Refusals, adminapi.Refusal{Message: strings.Repeat("x", 1500)})
	}
	good, err := json.Marshal(honest)
	if err != nil {
		t.Fatal(err)
	}
	const large, small = 32 << 20, 256 << 10
	for name, c := range map[string]struct {
		reply []byte
		good  bool
	}{
		"honest":           {good, true},
		"millions of them": {bomb(`{"peers":[`, "{}", "]}", large), false},
		"refusals":         {bomb(`{"refusals":[`, "{}", "]}", large), false},
		"names":            {bomb(`{"waiting":[`, `""`, "]}", large), false},
		"queues":           {bomb(`{"telemetry":{"left_queues":[`, "{}", "]}}", large), false},
		"queues that fit":  {bomb(`{"telemetry":{"left_queues":[`, "{}", "]}}", small), false},
		"one long text":    {[]byte(`{"waiting":["` + strings.Repeat("x", large) + `"]}`), false},
		"peers that fit":   {bomb(`{"peers":[`, "{}", "]}", small), false},
		"a few too many":   {bomb(`{"peers":[`, "{}", "]}", 3*100), false},
		"no JSON":          {[]byte("how are you?"), false},
	} {
		t.Run(name, func(t *testing.T) {
			mesh := gridtest.New(t, 3)
			if err := mesh.Node(1).RegisterSingle(handlerStatus, func(context.Context, []byte) ([]byte, error) { return c.reply, nil }); err != nil {
				t.Fatal(err)
			}
			mesh.WaitLinked()
			eventually(t, "the handler to be known", func() bool { return mesh.Conn(0, 1).Supports(handlerStatus) })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			view := askMesh(t.Context(), mesh.Node(0))
			runtime.ReadMemStats(&after)
			at := slices.IndexFunc(view.Members, func(m adminapi.Member) bool { return m.Name == gridtest.Name(1) })
			if m := view.Members[at]; (m.Error == "") != c.good || (m.Status != nil) != c.good {
				t.Errorf("the view has %+v", m)
			}
			if view.Links.Up != 0 && !c.good {
				t.Errorf("links are %+v", view.Links)
			}
			// What is received, and what the library took to receive it: about twice
			// that, and seven times under the race detector. Read at once, a reply of
			// empty peers took 500 times as much.
			if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(12*len(c.reply)+16<<20) {
				t.Errorf("%d MiB allocated for a reply of %d", grown>>20, len(c.reply)>>20)
			}
		})
	}
}
