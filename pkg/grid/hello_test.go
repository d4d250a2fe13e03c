package grid

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

const testRoom = 64 << 10

func aHello() *hello {
	return &hello{
		Grid: "ns/demo", Name: "node-0:7000", To: "node-1:7000", Instance: instanceID{1, 2, 3}, Token: linkToken{9},
		Renew: true, Features: []string{"x"}, Limits: link.Side{MaxMessage: 1 << 26, MaxCalls: 2, StreamWindow: 3, EagerWindow: math.MaxInt32, Eager: 4, MaxBatch: leastBatch, MaxHeader: 5, MaxHandlers: 6}, Checksum: true,
		Handlers: []wire.Handler{{Name: "echo", Number: 0}, {Name: "tail", Number: 1, Stream: true, In: 4, Out: math.MaxInt32}},
		Epoch:    math.MaxUint64, Topology: "full",
	}
}

func TestHelloSurvivesARoundTrip(t *testing.T) {
	for _, h := range []*hello{aHello(), {Instance: instanceID{1}, Limits: link.Side{MaxMessage: 1, MaxCalls: 1, StreamWindow: 1, EagerWindow: 1, Eager: 1, MaxBatch: leastBatch, MaxHeader: 1, MaxHandlers: 1}}} {
		b, n := appendHello(nil, h, testRoom)
		got, err := parseHello(b)
		if err != nil {
			t.Fatal(err)
		}
		if n != len(h.Handlers) || !reflect.DeepEqual(got, h) {
			t.Errorf("%d handlers, got %+v, want %+v", n, got, h)
		}
	}
}

// Handlers that don't fit are left for the link to announce; the hello stays under its limit.
func TestHelloCarriesTheHandlersThatFit(t *testing.T) {
	h := aHello()
	h.Handlers = nil
	for i := range 1000 {
		h.Handlers = append(h.Handlers, wire.Handler{Name: strings.Repeat("n", wire.MaxHandlerName), Number: uint64(i)})
	}
	b, n := appendHello([]byte("before"), h, testRoom)
	b = b[len("before"):]
	if len(b) > testRoom || len(b) < testRoom-2*wire.MaxHandlerName {
		t.Fatalf("%d bytes", len(b))
	}
	got, err := parseHello(b)
	if err != nil || len(got.Handlers) != n || n < 100 || n >= 1000 || got.Handlers[n-1] != h.Handlers[n-1] {
		t.Fatalf("%d handlers sent, %v", n, err)
	}
}

// edit makes a hello of which one key has another value.
func edit(key string, value any) []byte {
	b, _ := appendHello(nil, aHello(), testRoom)
	var m map[string]any
	raw, _, err := msgp.ReadMapStrIntfBytes(b, m)
	if err != nil {
		panic(err)
	}
	if value == nil {
		delete(raw, key)
	} else {
		raw[key] = value
	}
	// The version stays in front, as docs/protocol.md demands.
	v := raw["v"]
	delete(raw, "v")
	n := uint32(len(raw))
	if v != nil {
		n++
	}
	out := msgp.AppendMapHeader(nil, n)
	if v != nil {
		out, _ = msgp.AppendIntf(msgp.AppendString(out, "v"), v)
	}
	for k, v := range raw {
		if out, err = msgp.AppendIntf(msgp.AppendString(out, k), v); err != nil {
			panic(err)
		}
	}
	return out
}

func nested(levels int) any {
	var v any = 1
	for range levels {
		v = []any{v}
	}
	return v
}

// A later version may add keys of any shape (field case 18, fault row 74).
func TestHelloSkipsUnknownKeys(t *testing.T) {
	for _, v := range []any{
		1, -1, "text", []byte{1}, true, 1.5, []any{1, "a", []any{}}, map[string]any{"a": []any{map[string]any{}}}, nested(maxDepth),
	} {
		got, err := parseHello(edit("from_the_future", v))
		if err != nil || !reflect.DeepEqual(got, aHello()) {
			t.Errorf("%v: %+v, %v", v, got, err)
		}
	}
	more := []any{"echo", 0, false, 0, 0, "a later field"}
	got, err := parseHello(edit("handlers", []any{more}))
	if err != nil || len(got.Handlers) != 1 || got.Handlers[0].Name != "echo" {
		t.Errorf("handler with a later field: %+v, %v", got, err)
	}
	limits := map[string]any{"max_message": uint64(math.MaxUint64), "max_calls": 1, "stream_window": 1, "eager_window": 1, "a_later_limit": "x"}
	if got, err = parseHello(edit("limits", limits)); err != nil || got.Limits.MaxMessage != math.MaxInt32 {
		t.Errorf("later limit: %+v, %v", got, err)
	}
}

