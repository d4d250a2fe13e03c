package peers

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// update writes testdata/vectors.json anew. Its bytes are part of the format:
// a difference in what was there before is a difference that nodes will meet.
var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

// vectors is what testdata/vectors.json holds; docs/peer-list.md explains it.
type vectors struct {
	Keys      []vectorKey      `json:"keys"`
	JSON      string           `json:"json"`
	Payload   []byte           `json:"payload"`
	Document  []byte           `json:"document"`
	Documents []vectorDocument `json:"documents"`
	Names     []vectorName     `json:"names"`
}

type vectorKey struct {
	Name   string `json:"name"`
	Seed   string `json:"seed"`   // hex
	Public string `json:"public"` // hex
	KeyID  string `json:"keyID"`
}

type vectorDocument struct {
	Name     string   `json:"name"`
	Keys     []string `json:"keys"` // to trust
	Grid     string   `json:"grid"`
	MeshID   string   `json:"meshID,omitempty"`
	Result   string   `json:"result"` // good, or which error
	Document []byte   `json:"document"`
}

type vectorName struct {
	Name string `json:"name"`
	Good bool   `json:"good"`
}

var vectorErrors = map[string]error{
	"malformed": ErrMalformed, "version": ErrVersion, "signature": ErrSignature, "foreign": ErrForeign, "empty": ErrEmpty,
}

// vectorList is the list of the worked example in docs/peer-list.md.
func vectorList() List {
	return List{
		Names: []string{"demo-0.demo.default.svc:9000", "demo-1.demo.default.svc:9000", "demo-2.demo.default.svc:9000"},
		Epoch: 7, Grid: testGrid, MeshID: testMesh, Identity: IdentityGrid,
		Hints: map[string]string{"demo-2.demo.default.svc:9000": "10.42.0.17"},
	}
}

