package peers

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Each rule of the container, broken on its own, in a document whose payload
// and signature are good.
func TestDocumentRefuses(t *testing.T) {
	good := string(mustSign(t, testList(7, self), testKey(0)))
	head, _, _ := strings.Cut(good, payloadWord)
	line := strings.TrimPrefix(head, magic) // the signature, with its line feed
	_, body, _ := strings.Cut(good[len(head):], "\n")
	size := fmt.Sprintf("%s%d\n", payloadWord, len(body))
	if magic+line+size+body != good {
		t.Fatal("the test takes the document apart wrongly")
	}
	lines := func(n int) string { // n signatures of other keys
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, "signature %016x %s\n", i, line[len("signature ")+keyIDLength+1:len(line)-1])
		}
		return s.String()
	}

	for _, test := range []struct {
		name, doc string
		err       error
		words     []string
	}{
		{"good", good, nil, nil},
		{"other keys before and after", magic + lines(1) + line + lines(3)[116:] + size + body, nil, nil},
		{"eight signatures", magic + lines(7) + line + size + body, nil, nil},
		{"nine signatures", magic + lines(8) + line + size + body, ErrMalformed, []string{"more than 8"}},
		{"no signature", magic + size + body, ErrSignature, []string{"none of its 0"}},
		{"only other keys", magic + lines(2) + size + body, ErrSignature, []string{"none of its 2"}},
		{"one key twice", magic + line + line + size + body, ErrMalformed, []string{"line 3", "second signature"}},
		{"empty", "", ErrMalformed, []string{"after 0 bytes"}},
		{"half a first line", "gridmesh-peer", ErrMalformed, []string{"cut short"}},
		{"a text file", "node-0:9000\n", ErrMalformed, []string{`"node-0:9000"`}},
		{"next version", "gridmesh-peer-list 2\n" + line + size + body, ErrVersion, []string{"list 2", "list 1"}},
		{"minor version", "gridmesh-peer-list 1.1\n" + line + size + body, ErrVersion, nil},
		{"line end of Windows", strings.Replace(good, "1\n", "1\r\n", 1), ErrVersion, nil},
		{"blank before", "\n" + good, ErrMalformed, nil},
		{"unknown line", magic + "note x\n" + line + size + body, ErrMalformed, []string{"line 2", `"note x"`}},
		{"blank line", magic + line + "\n" + size + body, ErrMalformed, []string{"line 3"}},
		{"signature with a line end of Windows", magic + strings.TrimSuffix(line, "\n") + "\r\n" + size + body, ErrMalformed, []string{"line 2"}},
		{"upper-case key", magic + strings.ToUpper(line[:26]) + line[26:] + size + body, ErrMalformed, []string{"line 2"}},
		{"short signature", magic + line[:len(line)-5] + "\n" + size + body, ErrMalformed, []string{"line 2"}},
		{"signature not in base64", magic + line[:27] + "!" + line[28:] + size + body, ErrMalformed, []string{"line 2"}},
		{"two spaces", magic + strings.Replace(line, " ", "  ", 1) + size + body, ErrMalformed, []string{"line 2"}},
		{"long line", magic + strings.Repeat("x", 10_000) + "\n", ErrMalformed, []string{"…"}},
		{"no length", magic + line, ErrMalformed, []string{"cut short in its head"}},
		{"length without digits", magic + line + "payload \n" + body, ErrMalformed, []string{"plain number"}},
		{"length with zeros", magic + line + "payload 0" + size[8:] + body, ErrMalformed, []string{"plain number"}},
		{"negative length", magic + line + "payload -" + size[8:] + body, ErrMalformed, []string{"plain number"}},
		{"huge length", magic + line + "payload 99999999999999999999\n" + body, ErrMalformed, []string{"plain number"}},
		{"cut payload", good[:len(good)-1], ErrMalformed, []string{"cut short"}},
		{"longer payload", good + "x", ErrMalformed, []string{"1 bytes after"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := Verify([]byte(test.doc), testTrust(testKey(0)))
			wantError(t, err, test.err, test.words...)
			if err == nil && string(l.Raw()) != test.doc {
				t.Error("Raw is not the document")
			}
		})
	}
}

// No bit of a document may change unnoticed.
func TestDocumentEveryBit(t *testing.T) {
	good := mustSign(t, testList(7, self, "node-1:9000"), testKey(0))
	for i := range good {
		for bit := range 8 {
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := Verify(bad, testTrust(testKey(0))); err == nil {
				t.Errorf("bit %d of byte %d flipped, and still valid", bit, i)
			}
		}
		_, err := Verify(good[:i], testTrust(testKey(0)))
		wantError(t, err, ErrMalformed)
	}
}

