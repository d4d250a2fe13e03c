package feed

import (
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

var testNow = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const testMesh = "00112233445566778899aabbccddeeff"

// testPlan is a planner for a Grid of that many pods, of which some are there.
func testPlan(t *testing.T, count int, there string) *planner {
	t.Helper()
	return &planner{
		grid: "shop/demo", identity: peers.IdentityGrid, settings: "{}\n",
		keys: Keys{Active: testKey(t, 1), MeshID: testMesh}, wish: demo(0, count), pods: pods(there), now: testNow,
	}
}

// store is the ConfigMap that a plan leaves.
func store(t *testing.T, p *planner, r *record) (*record, planned) {
	t.Helper()
	next, err := p.make(r)
	if err != nil {
		t.Fatal(err)
	}
	c := configMap(&v1alpha1.Grid{}, next.content, next.list.Epoch)
	c.ResourceVersion = "1"
	stored := readRecord(c, p.grid, &p.keys)
	if stored.broken != nil {
		t.Fatal(stored.broken)
	}
	if !p.settled(&stored) {
		t.Error("what was just stored is not settled")
	}
	return &stored, next
}

// TestPlanLife: a Grid from its beginning to nobody and back.
func TestPlanLife(t *testing.T) {
	r := new(record)
	for _, step := range []struct {
		name  string
		count int
		pods  string
		epoch uint64
		want  []int
		fresh bool
	}{
		{"before the first pod", 3, "0- 1-", 0, nil, false},
		{"the first", 3, "0 1-", 1, []int{0}, true},
		{"again", 3, "0 1-", 1, []int{0}, false},
		{"the others", 3, "0 1 2", 2, []int{0, 1, 2}, true},
		{"a pod restarts elsewhere", 3, "0 1=10.9.9.9 2", 2, []int{0, 1, 2}, false},
		{"shrink", 1, "0 1=10.9.9.9 2", 3, []int{0}, true},
		{"to nobody", 0, "0", 4, nil, true},
		{"still nobody", 0, "", 4, nil, false},
		{"wished for again", 2, "", 4, nil, false},
		{"one is back", 2, "1", 5, []int{1}, true},
	} {
		p := testPlan(t, step.count, step.pods)
		var next planned
		r, next = store(t, p, r)
		if next.fresh != step.fresh || r.list.Epoch != step.epoch || !slices.Equal(r.list.Names, peerList(step.want...)) {
			t.Fatalf("%s: got fresh %v, epoch %d, %v; want %v, %d, %v", step.name, next.fresh, r.list.Epoch, r.list.Names, step.fresh, step.epoch, step.want)
		}
		if (len(step.want) == 0) != (r.list.AllowEmpty || r.list.Epoch == 0) {
			t.Errorf("%s: allowEmpty is %v", step.name, r.list.AllowEmpty)
		}
	}
}

// TestPlanNeverEmptiesByAccident: a mesh that is wished for keeps its list, even
// if its ordinals have all changed and no pod is there.
func TestPlanNeverEmptiesByAccident(t *testing.T) {
	r, _ := store(t, testPlan(t, 3, "0 1 2"), new(record))
	p := testPlan(t, 3, "")
	p.wish.Start = 10
	r, next := store(t, p, r)
	if next.fresh || len(r.list.Names) != 3 {
		t.Errorf("got a list of %v", r.list.Names)
	}
}

// TestPlanReasons: what makes another list, and what does not.
func TestPlanReasons(t *testing.T) {
	for name, test := range map[string]struct {
		change func(p *planner)
		epoch  uint64
	}{
		"nothing":           {func(*planner) {}, 1},
		"settings":          {func(p *planner) { p.settings = `{"x":1}` }, 1},
		"identity":          {func(p *planner) { p.identity = peers.IdentityPod }, 2},
		"announced key":     {func(p *planner) { p.keys.Next, p.keys.Phase = testKey(t, 2), PhaseAnnounce }, 1},
		"two signatures":    {func(p *planner) { p.keys.Next, p.keys.Phase = testKey(t, 2), PhaseBoth }, 2},
		"the other alone":   {func(p *planner) { p.keys.Next, p.keys.Phase = testKey(t, 2), PhaseAlone }, 2},
		"a signed epoch":    {func(p *planner) { p.signed = 5; p.pods = pods("0 1 2") }, 6},
		"an epoch too many": {func(p *planner) { p.signed = 5 }, 1},
		"status is ahead":   {func(p *planner) { p.known = 7 }, 7 + epochSkip},
		"status is behind":  {func(p *planner) { p.known = 1; p.pods = pods("0 1 2") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := store(t, testPlan(t, 3, "0 1"), new(record))
			p := testPlan(t, 3, "0 1")
			test.change(p)
			if r, _ = store(t, p, r); r.list.Epoch != test.epoch {
				t.Errorf("got epoch %d, want %d", r.list.Epoch, test.epoch)
			}
		})
	}
}

// TestPlanBrokenRecord: what is no list of ours counts for nothing, and the next
// list is above all that may be out.
func TestPlanBrokenRecord(t *testing.T) {
	good, _ := store(t, testPlan(t, 3, "0 1"), new(record))
	stranger := testPlan(t, 3, "0 1 2")
	stranger.keys = Keys{Active: testKey(t, 9), MeshID: testMesh}
	strange, _ := store(t, stranger, new(record))
	other := testPlan(t, 3, "0 1 2")
	other.keys.MeshID = "ffffffffffffffffffffffffffffffff"
	foreign, _ := store(t, other, new(record))

	cut := slices.Clone(good.content.document)
	cut = cut[:len(cut)-3]
	for name, document := range map[string][]byte{
		"cut": cut, "another's signature": strange.content.document, "another mesh": foreign.content.document, "no list": []byte("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			p := testPlan(t, 3, "1")
			p.known = 41
			c := &corev1.ConfigMap{
				Data:       map[string]string{names.KeyTrusted: good.content.trusted, names.KeySettings: "{}\n"},
				BinaryData: map[string][]byte{names.KeyDocument: document},
			}
			c.ResourceVersion = "2"
			c.Annotations = map[string]string{noteEpoch: "77"}
			r := readRecord(c, p.grid, &p.keys)
			if r.broken == nil || p.settled(&r) {
				t.Fatal("accepted")
			}
			next, err := p.make(&r)
			if err != nil || !next.fresh || next.list.Epoch != 77+epochSkip || !slices.Equal(next.list.Names, peerList(1)) {
				t.Errorf("got %+v and %v", next.list, err)
			}
			if p.pods = nil; true { // nobody is there: it is only taken away
				next, err = p.make(&r)
				if err != nil || next.fresh || next.content.document != nil {
					t.Errorf("without pods: got %q and %v", next.content.document, err)
				}
			}
		})
	}
}