func readVectors(tb testing.TB) vectors {
	tb.Helper()
	text, err := os.ReadFile(vectorsFile)
	if err != nil {
		tb.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// The worked example, made again step by step from the list and the key.
func TestVectorExample(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	v := readVectors(t)
	for i, key := range v.Keys {
		made := testKey(byte(i))
		if hex.EncodeToString(made.Seed()) != key.Seed || hex.EncodeToString(public(made)[0]) != key.Public || KeyID(public(made)[0]) != key.KeyID {
			t.Errorf("key %s is not the one that its seed makes", key.Name)
		}
	}
	text, err := vectorList().appendJSON(nil)
	if err != nil || string(text) != v.JSON {
		t.Errorf("the list as JSON:\n%s\nwant\n%s", text, v.JSON)
	}
	if text, err := inflate(v.Payload); err != nil || string(text) != v.JSON {
		t.Errorf("the payload inflates to %s, %v", text, err)
	}
	if doc, err := seal(v.Payload, []ed25519.PrivateKey{testKey(0)}); err != nil || !bytes.Equal(doc, v.Document) {
		t.Errorf("the document:\n%q, %v\nwant\n%q", doc, err, v.Document)
	}
	if l, err := Verify(v.Document, testTrust(testKey(0))); err != nil || !l.same(vectorList()) {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestVectorDocuments(t *testing.T) {
	v := readVectors(t)
	results := make(map[string]int)
	for _, d := range v.Documents {
		t.Run(d.Name, func(t *testing.T) {
			trust := Trust{Grid: d.Grid, MeshID: d.MeshID}
			for _, name := range d.Keys {
				i := slices.IndexFunc(v.Keys, func(k vectorKey) bool { return k.Name == name })
				key, err := hex.DecodeString(v.Keys[i].Public)
				if err != nil {
					t.Fatal(err)
				}
				trust.Keys = append(trust.Keys, key)
			}
			_, err := Verify(d.Document, trust)
			wantError(t, err, vectorErrors[d.Result])
		})
		results[d.Result]++
	}
	for _, result := range []string{"good", "malformed", "version", "signature", "foreign", "empty"} {
		if results[result] == 0 {
			t.Errorf("no document is %s", result)
		}
	}
}

func TestVectorNames(t *testing.T) {
	good := 0
	names := readVectors(t).Names
	for _, n := range names {
		if err := ValidName(n.Name); (err == nil) != n.Good {
			t.Errorf("%q: %v, want good=%t", n.Name, err, n.Good)
		}
		if n.Good {
			good++
		}
	}
	if good == 0 || good == len(names) {
		t.Errorf("%d of %d names are good: the vectors show one side only", good, len(names))
	}
}

// What docs/peer-list.md quotes is what the vectors hold, and its numbers are
// the limits.
func TestVectorsQuoted(t *testing.T) {
	text, err := os.ReadFile("../../../docs/peer-list.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	v := readVectors(t)
	pub, err := MarshalPublicKeys(public(testKey(0))...)
	if err != nil {
		t.Fatal(err)
	}
	head := v.Document[:len(v.Document)-len(v.Payload)]
	for what, quoted := range map[string]string{
		"seed": v.Keys[0].Seed, "key id": v.Keys[0].KeyID, "public key": string(pub),
		"JSON": v.JSON, "head": string(head), "payload": hexLines(v.Payload), "first line": magic,
		"limit of names": fmt.Sprintf("| names in a list | %d |", MaxNames), "limit of hints": fmt.Sprintf("| hints in a list | %d |", MaxNames),
		"limit of a name": fmt.Sprintf("| a name | %d bytes |", MaxNameLength), "limit of a grid id": fmt.Sprintf("| a grid id | %d bytes |", MaxGridLength),
		"limit of an epoch": fmt.Sprintf("| an epoch | %d |", uint64(MaxEpoch)), "limit of a document": fmt.Sprintf("| a document | %d bytes |", MaxDocument),
		"limit of a payload": fmt.Sprintf("| a payload, inflated | %d bytes |", MaxInflated), "limit of fields": fmt.Sprintf("| fields of the payload's object | %d |", maxFields),
		"limit of signatures": fmt.Sprintf("| signatures of a document | %d |", MaxSignatures), "limit of keys": fmt.Sprintf("| keys that a node trusts | %d |", MaxKeys),
		"limit of a key file": fmt.Sprintf("| a file of keys | %d bytes |", MaxKeyFile), "limit of a text file": fmt.Sprintf("| a text file of names | %d bytes |", MaxText),
		"files": fmt.Sprintf("%#q and %#q", ListFile, KeysFile),
	} {
		if !strings.Contains(page, quoted) {
			t.Errorf("docs/peer-list.md does not quote the %s:\n%s", what, quoted)
		}
	}
}

func hexLines(b []byte) string {
	var lines strings.Builder
	for chunk := range slices.Chunk(b, 32) {
		fmt.Fprintf(&lines, "%x\n", chunk)
	}
	return lines.String()
}

func writeVectors(t *testing.T) {
	t.Helper()
	a, b := testKey(0), testKey(1)
	good := mustSign(t, vectorList(), a)
	_, payload, err := open(good)
	if err != nil {
		t.Fatal(err)
	}
	text, err := inflate(payload)
	if err != nil {
		t.Fatal(err)
	}
	v := vectors{JSON: string(text), Payload: payload, Document: good}
	for i, name := range []string{"a", "b", "c"} {
		key := testKey(byte(i))
		v.Keys = append(v.Keys, vectorKey{name, hex.EncodeToString(key.Seed()), hex.EncodeToString(public(key)[0]), KeyID(public(key)[0])})
	}
	sealed := func(text string, keys ...ed25519.PrivateKey) []byte {
		payload, err := deflate([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := seal(payload, keys)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	edit := func(from, to string) string {
		if !strings.Contains(v.JSON, from) {
			t.Fatalf("%s is not in the JSON", from)
		}
		return strings.Replace(v.JSON, from, to, 1)
	}
	edited := func(from, to string) []byte { return sealed(edit(from, to), a) }
	replaced := func(from, to string) []byte { return bytes.Replace(good, []byte(from), []byte(to), 1) }
	line, _, _ := strings.Cut(strings.TrimPrefix(string(good), magic), payloadWord) // the signature's
	first := `"demo-0.demo.default.svc:9000"`
	changed := slices.Clone(good)
	changed[len(changed)-20] ^= 1

	for _, d := range []struct {
		name, result, keys, grid, mesh string
		doc                            []byte
	}{
		{"the example", "good", "a", testGrid, testMesh, good},
		{"any mesh id", "good", "a", testGrid, "", good},
		{"several trusted keys", "good", "cba", testGrid, "", good},
		{"two signatures, the first of an unknown key", "good", "b", testGrid, "", sealed(v.JSON, a, b)},
		{"a payload without compression", "good", "a", testGrid, "", mustSeal(t, stored(t, text), a)},
		{"white space and another order", "good", "a", testGrid, "", sealed("\n{ "+edit(`{"version":1,`, "")[:len(v.JSON)-14]+",\t\"version\": 1 }\n", a)},
		{"on-demand links, one certificate each", "good", "a", testGrid, "", edited(`"identity":"grid"`, `"identity":"pod","topology":"on-demand"`)},
		{"an unknown field", "good", "a", testGrid, "", edited(`{"version":1,`, `{"version":1,"later":{"advice":[1,null]},`)},
		{"nobody, and meant", "good", "a", testGrid, "", mustSign(t, testList(8), a)},
		{"another trusted key", "signature", "c", testGrid, "", good},
		{"a changed payload", "signature", "a", testGrid, "", changed},
		{"a key id of another key", "signature", "ab", testGrid, "", replaced(v.Keys[0].KeyID, v.Keys[1].KeyID)},
		{"no signature", "signature", "a", testGrid, "", replaced(line, "")},
		{"another grid", "foreign", "a", "default/other", "", good},
		{"another mesh", "foreign", "a", testGrid, strings.Repeat("f", 32), good},
		{"nobody, by mistake", "empty", "a", testGrid, "", sealed(fmt.Sprintf(`{"version":1,"grid":%q,"meshID":%q,"epoch":8,"peers":[]}`, testGrid, testMesh), a)},
		{"a document of version 2", "version", "a", testGrid, "", replaced(magic, "gridmesh-peer-list 2\n")},
		{"a payload of version 2", "version", "a", testGrid, "", edited(`"version":1`, `"version":2`)},
		{"an empty file", "malformed", "a", testGrid, "", []byte{}},
		{"cut in the head", "malformed", "a", testGrid, "", good[:60]},
		{"cut in the payload", "malformed", "a", testGrid, "", good[:len(good)-1]},
		{"a byte after the payload", "malformed", "a", testGrid, "", append(slices.Clone(good), '\n')},
		{"line ends of Windows", "malformed", "a", testGrid, "", replaced("\npayload", "\r\npayload")},
		{"a key that signs twice", "malformed", "a", testGrid, "", replaced(line, line+line)},
		{"no gzip", "malformed", "a", testGrid, "", mustSeal(t, text, a)},
		{"two gzip members", "malformed", "a", testGrid, "", mustSeal(t, append(slices.Clone(payload), payload...), a)},
		{"two JSON values", "malformed", "a", testGrid, "", sealed(v.JSON+"{}", a)},
		{"a field twice", "malformed", "a", testGrid, "", edited(`"epoch":7`, `"epoch":7,"epoch":8`)},
		{"a field in other case", "malformed", "a", testGrid, "", edited(`"peers"`, `"Peers"`)},
		{"an epoch of zero", "malformed", "a", testGrid, "", edited(`"epoch":7`, `"epoch":0`)},
		{"an epoch with a fraction", "malformed", "a", testGrid, "", edited(`"epoch":7`, `"epoch":7.0`)},
		{"an epoch too high", "malformed", "a", testGrid, "", edited(`"epoch":7`, `"epoch":9007199254740992`)},
		{"an unknown identity", "malformed", "a", testGrid, "", edited(`"identity":"grid"`, `"identity":"node"`)},
		{"an unknown topology", "malformed", "a", testGrid, "", edited(`"identity":"grid"`, `"topology":"ring"`)},
		{"names out of order", "malformed", "a", testGrid, "", edited(first, `"z:1"`)},
		{"a name twice", "malformed", "a", testGrid, "", edited(first, first+","+first)},
		{"a name in upper case", "malformed", "a", testGrid, "", edited(first, `"Demo-0.demo.default.svc:9000"`)},
		{"a hint of a stranger", "malformed", "a", testGrid, "", edited(`"hints":{`, `"hints":{"z:1":"10.0.0.1",`)},
		{"a hint that is a name", "malformed", "a", testGrid, "", edited(`10.42.0.17`, `node-17`)},
	} {
		v.Documents = append(v.Documents, vectorDocument{Name: d.name, Keys: strings.Split(d.keys, ""), Grid: d.grid, MeshID: d.mesh, Result: d.result, Document: d.doc})
	}
	for _, name := range []string{"node-0:9000", "n:1", "n:65535", "node_0.rack_1:9000", "10.0.0.1:9000", "[2001:db8::1]:9000", strings.Repeat("a", 63) + ":1"} {
		v.Names = append(v.Names, vectorName{name, true})
	}
	for _, name := range []string{
		"", "node-0", "node-0:", ":9000", "node-0:0", "node-0:65536", "node-0:09000", "Node-0:9000", "node-0.:9000", "a..b:9000", "-a:9000", "a-:9000",
		"node 0:9000", "nöde:9000", "http://node-0:9000", "2001:db8::1:9000", "[2001:db8::1]", "[2001:DB8::1]:9000", "[2001:db8:0::1]:9000",
		"[::ffff:10.0.0.1]:9000", "[fe80::1%eth0]:9000", "0.0.0.0:9000", "[::]:9000", "224.0.0.1:9000", "10.0.0.256:9000", "10.0.1:9000", strings.Repeat("a", 64) + ":1",
	} {
		v.Names = append(v.Names, vectorName{name, false})
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustSeal(t *testing.T, payload []byte, keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	doc, err := seal(payload, keys)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
