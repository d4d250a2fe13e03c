package feed

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// TestStep: each phase against each thing that may hold it up.
func TestStep(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	a, b := testKey(t, 1), testKey(t, 2)
	idA, idB := keyID(a), keyID(b)
	begun := func(p Phase) Keys {
		return Keys{Active: a, Next: b, Phase: p, Since: now.Add(-time.Minute), Made: now.Add(-time.Hour)}
	}
	idle := Keys{Active: a, Made: now.Add(-time.Hour), Asked: "once"}
	knows := func(ids ...string) Seen { return Seen{Epoch: 7, Keys: ids} }
	has := func(epoch uint64) Seen { return Seen{Epoch: epoch, Keys: []string{idA, idB}} }
	long := func(k Keys) Keys { k.Since = now.Add(-rotateWait); return k }

	for _, test := range []struct {
		name string
		keys Keys
		view View
		want Phase
		same bool // nothing changes
	}{
		{"idle, nothing asked", idle, View{}, PhaseIdle, true},
		{"idle, the request is an old one", idle, View{Want: "once"}, PhaseIdle, true},
		{"idle, asked", idle, View{Want: "again"}, PhaseAnnounce, false},
		{"idle, due", idle, View{Every: time.Hour}, PhaseAnnounce, false},
		{"idle, not due", idle, View{Every: time.Hour + 1}, PhaseIdle, true},

		{"announce, not in the ConfigMap yet", begun(PhaseAnnounce), View{Trusted: []string{idA}, Members: []Seen{knows(idA, idB)}}, PhaseAnnounce, true},
		{"announce, one member lacks it", begun(PhaseAnnounce), View{Trusted: []string{idA, idB}, Members: []Seen{knows(idA, idB), knows(idA)}}, PhaseAnnounce, true},
		{"announce, one member is silent", begun(PhaseAnnounce), View{Trusted: []string{idA, idB}, Members: []Seen{knows(idA, idB), {}}}, PhaseAnnounce, true},
		{"announce, one member is silent for long", long(begun(PhaseAnnounce)), View{Trusted: []string{idA, idB}, Members: []Seen{knows(idA, idB), {}}}, PhaseBoth, false},
		{"announce, not in the ConfigMap for long", long(begun(PhaseAnnounce)), View{Trusted: []string{idA}}, PhaseAnnounce, true},
		{"announce, all know", begun(PhaseAnnounce), View{Trusted: []string{idA, idB}, Members: []Seen{knows(idA, idB), knows(idB)}}, PhaseBoth, false},
		{"announce, nobody is there", begun(PhaseAnnounce), View{Trusted: []string{idA, idB}}, PhaseBoth, false},
		{"announce, another request", begun(PhaseAnnounce), View{Want: "again", Trusted: []string{idA}}, PhaseAnnounce, true},

		{"both, not signed yet", begun(PhaseBoth), View{Epoch: 8, Signed: []string{idA}, Members: []Seen{has(8)}}, PhaseBoth, true},
		{"both, one member lacks the list", begun(PhaseBoth), View{Epoch: 8, Signed: []string{idB, idA}, Members: []Seen{has(8), has(7)}}, PhaseBoth, true},
		{"both, one lacks it for long", long(begun(PhaseBoth)), View{Epoch: 8, Signed: []string{idA, idB}, Members: []Seen{has(8), has(7)}}, PhaseAlone, false},
		{"both, all have it", begun(PhaseBoth), View{Epoch: 8, Signed: []string{idA, idB}, Members: []Seen{has(8), has(9)}}, PhaseAlone, false},
		{"both, no list yet", begun(PhaseBoth), View{}, PhaseAlone, false},

		{"alone, still signed by both", begun(PhaseAlone), View{Epoch: 9, Signed: []string{idA, idB}, Members: []Seen{has(9)}}, PhaseAlone, true},
		{"alone, one member lacks the list", begun(PhaseAlone), View{Epoch: 9, Signed: []string{idB}, Members: []Seen{has(8)}}, PhaseAlone, true},
		{"alone, all have it", begun(PhaseAlone), View{Epoch: 9, Signed: []string{idB}, Members: []Seen{has(9)}}, PhaseIdle, false},
		{"alone, one is silent for long", long(begun(PhaseAlone)), View{Epoch: 9, Signed: []string{idB}, Members: []Seen{{}}}, PhaseIdle, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.view.Now = now
			next, changed, err := Step(test.keys, test.view)
			if err != nil || next.Phase != test.want || changed == test.same {
				t.Fatalf("got phase %q, changed %v and %v; want %q", next.Phase, changed, err, test.want)
			}
			switch {
			case changed && next.Phase == PhaseAnnounce:
				if next.Next == nil || next.Next.Equal(next.Active) || !next.Active.Equal(a) {
					t.Error("announce: no new key beside the old one")
				}
			case changed && next.Phase == PhaseIdle:
				if !next.Active.Equal(b) || next.Next != nil || !next.Made.Equal(now) {
					t.Error("idle: the new key has not taken the old one's place")
				}
			}
			if changed && next.Phase != PhaseIdle && !next.Since.Equal(now) {
				t.Errorf("the phase began %v, want now", next.Since)
			}
		})
	}
}

