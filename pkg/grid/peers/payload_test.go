package peers

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// payloadWith is the JSON of a good list with some fields put in place of its
// own, or after them; "-" leaves one out.
func payloadWith(fields ...string) string {
	all := []string{
		`"version"`, `1`, `"grid"`, `"default/demo"`, `"meshID"`, `"` + testMesh + `"`,
		`"epoch"`, `7`, `"identity"`, `"pod"`, `"topology"`, `"full-mesh"`,
		`"peers"`, `["a:1","b:2"]`, `"hints"`, `{"b:2":"10.0.0.2"}`,
	}
	for i := 0; i < len(fields); i += 2 {
		if at := slices.Index(all, fields[i]); at >= 0 {
			all[at+1] = fields[i+1]
			continue
		}
		all = append(all, fields[i], fields[i+1])
	}
	var members []string
	for i := 0; i < len(all); i += 2 {
		if all[i+1] != "-" {
			members = append(members, all[i]+":"+all[i+1])
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestPayload(t *testing.T) {
	for _, text := range []string{
		payloadWith(),
		"\n" + strings.ReplaceAll(payloadWith(), ",", " ,\t") + "\r\n",
		payloadWith(`"later"`, `{"advice":[1,null,{}]}`, `"Peers"`, `["z:1"]`),
		payloadWith(`"epoch"`, `9007199254740991`),
	} {
		l, err := parseJSON([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if l.Grid != "default/demo" || l.MeshID != testMesh || l.Epoch < 7 || l.Identity != IdentityPod || l.Topology != TopologyFull || l.AllowEmpty ||
			!slices.Equal(l.Names, []string{"a:1", "b:2"}) || !maps.Equal(l.Hints, map[string]string{"b:2": "10.0.0.2"}) {
			t.Errorf("%s: got %+v", text, l)
		}
	}
	l, err := parseJSON([]byte(payloadWith(`"identity"`, "-", `"topology"`, "-", `"peers"`, "[]", `"hints"`, "-", `"allowEmpty"`, "true")))
	if err != nil || l.Identity != "" || l.Topology != "" || len(l.Names) != 0 || l.Hints != nil || !l.AllowEmpty {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestPayloadRefuses(t *testing.T) {
	for _, test := range []struct {
		text  string
		err   error
		words string
	}{
		{"", ErrMalformed, "not one JSON value"},
		{"{", ErrMalformed, "not one JSON value"},
		{payloadWith() + payloadWith(), ErrMalformed, "not one JSON value"},
		{"[]", ErrMalformed, `opens with "{"`},
		{"null", ErrMalformed, `opens with "{"`},
		{payloadWith(`"x"`, `1`)[:len(payloadWith())] + `"epoch":8}`, ErrMalformed, `"epoch" stands twice`},

		{payloadWith(`"version"`, `2`, `"peers"`, `{"shards":[]}`), ErrVersion, "version 2, this build reads 1"},
		{payloadWith(`"version"`, `0`), ErrVersion, "version 0"},
		{payloadWith(`"version"`, `-`), ErrMalformed, "version: is missing"},
		{payloadWith(`"version"`, `"1"`), ErrMalformed, "version: is no integer"},
		{payloadWith(`"version"`, `1.0`), ErrMalformed, "version: is no integer"},

		{payloadWith(`"grid"`, `-`), ErrMalformed, "grid: is missing"},
		{payloadWith(`"grid"`, `""`), ErrMalformed, `grid ""`},
		{payloadWith(`"grid"`, `7`), ErrMalformed, "grid: is no string"},
		{payloadWith(`"grid"`, `null`), ErrMalformed, "grid: is no string"},
		{payloadWith(`"grid"`, `"a b"`), ErrMalformed, `grid "a b"`},
		{payloadWith(`"grid"`, `"é"`), ErrMalformed, `grid "é"`},

		{payloadWith(`"meshID"`, `-`), ErrMalformed, "meshID: is missing"},
		{payloadWith(`"meshID"`, `"00112233445566778899AABBCCDDEEFF"`), ErrMalformed, "32 lower-case hex"},
		{payloadWith(`"meshID"`, `"0011"`), ErrMalformed, "32 lower-case hex"},

		{payloadWith(`"epoch"`, `-`), ErrMalformed, "epoch: is missing"},
		{payloadWith(`"epoch"`, `0`), ErrMalformed, "epoch 0"},
		{payloadWith(`"epoch"`, `-1`), ErrMalformed, "epoch: is no integer"},
		{payloadWith(`"epoch"`, `1e3`), ErrMalformed, "epoch: is no integer"},
		{payloadWith(`"epoch"`, `9007199254740992`), ErrMalformed, "allowed are 1 to 9007199254740991"},
		{payloadWith(`"epoch"`, `99999999999999999999`), ErrMalformed, "epoch: is no integer"},

		{payloadWith(`"identity"`, `"node"`), ErrMalformed, `identity "node", allowed are "grid" and "pod"`},
		{payloadWith(`"identity"`, `null`), ErrMalformed, "identity: is no string"},
		{payloadWith(`"topology"`, `"ring"`), ErrMalformed, `topology "ring", allowed are "full-mesh" and "on-demand"`},

		{payloadWith(`"peers"`, `-`), ErrMalformed, "peers: is missing"},
		{payloadWith(`"peers"`, `null`), ErrMalformed, `peers: is no JSON value that opens with "["`},
		{payloadWith(`"peers"`, `"a:1"`), ErrMalformed, "peers: is no JSON value"},
		{payloadWith(`"peers"`, `["a:1",7]`), ErrMalformed, `peers: "1": is no string`},
		{payloadWith(`"peers"`, `["a:1",["b:2"]]`), ErrMalformed, `peers: "1": is no string`},
		{payloadWith(`"peers"`, `["a:1","b"]`), ErrMalformed, `peers[1]: peer name "b" has no port`},
		{payloadWith(`"peers"`, `["a:1","a:1","b:2"]`), ErrMalformed, `peers[1]: "a:1" stands twice`},
		{payloadWith(`"peers"`, `["b:2","a:1"]`), ErrMalformed, `peers[1]: "a:1" stands after "b:2"`},
		{payloadWith(`"peers"`, `[]`, `"hints"`, "-"), ErrEmpty, "allowEmpty"},
		{payloadWith(`"allowEmpty"`, `"true"`), ErrMalformed, "allowEmpty: is neither true nor false"},
		{payloadWith(`"allowEmpty"`, `null`), ErrMalformed, "allowEmpty: is neither true nor false"},

		{payloadWith(`"hints"`, `[]`), ErrMalformed, `hints: is no JSON value that opens with "{"`},
		{payloadWith(`"hints"`, `{"a:1":7}`), ErrMalformed, `hints: "a:1": is no string`},
		{payloadWith(`"hints"`, `{"c:3":"10.0.0.3"}`), ErrMalformed, `"c:3" is not among the peers`},
		{payloadWith(`"hints"`, `{"a:1":"10.0.0.1","a:1":"10.0.0.2"}`), ErrMalformed, `hints: "a:1" stands twice`},
		{payloadWith(`"hints"`, `{"a:1":"node-0"}`), ErrMalformed, `"node-0" of "a:1" is no IP address`},
		{payloadWith(`"hints"`, `{"a:1":"10.0.0.1:9000"}`), ErrMalformed, "no IP address"},
		{payloadWith(`"hints"`, `{"a:1":"2001:DB8::1"}`), ErrMalformed, "shortest form"},
		{payloadWith(`"hints"`, `{"a:1":"fe80::1%eth0"}`), ErrMalformed, "no IP address"},
	} {
		_, err := parseJSON([]byte(test.text))
		if err == nil {
			t.Errorf("%s: taken, want %v", test.text, test.err)
			continue
		}
		t.Run(test.words, func(t *testing.T) { wantError(t, err, test.err, test.words) })
	}
}

func TestPayloadLimits(t *testing.T) {
	known := strings.Count(payloadWith(), `":`) - 1 // without the hint's
	names := manyNames(MaxNames + 1)
	hints := func(n int) string {
		var members []string
		for _, name := range names[:n] {
			members = append(members, fmt.Sprintf(`%q:"10.0.0.1"`, name))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	list := func(n int) string { return `["` + strings.Join(names[:n], `","`) + `"]` }
	for extra := -1; extra <= 1; extra++ {
		var more []string
		for i := known; i < maxFields+extra; i++ {
			more = append(more, fmt.Sprintf(`"x%d"`, i), "0")
		}
		for _, test := range []struct{ what, text, words string }{
			{"fields", payloadWith(more...), "more than 64 fields"},
			{"names", payloadWith(`"peers"`, list(MaxNames+extra), `"hints"`, "-"), "more than 10000 names"},
			{"hints", payloadWith(`"peers"`, list(MaxNames), `"hints"`, hints(MaxNames+extra)), "more than 10000 hints"},
			{"grid", payloadWith(`"grid"`, `"`+strings.Repeat("g", MaxGridLength+extra)+`"`), "1 to 255"},
		} {
			t.Run(fmt.Sprintf("%s %+d", test.what, extra), func(t *testing.T) {
				_, err := parseJSON([]byte(test.text))
				if extra <= 0 {
					wantError(t, err, nil)
					return
				}
				wantError(t, err, ErrMalformed, test.words)
			})
		}
	}
}

func TestPayloadRoundTrip(t *testing.T) {
	for _, l := range []List{
		testList(1, self),
		testList(MaxEpoch),
		{Names: []string{"[::1]:1", "a:1", "b:2"}, Epoch: 3, Grid: "g", MeshID: testMesh, Identity: IdentityGrid, Topology: TopologyOnDemand, AllowEmpty: true,
			Hints: map[string]string{"a:1": "2001:db8::1", "b:2": "10.0.0.1"}},
	} {
		text, err := l.appendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseJSON(text); err != nil || !back.same(l) {
			t.Errorf("%s: got %+v, %v, want %+v", text, back, err, l)
		}
	}
}

// BenchmarkVerify: each node of a mesh does it for each list.
func BenchmarkVerify(b *testing.B) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	l := List{Grid: "shop/demo", MeshID: "00112233445566778899aabbccddeeff", Epoch: 1, Identity: IdentityGrid, Hints: make(map[string]string)}
	for i := range 1000 {
		name := fmt.Sprintf("demo-%d.demo.shop.svc:7700", i)
		l.Names = append(l.Names, name)
		l.Hints[name] = fmt.Sprintf("10.42.%d.%d", i/256, i%256)
	}
	slices.Sort(l.Names)
	doc, err := Sign(l, key)
	if err != nil {
		b.Fatal(err)
	}
	trust := Trust{Grid: l.Grid, Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(doc, trust); err != nil {
			b.Fatal(err)
		}
	}
}