// Another version is told apart before any of its other keys are looked at.
func TestHelloOfAnotherVersion(t *testing.T) {
	for _, v := range []uint64{0, 2, math.MaxUint64} {
		b := edit("v", v)
		_, err := parseHello(b)
		var other errVersion
		if !errors.As(err, &other) || uint64(other) != v {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// What is malformed is refused, and the key is named (fault rows 23, 25, 26).
func TestMalformedHelloNamesTheKey(t *testing.T) {
	cases := map[string]struct {
		b    []byte
		want string
	}{
		"empty":            {nil, "hello is cut short"},
		"no map":           {msgp.AppendInt(nil, 1), "hello is of type"},
		"map of 2^32-1":    {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 'v', 1}, "hello counts 4294967295 elements"},
		"trailing byte":    {append(edit("x", 1), 0), "1 bytes after its end"},
		"key is no string": {[]byte{0x81, 1, 1}, "hello is of type"},
		"invalid byte":     {[]byte{0x81, 0xa1, 'x', 0xc1}, "hello: x"},
		"no version":       {edit("v", nil), "v is missing"},
		"no instance":      {edit("instance", nil), "instance is missing"},
		"no limits":        {edit("limits", nil), "limits lacks"},
	}
	for key, values := range map[string][]any{
		"v":        {"1", -1},
		"grid":     {1, []byte("ns/demo"), strings.Repeat("g", maxGrid+1)},
		"name":     {true, strings.Repeat("n", peers.MaxNameLength+1)},
		"to":       {[]any{}},
		"instance": {"text", []byte("short"), make([]byte, 17)},
		"token":    {1, []byte("short"), make([]byte, 15), make([]byte, 17)},
		"renew":    {1},
		"features": {"x", []any{1}, make([]any, maxFeatures+1)},
		"limits":   {[]any{}, map[string]any{"max_message": "1"}, map[string]any{"max_message": 1, "max_calls": 1, "stream_window": 1}},
		"crc":      {0},
		"epoch":    {-1, 1.5},
		"topology": {1},
		"handlers": {
			map[string]any{}, []any{"echo"}, []any{[]any{"echo", 0, false, 0}}, []any{[]any{1, 0, false, 0, 0}},
			[]any{[]any{"", 0, false, 0, 0}}, []any{[]any{strings.Repeat("n", wire.MaxHandlerName+1), 0, false, 0, 0}},
			[]any{[]any{"echo", 0, false, int64(math.MaxInt32 + 1), 0}}, []any{[]any{"echo", 0, 1, 0, 0}},
		},
		"from_the_future": {nested(maxDepth + 2)},
	} {
		for i, v := range values {
			cases[fmt.Sprintf("%s %d", key, i)] = struct {
				b    []byte
				want string
			}{edit(key, v), key}
		}
	}
	for name, c := range cases {
		if _, err := parseHello(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; it has to speak of %q", name, err, c.want)
		}
	}
	whole, _ := appendHello(nil, aHello(), testRoom)
	for cut := range whole {
		if _, err := parseHello(whole[:cut]); err == nil {
			t.Errorf("cut at %d: accepted", cut)
		}
	}
}

// The bytes of docs/protocol.md: they may never change for version 1.
func TestHelloIsFixed(t *testing.T) {
	b, _ := appendHello(nil, &hello{
		Grid: "g", Name: "a:1", To: "b:1", Instance: instanceID{1}, Limits: link.Side{MaxMessage: 1 << 26, MaxCalls: 16384, StreamWindow: 1 << 16, EagerWindow: 1 << 20, Eager: 1 << 18, MaxBatch: 1 << 18, MaxHeader: 1 << 12, MaxHandlers: 1 << 12},
		Handlers: []wire.Handler{{Name: "e", Number: 3}}, Epoch: 2, Topology: "full",
	}, testRoom)
	const want = "8da17601a467726964a167a46e616d65a3613a31a2746fa3623a31a8696e7374616e6365c41001000000000000000000000000000000a5746f6b656ec400a572656e6577c2a8666561747572657390a66c696d69747388ab6d61785f6d657373616765ce04000000a96d61785f63616c6c73cd4000ad73747265616d5f77696e646f77ce00010000ac65616765725f77696e646f77ce00100000a56561676572ce00040000a96d61785f6261746368ce00040000aa6d61785f686561646572cd1000ac6d61785f68616e646c657273cd1000a3637263c2a565706f636802a8746f706f6c6f6779a466756c6ca868616e646c6572739195a16503c20000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got %s", got)
	}
}

func TestGreeting(t *testing.T) {
	proof := [proofSize]byte{1, 2, 3}
	b := appendGreeting(greetRefusal, proof, []byte("body"))
	kind, gotProof, body, err := parseGreeting(b)
	if err != nil || kind != greetRefusal || gotProof != proof || string(body) != "body" {
		t.Fatalf("%d %x %q %v", kind, gotProof, body, err)
	}
	for bit := range len(b) * 8 {
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, _, _, err := parseGreeting(flipped); err == nil {
			t.Fatalf("bit %d flipped unseen", bit)
		}
	}
	for cut := range b {
		if _, _, _, err := parseGreeting(b[:cut]); err == nil {
			t.Fatalf("cut at %d unseen", cut)
		}
	}
}

func TestRefusalSurvivesARoundTrip(t *testing.T) {
	want := &refusal{Code: "not-a-peer", Message: "a sentence", Epoch: 7}
	b := encodeRefusal(want)
	got, err := parseRefusal(b)
	if err != nil || *got != *want {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, c := range map[string]*refusal{
		"no code":       {Message: "m"},
		"long code":     {Code: strings.Repeat("c", maxFeature+1)},
		"long sentence": {Code: "c", Message: strings.Repeat("m", maxSentence+1)},
	} {
		if _, err := parseRefusal(encodeRefusal(c)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzHello(f *testing.F) {
	whole, _ := appendHello(nil, aHello(), testRoom)
	f.Add(whole)
	f.Add(edit("from_the_future", nested(5)))
	f.Add(encodeRefusal(&refusal{Code: "c", Message: "m"}))
	f.Add(appendGreeting(greetHello, [proofSize]byte{}, whole))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, body, err := parseGreeting(b); err == nil {
			b = body
		}
		if r, err := parseRefusal(b); err == nil && (len(r.Message) > maxSentence || r.Code == "") {
			t.Fatalf("%+v", r)
		}
		h, err := parseHello(b)
		if err != nil {
			return
		}
		again, n := appendHello(nil, h, 1<<30)
		got, err := parseHello(again)
		if err != nil || n != len(h.Handlers) || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v became %+v, %v", h, got, err)
		}
	})
}
