package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	vectorsFile = "testdata/vectors.txt"
	protocol    = "../../../../docs/protocol.md"
)

// vector is one block of testdata/vectors.txt, whose head explains the forms.
type vector struct {
	form, name, text string
	fields           map[string][]string
}

func readVectors(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile(vectorsFile)
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	for block := range strings.SplitSeq(string(text), "\n\n") {
		v := vector{text: strings.TrimSpace(block), fields: map[string][]string{}}
		for line := range strings.Lines(v.text) {
			key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch rest = strings.TrimSpace(rest); {
			case key == "#" || key == "":
			case v.form == "":
				v.form, v.name = key, rest
			default:
				v.fields[key] = append(v.fields[key], rest)
			}
		}
		if v.form != "" {
			all = append(all, v)
		}
	}
	return all
}

// ofForm gives the vectors of one form; there are some.
func ofForm(tb testing.TB, form string) []vector {
	tb.Helper()
	all := slices.DeleteFunc(readVectors(tb), func(v vector) bool { return v.form != form })
	if len(all) == 0 {
		tb.Fatalf("%s has no %s", vectorsFile, form)
	}
	return all
}

// one is a field's only value, "" if the vector lacks it.
func (v *vector) one(tb testing.TB, key string) string {
	tb.Helper()
	switch values := v.fields[key]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	tb.Fatalf("%s %s: %s stands more than once", v.form, v.name, key)
	return ""
}

func (v *vector) number(tb testing.TB, key string) uint64 {
	tb.Helper()
	text := v.one(tb, key)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		tb.Fatalf("%s %s: %s: %v", v.form, v.name, key, err)
	}
	return n
}

func (v *vector) bytes(tb testing.TB, key string) []byte {
	tb.Helper()
	text := v.one(tb, key)
	if strings.HasPrefix(text, `"`) {
		s, err := strconv.Unquote(text)
		if err != nil {
			tb.Fatalf("%s %s: %s: %v", v.form, v.name, key, err)
		}
		return []byte(s)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		tb.Fatalf("%s %s: %s: %v", v.form, v.name, key, err)
	}
	return b
}

func (v *vector) kind(tb testing.TB, key string) Kind {
	tb.Helper()
	text := v.one(tb, key)
	for k := range Kind(128) {
		if k.String() == text || strconv.Itoa(int(k)) == text {
			return k
		}
	}
	if text != "" {
		tb.Fatalf("%s %s: no kind is called %s", v.form, v.name, text)
	}
	return 0
}

// frame is the frame that the vector's fields describe.
func (v *vector) frame(tb testing.TB) Frame {
	tb.Helper()
	has := func(key string) bool { return len(v.fields[key]) > 0 }
	return Frame{
		Kind: v.kind(tb, "kind"), Mine: has("mine"), ID: v.number(tb, "id"), Timeout: v.number(tb, "timeout"),
		Handler: v.number(tb, "handler"), Header: v.bytes(tb, "header"), Code: v.bytes(tb, "code"), Message: v.bytes(tb, "message"),
		Msgs: v.number(tb, "messages"), Bytes: v.number(tb, "bytes"), Xfer: v.number(tb, "transfer"), Total: v.number(tb, "total"),
		Inner: v.kind(tb, "inner"), Ask: has("ask"), Body: v.bytes(tb, "body"),
	}
}

func TestVectorFrames(t *testing.T) {
	shown := map[Kind]bool{}
	begun := map[Kind]bool{}
	for _, v := range ofForm(t, "frame") {
		want, b := v.frame(t), v.bytes(t, "hex")
		shown[want.Kind], begun[want.Inner] = true, true
		var got Frame
		if n, err := Parse(b, &got); err != nil || n != len(b) || !equal(got, want) {
			t.Errorf("%s: %d of %d bytes parse to %+v, %v", v.name, n, len(b), got, err)
		}
		if made := Append(nil, &want); !bytes.Equal(made, b) || Size(&want) != len(b) {
			t.Errorf("%s: appends to % x of size %d", v.name, made, Size(&want))
		}
	}
	for k := range Kind(128) {
		if k.Known() && !shown[k] {
			t.Errorf("no vector shows a %s", k)
		}
		if chunkable(k) && !begun[k] {
			t.Errorf("no vector shows a BEGIN of a %s", k)
		}
	}
}

