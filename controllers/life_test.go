package controllers

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Variables that choose which life is lived: the seed of one that failed, and how
// many steps it has.
const (
	lifeSeed  = "GRIDMESH_LIFE_SEED"
	lifeSteps = "GRIDMESH_LIFE_STEPS"
)

const (
	defaultSteps = 24
	settleEvery  = 4                // steps, about
	lifeTime     = 12 * time.Second // if no seed is given

	// quietTime is how long a settled Grid is watched doing nothing, quietLooks
	// how often it may be looked at meanwhile: once for the status that waited
	// for its turn, and once for what that changed.
	quietTime  = 600 * time.Millisecond
	quietLooks = 3

	// startTime is how long an operator lives at least.
	startTime = 300 * time.Millisecond

	// looksPerStep is how often each of the controllers may look at Grids for a
	// step, with all that follows from it. A hot loop makes thousands.
	looksPerStep = 60
)

// life is a cluster in which Grids live.
type life struct {
	*testing.T

	kube      *envtestkit.Kube
	namespace string
	rnd       *rand.Rand

	grids     []*living
	operators []*lifeOperator
	nodes     map[types.UID]*lifeNode // by pod
	addresses int                     // given out so far
	garbage   bool                    // the garbage collector stands still until all settles
	patient   bool                    // to settle is to wait for rotations of keys, too

	mu    sync.Mutex                 // protects what follows, of which the watch writes
	join  map[string]map[string]bool // names that may be in a mesh's lists
	least map[string]int32           // by Grid: the fewest pods that were wished for since all was settled
	lost  map[string]bool            // by Grid: somebody has taken its list away since all was settled
	lists map[string]*lifeLists      // by mesh
	// forgotten is by Grid: it was lost together with its list. Until all is settled
	// there may be lists of epochs that there were before.
	forgotten map[string]bool
}

// living is one of the Grids, and what its user wants.
type living struct {
	name            string
	secure, adopted bool

	replicas int32
	image    int
	asked    int // for another signing key
	paused   bool
	gone     bool
	rotating bool   // a rotation of its key goes on, and is not waited for
	frozen   string // what the StatefulSet said when the Grid was paused
	mesh     string // of an adopted one: it outlives the Grid
}

// lifeLists is what was committed for one mesh.
type lifeLists struct {
	grid  string
	epoch uint64
	names []string
	all   map[uint64]*corev1.ConfigMap // by epoch
}

type lifeOperator struct {
	feed *feed.Feed
	stop func()
}

// TestLife lives a random life of Grids with both controllers, and looks after
// every few steps whether all is as it should be. It says which seed it has:
// GRIDMESH_LIFE_SEED lives that one again, GRIDMESH_LIFE_STEPS a longer one.
func TestLife(t *testing.T) {
	seed, again := uint64(time.Now().UnixNano()), false
	if text := os.Getenv(lifeSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", lifeSeed, err)
		}
		again = true
	}
	steps := defaultSteps
	if text := os.Getenv(lifeSteps); text != "" {
		var err error
		if steps, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", lifeSteps, err)
		}
	}
	t.Logf("%s=%d %s=%d", lifeSeed, seed, lifeSteps, steps)
	kube := envtestkit.Start(t)
	l := &life{
		T: t, kube: kube, namespace: kube.Namespace(t), rnd: rand.New(rand.NewPCG(seed, 0)), nodes: make(map[types.UID]*lifeNode),
		join: make(map[string]map[string]bool), least: make(map[string]int32), lost: make(map[string]bool), forgotten: make(map[string]bool), lists: make(map[string]*lifeLists),
		grids: []*living{{name: "one", secure: true}, {name: "two"}, {name: "three", secure: true, adopted: true}},
	}
	watched := l.watch()
	l.begin()
	for _, g := range l.grids {
		l.born(g)
	}
	before, begun := looks(t), time.Now()
	l.settle()
	since := 1
	for step := range steps {
		if !again && time.Since(begun) > lifeTime {
			break // on a slow machine a life is short
		}
		// Each step has numbers of its own: how many those before took depends on
		// what the API server was quick at.
		l.rnd = rand.New(rand.NewPCG(seed, uint64(2*step+1)))
		settle := l.rnd.IntN(settleEvery) == 0 || step == steps-1
		l.step(l.grids[l.rnd.IntN(len(l.grids))])
		l.rnd = rand.New(rand.NewPCG(seed, uint64(2*step+2)))
		l.machinery(false)
		if since++; settle {
			l.settle()
			if made := looks(t) - before; made > since*2*looksPerStep {
				t.Errorf("%d looks at Grids in %d steps", made, since)
			}
			before, since = looks(t), 0
		}
		if t.Failed() {
			break
		}
	}
	if l.patient = steps > defaultSteps; l.patient {
		l.settle()
	}
	for _, g := range l.grids {
		l.die(g)
	}
	l.settle()
	for _, o := range l.operators {
		o.stop()
	}
	for _, n := range l.nodes {
		n.stop()
	}
	watched()
}

