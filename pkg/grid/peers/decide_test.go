package peers

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	sign := func(l List) List { return signed(t, l) }
	with := func(l List, change func(*List)) List {
		change(&l)
		return l
	}
	two := []string{"node-0:9000", "node-1:9000"}
	text := List{Names: two}                                        // from a file
	counted := List{Names: two, Epoch: 7}                           // from a program's own publisher
	seven := sign(testList(7, two...))                              // signed
	without := sign(testList(7, "node-1:9000"))                     // signed, without oneself
	eightWithout := sign(testList(8, "node-1:9000"))                //
	rotated, err := Verify(resign(t, seven), testTrust(testKey(1))) // what seven says, by another key
	if err != nil {
		t.Fatal(err)
	}
	otherGrid := with(testList(8, two...), func(l *List) { l.Grid = "default/other" })
	otherMesh := with(testList(8, two...), func(l *List) { l.MeshID = strings.Repeat("f", 32) })

	for _, test := range []struct {
		name          string
		current, next List
		want          Verdict
		err           error
		words         string
	}{
		{"first signed", List{}, seven, Apply, nil, ""},
		{"first signed, not in it yet", List{}, without, Outside, nil, ""},
		{"first text", List{}, text, Apply, nil, ""},
		{"first counted", List{}, counted, Apply, nil, ""},

		{"higher epoch", seven, sign(testList(8, two...)), Apply, nil, ""},
		{"much higher epoch", seven, sign(testList(MaxEpoch, self)), Apply, nil, ""},
		{"same again", seven, seven, Unchanged, nil, ""},
		{"same by another key", seven, rotated, Unchanged, nil, ""},
		{"same without oneself", without, without, Unchanged, nil, ""},
		{"same epoch, other names", seven, sign(testList(7, self)), Refused, ErrEpochConflict, "epoch 7"},
		{"same epoch, without oneself", seven, without, Refused, ErrEpochConflict, "epoch 7"},
		{"same epoch, other hints", seven, sign(with(testList(7, two...), func(l *List) { l.Hints = map[string]string{self: "10.0.0.1"} })), Refused, ErrEpochConflict, ""},
		{"lower epoch", seven, sign(testList(6, two...)), Refused, ErrStale, "epoch 6, in use is 7"},
		{"lower epoch without oneself", seven, sign(testList(6, "node-1:9000")), Refused, ErrStale, ""},

		{"removed", seven, eightWithout, Removed, nil, ""},
		{"still outside", without, eightWithout, Outside, nil, ""},
		{"back in", eightWithout, sign(testList(9, two...)), Apply, nil, ""},
		{"everybody removed", seven, sign(testList(8)), Removed, nil, ""},
		{"nobody, by mistake", seven, List{Epoch: 8, Grid: testGrid, MeshID: testMesh}, Refused, ErrUnsigned, ""},

		{"other grid", seven, sign(otherGrid), Refused, ErrForeign, `"default/other"`},
		{"other mesh", seven, sign(otherMesh), Refused, ErrForeign, "meshID"},
		{"other mesh, lower epoch", seven, sign(with(otherMesh, func(l *List) { l.Epoch = 1 })), Refused, ErrForeign, "meshID"},
		{"other mesh, unsigned", seven, otherMesh, Refused, ErrForeign, "meshID"},

		{"text after signed", seven, text, Refused, ErrUnsigned, "epoch 7 is in use"},
		{"counted after signed", seven, with(counted, func(l *List) { l.Epoch = 8 }), Refused, ErrUnsigned, ""},
		{"signed after text", text, seven, Apply, nil, ""},
		{"signed after text, removed", text, without, Removed, nil, ""},

		{"counted higher", counted, with(counted, func(l *List) { l.Epoch = 8 }), Apply, nil, ""},
		{"counted same", counted, counted, Unchanged, nil, ""},
		{"counted conflict", counted, List{Names: two[:1], Epoch: 7}, Refused, ErrEpochConflict, ""},
		{"counted conflict in a flag", counted, with(counted, func(l *List) { l.AllowEmpty = true }), Refused, ErrEpochConflict, ""},
		{"counted conflict in hints", counted, with(counted, func(l *List) { l.Hints = map[string]string{self: "10.0.0.1"} }), Refused, ErrEpochConflict, ""},
		{"counted conflict in identity", counted, with(counted, func(l *List) { l.Identity = IdentityPod }), Refused, ErrEpochConflict, ""},
		{"counted conflict in topology", counted, with(counted, func(l *List) { l.Topology = TopologyFull }), Refused, ErrEpochConflict, ""},
		{"counted lower", counted, List{Names: two, Epoch: 6}, Refused, ErrStale, ""},
		{"counted without oneself", counted, List{Names: two[1:], Epoch: 8}, Removed, nil, ""},
		{"counted empty", counted, List{Epoch: 8}, Refused, ErrEmpty, "of 2 names"},
		{"counted empty and meant", counted, List{Epoch: 8, AllowEmpty: true}, Removed, nil, ""},
		{"text after counted", counted, text, Refused, ErrStale, ""},

		{"text changed", text, List{Names: two[:1]}, Apply, nil, ""},
		{"text same", text, List{Names: two}, Unchanged, nil, ""},
		{"text without oneself", text, List{Names: two[1:]}, Refused, ErrNotListed, `"node-0:9000" is not among its 1 names`},
		{"text without oneself, twice", List{Names: two[1:]}, List{Names: two[1:]}, Refused, ErrNotListed, ""},
		{"text empty", text, List{}, Refused, ErrEmpty, ""},
		{"first text empty", List{}, List{}, Refused, ErrEmpty, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Decide(test.current, test.next, self)
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			wantError(t, err, test.err, test.words)
		})
	}
}

// resign gives what l says with the signature of another key.
func resign(t *testing.T, l List) []byte {
	t.Helper()
	raw, err := seal(l.payload, []ed25519.PrivateKey{testKey(1), testKey(2)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerdictString(t *testing.T) {
	for v, want := range map[Verdict]string{
		Refused: "refused", Unchanged: "unchanged", Apply: "apply", Removed: "removed", Outside: "outside", Outside + 1: "Verdict(5)",
	} {
		if v.String() != want {
			t.Errorf("got %q, want %q", v.String(), want)
		}
	}
}