func TestVectorsThatAreLenient(t *testing.T) {
	for _, v := range ofForm(t, "lenient") {
		want, b := v.frame(t), v.bytes(t, "hex")
		var got Frame
		if n, err := Parse(b, &got); err != nil || n != len(b) || !equal(got, want) {
			t.Errorf("%s: %d of %d bytes parse to %+v, %v", v.name, n, len(b), got, err)
		}
	}
}

func TestVectorsThatAreRefused(t *testing.T) {
	keep := func(Handler) error { return nil }
	for form, read := range map[string]func([]byte) error{
		"refused":   func(b []byte) error { _, err := Parse(b, &Frame{}); return err },
		"nohandler": func(b []byte) error { return ParseHandlers(b, keep) },
		"nobatch":   func(b []byte) error { _, err := Unseal(b); return err },
	} {
		for _, v := range ofForm(t, form) {
			why := v.one(t, "why")
			if err := read(v.bytes(t, "hex")); why == "" || err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s %s: got %v, want %q", form, v.name, err, why)
			}
		}
	}
}

func TestVectorHandlers(t *testing.T) {
	for _, v := range ofForm(t, "handlers") {
		b := v.bytes(t, "hex")
		var want, got []Handler
		for _, line := range v.fields["handler"] {
			var h Handler
			var kind string
			if _, err := fmt.Sscan(line, &h.Name, &h.Number, &kind, &h.In, &h.Out); err != nil {
				t.Fatalf("%s: %q: %v", v.name, line, err)
			}
			h.Stream = kind == "stream"
			want = append(want, h)
		}
		err := ParseHandlers(b, func(h Handler) error { got = append(got, h); return nil })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, %v", v.name, got, err)
		}
		if made := AppendHandlers(nil, want); !bytes.Equal(made, b) {
			t.Errorf("%s: appends to % x", v.name, made)
		}
	}
}

func TestVectorBatches(t *testing.T) {
	frames := map[string]vector{}
	for _, v := range ofForm(t, "frame") {
		frames[v.name] = v
	}
	for _, v := range ofForm(t, "batch") {
		want := []byte{0, 0, 0, 0} // where Seal writes
		for _, name := range v.fields["frame"] {
			f, ok := frames[name]
			if !ok {
				t.Fatalf("%s: no frame is called %s", v.name, name)
			}
			want = append(want, f.bytes(t, "hex")...)
		}
		Seal(want)
		if b := v.bytes(t, "hex"); !bytes.Equal(want, b) {
			t.Errorf("%s: seals to % x", v.name, want)
		} else if got, err := Unseal(b); err != nil || !bytes.Equal(got, want[ChecksumSize:]) {
			t.Errorf("%s: got % x, %v", v.name, got, err)
		}
	}
}

// fieldNames are the fields in docs/protocol.md, in their order on the wire.
var fieldNames = []struct {
	has  fields
	name string
}{
	{hasID, "id"}, {hasTimeout, "timeout"}, {hasHandler, "handler"}, {hasHeader, "header"}, {hasCode, "code"}, {hasMessage, "message"},
	{hasMsgs, "messages"}, {hasBytes, "bytes"}, {hasXfer, "transfer"}, {hasTotal, "total"}, {hasInner, "inner"}, {hasBody, "body"},
}

// docs/protocol.md quotes vectors word for word, and its table of kinds is the layout.
func TestProtocolPageIsTrue(t *testing.T) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	known := map[string]bool{}
	for _, v := range readVectors(t) {
		known[v.text] = true
	}
	quoted := regexp.MustCompile("(?s)```vector\n(.*?)\n```").FindAllStringSubmatch(page, -1)
	if len(quoted) < 8 {
		t.Errorf("the page quotes %d vectors", len(quoted))
	}
	for _, q := range quoted {
		if !known[q[1]] {
			t.Errorf("the page quotes what is not in %s:\n%s", vectorsFile, q[1])
		}
	}
	rows := 0
	for k := range Kind(128) {
		if !k.Known() {
			continue
		}
		rows++
		var names []string
		for _, f := range fieldNames {
			if layout[k]&f.has != 0 {
				names = append(names, "`"+f.name+"`")
			}
		}
		if len(names) == 0 {
			names = []string{"none"}
		}
		if row := fmt.Sprintf("\n| %d | %s | %s |", byte(k), k, strings.Join(names, " ")); !strings.Contains(page, row) {
			t.Errorf("the page has no row %q", row)
		}
	}
	if got := len(regexp.MustCompile(`(?m)^\| \d+ \| [A-Z]+ \|`).FindAllString(page, -1)); got != rows {
		t.Errorf("the page has %d rows of kinds, there are %d kinds", got, rows)
	}
}