// mayJoin notes that a name may be in lists from now on.
func (l *life) mayJoin(key, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.join[key] == nil {
		l.join[key] = make(map[string]bool)
	}
	l.join[key][name] = true
}

// watch looks at each list that is committed.
func (l *life) watch() (stop func()) {
	l.Helper()
	w, err := l.kube.Client.Watch(l.Context(), new(corev1.ConfigMapList), client.InNamespace(l.namespace))
	if err != nil {
		l.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if c, ok := e.Object.(*corev1.ConfigMap); ok && len(c.BinaryData[names.KeyDocument]) > 0 {
				l.committed(c)
			}
		}
	}()
	stop = sync.OnceFunc(func() { w.Stop(); <-done })
	l.Cleanup(stop)
	return stop
}

// committed holds a list against those before it.
func (l *life) committed(c *corev1.ConfigMap) {
	grid := strings.TrimSuffix(c.Name, names.ConfigMap(""))
	g := l.living(grid)
	list, err := l.read(c)
	if err != nil {
		l.Errorf("%s: the list in its ConfigMap: %v", grid, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.lists[list.MeshID]
	if last == nil {
		last = &lifeLists{grid: grid, all: make(map[uint64]*corev1.ConfigMap)}
		l.lists[list.MeshID] = last
		if g.adopted && g.mesh != "" && g.mesh != list.MeshID {
			l.Errorf("%s has become another mesh", grid)
		}
		g.mesh = list.MeshID
	}
	document := c.BinaryData[names.KeyDocument]
	before := last.all[list.Epoch]
	switch {
	case list.Epoch < last.epoch && l.lost[grid] && before != nil && bytes.Equal(before.BinaryData[names.KeyDocument], document):
		return // put back
	case l.forgotten[grid] && list.Epoch <= last.epoch:
		return // its pods have yet to tell
	case last.grid != grid:
		l.Errorf("%s has the mesh of %s", grid, last.grid)
	case list.Epoch < last.epoch:
		l.Errorf("%s: epoch %d follows on %d", grid, list.Epoch, last.epoch)
	case before != nil && !bytes.Equal(before.BinaryData[names.KeyDocument], document):
		l.Errorf("%s: two lists have epoch %d", grid, list.Epoch)
	}
	join := l.join[lifeKey(g.adopted, grid, c)]
	for _, name := range list.Names {
		if !join[name] && !slices.Contains(last.names, name) {
			l.Errorf("%s: epoch %d has %s, which is no pod of the StatefulSet's that has an address", grid, list.Epoch, name)
		}
	}
	for _, name := range last.names {
		pod, _, _ := strings.Cut(name, ".")
		n, _ := names.Ordinal(grid, pod)
		if least, known := l.least[grid]; known && !l.lost[grid] && n < int(least) && !slices.Contains(list.Names, name) {
			l.Errorf("%s: epoch %d lacks %s, and there were never fewer than %d wished for", grid, list.Epoch, name, least)
		}
	}
	last.epoch, last.names, last.all[list.Epoch] = list.Epoch, list.Names, c
}

// read reads a ConfigMap as a node does.
func (l *life) read(c *corev1.ConfigMap) (peers.List, error) {
	keys, err := peers.ParsePublicKeys([]byte(c.Data[names.KeyTrusted]))
	if err != nil {
		return peers.List{}, err
	}
	return peers.Verify(c.BinaryData[names.KeyDocument], peers.Trust{Grid: l.namespace + "/" + strings.TrimSuffix(c.Name, names.ConfigMap("")), Keys: keys})
}

// looks is how often the controllers of this process have looked at Grids.
func looks(t *testing.T) (sum int) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "controller_runtime_reconcile_total" {
			for _, m := range f.GetMetric() {
				sum += int(m.GetCounter().GetValue())
			}
		}
	}
	return sum
}