// TestStepServesOnce: what was asked for is served once, by age or by request.
func TestStepServesOnce(t *testing.T) {
	now := time.Now()
	k := Keys{Active: testKey(t, 1), Made: now.Add(-time.Hour)}
	v := View{Now: now, Want: "x", Every: time.Minute}
	for i := range 20 {
		next, changed, err := Step(k, v)
		if err != nil {
			t.Fatal(err)
		}
		if !changed {
			if i != 4 || next.Phase != PhaseIdle {
				t.Errorf("at rest after %d steps, in phase %q; want 4, idle", i, next.Phase)
			}
			return
		}
		k = next
		v.Epoch++
		v.Trusted, v.Signed = nil, nil
		for _, key := range k.trusted() {
			v.Trusted = append(v.Trusted, peers.KeyID(key))
		}
		for _, key := range k.signers() {
			v.Signed = append(v.Signed, keyID(key))
		}
		v.Members = []Seen{{Epoch: v.Epoch, Keys: v.Trusted}}
	}
	t.Error("it goes round and round")
}

// TestKeysStored: what is written is read back, in each phase.
func TestKeysStored(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for _, phase := range []Phase{PhaseIdle, PhaseAnnounce, PhaseBoth, PhaseAlone} {
		k := Keys{Active: testKey(t, 1), MeshID: "00112233445566778899aabbccddeeff", Phase: phase, Made: now, Asked: "2026"}
		if phase != PhaseIdle {
			k.Next, k.Since = testKey(t, 2), now
		}
		data, err := k.data()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseKeys(data, k.notes())
		if err != nil {
			t.Fatalf("%q: %v", phase, err)
		}
		if !got.Active.Equal(k.Active) || (got.Next == nil) != (k.Next == nil) || got.MeshID != k.MeshID || got.Phase != phase ||
			!got.Since.Equal(k.Since) || !got.Made.Equal(now) || got.Asked != "2026" {
			t.Errorf("%q: got %+v", phase, got)
		}
	}
}

func TestKeysBad(t *testing.T) {
	good := Keys{Active: testKey(t, 1), Next: testKey(t, 2), MeshID: "00112233445566778899aabbccddeeff", Phase: PhaseBoth}
	for name, spoil := range map[string]func(data map[string][]byte, notes map[string]string){
		"no key":        func(d map[string][]byte, _ map[string]string) { delete(d, keyActive) },
		"no PEM":        func(d map[string][]byte, _ map[string]string) { d[keyActive] = []byte("secret") },
		"no next":       func(d map[string][]byte, _ map[string]string) { delete(d, keyNext) },
		"next is bad":   func(d map[string][]byte, _ map[string]string) { d[keyNext] = []byte("x") },
		"same twice":    func(d map[string][]byte, _ map[string]string) { d[keyNext] = d[keyActive] },
		"no mesh":       func(d map[string][]byte, _ map[string]string) { delete(d, keyMesh) },
		"unknown phase": func(_ map[string][]byte, n map[string]string) { n[notePhase] = "half" },
	} {
		data, err := good.data()
		if err != nil {
			t.Fatal(err)
		}
		notes := good.notes()
		spoil(data, notes)
		if _, err := parseKeys(data, notes); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func testKey(t *testing.T, n byte) ed25519.PrivateKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}