// jsonOf is a payload's JSON of exactly size bytes, filled up in a field that
// readers skip.
func jsonOf(size int) []byte {
	head := fmt.Sprintf(`{"version":1,"grid":%q,"meshID":%q,"epoch":7,"peers":[%q],"x":"`, testGrid, testMesh, self)
	text := append([]byte(head), bytes.Repeat([]byte("x"), size)...)[:size]
	copy(text[size-2:], `"}`)
	return text
}

// stored is a payload without compression, whose size can be chosen to the byte.
func stored(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMaxDocument(t *testing.T) {
	keys := []ed25519.PrivateKey{testKey(0)}
	const about = MaxDocument - 10_000
	doc, err := seal(stored(t, jsonOf(about)), keys)
	if err != nil {
		t.Fatal(err)
	}
	fill := about + MaxDocument - len(doc) // of the JSON, for exactly MaxDocument
	for extra := -1; extra <= 1; extra++ {
		payload := stored(t, jsonOf(fill+extra))
		doc, err := seal(payload, keys)
		if extra > 0 {
			if err == nil || !strings.Contains(err.Error(), "allowed are 983040") {
				t.Errorf("seal above the limit: %v", err)
			}
			_, err = Verify(append(doc, make([]byte, MaxDocument+1-len(doc))...), testTrust(keys[0]))
			wantError(t, err, ErrMalformed, "allowed are 983040")
			continue
		}
		if err != nil || len(doc) != MaxDocument+extra {
			t.Fatalf("got %d bytes, %v, want %d", len(doc), err, MaxDocument+extra)
		}
		if _, err := Verify(doc, testTrust(keys[0])); err != nil {
			t.Errorf("%d bytes: %v", len(doc), err)
		}
	}
}

func TestMaxInflated(t *testing.T) {
	for extra := -1; extra <= 1; extra++ {
		payload, err := deflate(jsonOf(MaxInflated + extra))
		if err != nil {
			t.Fatal(err)
		}
		text, err := inflate(payload)
		if want := MaxInflated + extra; err == nil && len(text) != want {
			t.Errorf("got %d bytes, want %d", len(text), want)
		}
		if extra <= 0 {
			wantError(t, err, nil)
			continue
		}
		wantError(t, err, ErrMalformed, "inflates to more than 16777216")
	}
}

func TestInflateRefuses(t *testing.T) {
	good, err := deflate(jsonOf(200))
	if err != nil {
		t.Fatal(err)
	}
	badSum := slices.Clone(good)
	badSum[len(badSum)-5] ^= 1
	for _, test := range []struct {
		name    string
		payload []byte
		why     string
	}{
		{"empty", nil, "EOF"},
		{"no gzip", []byte("{}" + strings.Repeat(" ", 100)), "gzip"},
		{"cut", good[:len(good)-1], "EOF"},
		{"checksum", badSum, "checksum"},
		{"two members", append(slices.Clone(good), good...), "after the gzip member"},
		{"a byte after", append(slices.Clone(good), 0), "1 bytes after the gzip member"},
	} {
		_, err := inflate(test.payload)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.why)
		}
	}
}

// Ten thousand names fit, with a hint for each: as Kubernetes has them, with
// the longest names it makes, and without any order in them.
func TestTenThousandNamesFit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	service := strings.Repeat("s", 40) + ".svc-" + strings.Repeat("n", 63-4) + ".svc"
	for _, test := range []struct {
		name string
		make func(i int) string
		most int // bytes of the document, to notice growth
	}{
		{"short", func(i int) string { return fmt.Sprintf("demo-%d.demo.default.svc:9000", i) }, 150 << 10},
		{"long", func(i int) string { return fmt.Sprintf("%s-%d.%s:9000", strings.Repeat("g", 40), i, service) }, 300 << 10},
		{"random", func(int) string { return fmt.Sprintf("%016x%016x.example.com:9000", random.Uint64(), random.Uint64()) }, 500 << 10},
	} {
		var names []string
		hints := make(map[string]string)
		for i := range MaxNames {
			name := test.make(i)
			names = append(names, name)
			hints[name] = fmt.Sprintf("10.%d.%d.%d", random.IntN(256), random.IntN(256), 1+random.IntN(254))
		}
		slices.Sort(names)
		l := testList(7, names...)
		l.Hints = hints
		raw := mustSign(t, l, testKey(0), testKey(1))
		t.Logf("%s: %d bytes", test.name, len(raw))
		if len(raw) > test.most {
			t.Errorf("%s: a document of %d bytes, want at most %d", test.name, len(raw), test.most)
		}
		back, err := Verify(raw, testTrust(testKey(1)))
		if err != nil || !slices.Equal(back.Names, names) || len(back.Hints) != MaxNames {
			t.Errorf("%s: got %d names, %d hints, %v", test.name, len(back.Names), len(back.Hints), err)
		}
	}
}
