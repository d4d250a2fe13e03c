package wire

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

// every is one frame of each kind with every field of that kind set.
func every() []Frame {
	id, big := uint64(300), uint64(math.MaxUint64)
	return []Frame{
		{Kind: Request, Mine: true, ID: id, Timeout: 60000, Handler: 7, Header: []byte("h"), Body: []byte("body")},
		{Kind: Reply, ID: big, Body: []byte{0}},
		{Kind: Error, ID: id, Code: []byte("internal"), Message: []byte("no")},
		{Kind: Refused, ID: id, Code: []byte("overloaded"), Message: []byte("later")},
		{Kind: Open, Mine: true, ID: id, Timeout: 1, Handler: big, Body: []byte("payload")},
		{Kind: Data, Mine: true, ID: id, Body: []byte("x")},
		{Kind: End, ID: id},
		{Kind: Begin, Mine: true, Xfer: 9, Total: 1 << 40, Inner: Request, Ask: true, ID: id, Timeout: 5, Handler: 1, Header: []byte("hh")},
		{Kind: Begin, Xfer: 10, Total: 70000, Inner: List},
		{Kind: Chunk, Xfer: 9, Body: bytes.Repeat([]byte("c"), 70000)},
		{Kind: List, Body: []byte("{}")},
		{Kind: Cancel, Mine: true, ID: id, Code: []byte("canceled")},
		{Kind: Credit, Mine: true, ID: id, Msgs: 3, Bytes: 1500},
		{Kind: Grant, Xfer: 9},
		{Kind: Abort, Xfer: 9},
		{Kind: Ack, Total: big},
		{Kind: Ping, Total: 77},
		{Kind: Pong, Total: 77},
		{Kind: Drain},
		{Kind: Goodbye, Code: []byte("replaced"), Message: []byte("a newer link")},
		{Kind: Announce, Body: AppendHandlers(nil, []Handler{{Name: "echo", Number: 4}})},
	}
}

func equal(a, b Frame) bool {
	return a.Kind == b.Kind && a.Mine == b.Mine && a.ID == b.ID && a.Timeout == b.Timeout && a.Handler == b.Handler &&
		bytes.Equal(a.Header, b.Header) && bytes.Equal(a.Code, b.Code) && bytes.Equal(a.Message, b.Message) &&
		a.Msgs == b.Msgs && a.Bytes == b.Bytes && a.Xfer == b.Xfer && a.Total == b.Total && a.Inner == b.Inner && a.Ask == b.Ask &&
		bytes.Equal(a.Body, b.Body)
}

func TestEveryKindSurvivesARoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	var batch []byte
	for _, f := range every() {
		seen[f.Kind] = true
		before := len(batch)
		batch = Append(batch, &f)
		if got := len(batch) - before; got != Size(&f) {
			t.Errorf("%s: Size says %d, Append wrote %d", f.Kind, Size(&f), got)
		}
	}
	for k := range kindNames {
		if !seen[k] {
			t.Errorf("no frame of kind %s in this test", k)
		}
	}
	for _, want := range every() {
		var got Frame
		n, err := Parse(batch, &got)
		if err != nil {
			t.Fatalf("%s: %v", want.Kind, err)
		}
		if !equal(got, want) {
			t.Fatalf("%s: got %+v, want %+v", want.Kind, got, want)
		}
		batch = batch[n:]
	}
	if len(batch) != 0 {
		t.Fatalf("%d bytes left over", len(batch))
	}
}

// A frame cut at any byte is a violation, never a shorter frame (fault row 18).
func TestEveryCutIsAViolation(t *testing.T) {
	for _, f := range every() {
		whole := Append(nil, &f)
		if len(whole) > 200 {
			continue
		}
		for cut := range whole {
			var got Frame
			if n, err := Parse(whole[:cut], &got); err == nil {
				t.Errorf("%s cut at %d of %d parses as %d bytes", f.Kind, cut, len(whole), n)
			}
		}
	}
}