// TestPlanLostSecret: a list that the ConfigMap's own keys signed is believed, and
// signed anew.
func TestPlanLostSecret(t *testing.T) {
	old, _ := store(t, testPlan(t, 3, "0 1"), new(record))
	p := testPlan(t, 3, "0-")
	p.keys.Active = testKey(t, 5)
	c := &corev1.ConfigMap{
		Data:       map[string]string{names.KeyTrusted: old.content.trusted},
		BinaryData: map[string][]byte{names.KeyDocument: old.content.document},
	}
	r := readRecord(c, p.grid, &p.keys)
	if r.broken != nil {
		t.Fatal(r.broken)
	}
	r2, next := store(t, p, &r)
	if !next.fresh || r2.list.Epoch != 2 || !slices.Equal(r2.list.Names, peerList(0, 1)) || !slices.Equal(r2.signed, []string{keyID(p.keys.Active)}) {
		t.Errorf("got epoch %d, %v, signed by %v", r2.list.Epoch, r2.list.Names, r2.signed)
	}
}

// TestPlanProblems: what cannot be a list is told, not retried.
func TestPlanProblems(t *testing.T) {
	for name, spoil := range map[string]func(p *planner, r *record){
		"the last epoch":  func(_ *planner, r *record) { r.list.Epoch = peers.MaxEpoch },
		"the last known":  func(p *planner, _ *record) { p.known = peers.MaxEpoch },
		"no name":         func(p *planner, _ *record) { p.wish.Service = "Not_A_Service!" },
		"too many names":  func(p *planner, _ *record) { p.wish.Count, p.pods = 20000, manyPods(peers.MaxNames+1) },
		"no identity":     func(p *planner, _ *record) { p.identity = "nobody" },
		"no mesh":         func(p *planner, _ *record) { p.keys.MeshID = "x" },
		"grid of a space": func(p *planner, _ *record) { p.grid = "a b" },
	} {
		p, r := testPlan(t, 3, "0 1"), new(record)
		spoil(p, r)
		_, err := p.make(r)
		if problem := (*Problem)(nil); !errors.As(err, &problem) || problem.Reason != ReasonList {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestPlanHints: a list has the hints of those who joined a short while ago; old
// ones leave with the next list, and make none.
func TestPlanHints(t *testing.T) {
	r, _ := store(t, testPlan(t, 9, "0 1"), new(record))
	for _, step := range []struct {
		after time.Duration
		pods  string
		hints int
		fresh bool
	}{
		{hintLife / 2, "0 1 2", 3, true},
		{hintLife, "0 1 2 3", 4, true}, // the list before is not old yet
		{3 * hintLife, "0 1 2 3", 4, false},
		{3 * hintLife, "0 1 2 3 4", 1, true},
	} {
		p := testPlan(t, 9, step.pods)
		p.now = testNow.Add(step.after)
		var next planned
		if r, next = store(t, p, r); len(r.list.Hints) != step.hints || next.fresh != step.fresh {
			t.Errorf("after %v: %d hints, fresh %v; want %d, %v", step.after, len(r.list.Hints), next.fresh, step.hints, step.fresh)
		}
	}
}