// Lengths that lie are refused before anything is allocated (fault rows 17, 18; field case 8).
func TestLyingLengthsAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"size 2^31":                  {byte(Reply), 0x80, 0x80, 0x80, 0x80, 0x08, 1},
		"size 2^32-1":                {byte(Reply), 0xff, 0xff, 0xff, 0xff, 0x0f, 1},
		"size 2^63":                  {byte(Reply), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 1},
		"size 2^64-1":                {byte(Reply), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1},
		"size overflows 64 bits":     {byte(Reply), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1},
		"header longer than frame":   {byte(Request), 5, 1, 0, 0, 200, 1},
		"code of 2^63":               {byte(Error), 11, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0},
		"bytes after the last field": {byte(End), 2, 1, 1},
		"unknown call kind":          {20, 0},
		"kind 0":                     {0, 0},
		"chunked end":                {byte(Begin), 4, 1, 1, byte(End), 1},
		"chunked chunk":              {byte(Begin), 4, 1, 1, byte(Chunk), 1},
		"chunked 255":                {byte(Begin), 4, 1, 1, 255, 1},
	} {
		var f Frame
		_, err := Parse(b, &f)
		if _, ok := errors.AsType[*ViolationError](err); !ok {
			t.Errorf("%s: got %v, want a violation", name, err)
		}
		if allocs := testing.AllocsPerRun(10, func() { _, _ = Parse(b, &f) }); allocs > 8 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// Later versions may add hints: an unknown steering kind is skipped whole (fault row 21).
func TestUnknownSteeringIsSkipped(t *testing.T) {
	b := append([]byte{100, 3, 9, 9, 9}, Append(nil, &Frame{Kind: Ping, Total: 5})...)
	var f Frame
	n, err := Parse(b, &f)
	if err != nil || n != 5 || f.Kind != 100 || f.Kind.Known() {
		t.Fatalf("got %d bytes, %+v, %v", n, f, err)
	}
	if _, err = Parse(b[n:], &f); err != nil || f.Kind != Ping || f.Total != 5 {
		t.Fatalf("after it: %+v, %v", f, err)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	b := Append(nil, &Frame{Kind: Request, Mine: true, ID: 1 << 40, Handler: 3, Timeout: 60000, Body: make([]byte, 512)})
	var f Frame
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(b, &f) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestSealFindsEveryFlippedBit(t *testing.T) {
	b := append(make([]byte, ChecksumSize), "a batch of frames"...)
	Seal(b)
	if got, err := Unseal(b); err != nil || string(got) != "a batch of frames" {
		t.Fatalf("got %q, %v", got, err)
	}
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := Unseal(b); err == nil {
			t.Fatalf("bit %d flipped unseen", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	if _, err := Unseal(b[:3]); err == nil {
		t.Fatal("three bytes have no checksum")
	}
}

func TestHandlersSurviveARoundTrip(t *testing.T) {
	want := []Handler{
		{Name: "echo", Number: 0},
		{Name: strings.Repeat("n", MaxHandlerName), Number: math.MaxUint64, Stream: true, In: math.MaxInt32, Out: 1},
	}
	var got []Handler
	if err := ParseHandlers(AppendHandlers(nil, want), func(h Handler) error { got = append(got, h); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("got %+v", got)
	}
	keep := func(Handler) error { return nil }
	for name, h := range map[string]Handler{
		"name too long":      {Name: strings.Repeat("n", MaxHandlerName+1)},
		"no name":            {},
		"capacity too large": {Name: "x", Stream: true, In: math.MaxInt32 + 1},
	} {
		if err := ParseHandlers(AppendHandlers(nil, []Handler{h}), keep); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	whole := AppendHandlers(nil, want[:1])
	for cut := 1; cut < len(whole); cut++ {
		if err := ParseHandlers(whole[:cut], keep); err == nil {
			t.Errorf("cut at %d: accepted", cut)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, fr := range every() {
		if b := Append(nil, &fr); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add([]byte{byte(Reply), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var got, again Frame
			n, err := Parse(b, &got)
			if err != nil {
				return
			}
			if n < 2 || n > len(b) {
				t.Fatalf("took %d of %d", n, len(b))
			}
			if got.Kind.Known() { // what parses, appends to something that parses to the same
				if _, err := Parse(Append(nil, &got), &again); err != nil || !equal(got, again) {
					t.Fatalf("%+v became %+v, %v", got, again, err)
				}
			}
			b = b[n:]
		}
	})
}

func FuzzParseHandlers(f *testing.F) {
	f.Add(AppendHandlers(nil, []Handler{{Name: "echo", Number: 300, Stream: true, In: 1, Out: 2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = ParseHandlers(b, func(h Handler) error {
			if h.Name == "" || len(h.Name) > MaxHandlerName {
				t.Fatalf("name %q", h.Name)
			}
			return nil
		})
	})
}
