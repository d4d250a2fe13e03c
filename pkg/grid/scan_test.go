package grid

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// arrays gives n arrays within each other.
func arrays(n int) []byte {
	return append(bytes.Repeat([]byte{0x91}, n-1), 0x90)
}

func TestScan(t *testing.T) {
	long := func(head byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{head}, n) }
	for _, c := range []struct {
		name string
		b    []byte
		want string // of the error; empty: it is well-formed
	}{
		{"empty", nil, "cut short: 1 values are to come at byte 0, only 0 bytes"},
		{"nil", []byte{0xc0}, ""},
		{"never used", []byte{0xc1}, "0xc1 at byte 0, which begins no msgpack value"},
		{"never used, inside", []byte{0x92, 0x01, 0xc1}, "0xc1 at byte 2"},
		{"small integers", []byte{0x93, 0x00, 0x7f, 0xe0}, ""},
		{"two values", []byte{0xc2, 0xc3}, "1 bytes after its end"},
		{"bytes after a map", []byte{0x80, 0x80, 0x80}, "2 bytes after its end"},
		{"empty map", []byte{0x80}, ""},
		{"map without a value", []byte{0x81, 0xa0}, "counts 2 values at byte 0, only 1 bytes are left"},
		{"array a byte short", []byte{0x93, 0x01, 0x01}, "counts 3 values at byte 0, only 2"},
		{"array cut within", []byte{0x93, 0x91, 0x01, 0x01}, "cut short: 3 values are to come at byte 2, only 2 bytes"},
		{"string", []byte{0xa2, 'h', 'i'}, ""},
		{"string a byte short", []byte{0xa3, 'h', 'i'}, "the value at byte 0 has 4 bytes, only 3 are left"},
		{"str8", []byte{0xd9, 1, 'h'}, ""},
		{"str8 without length", []byte{0xd9}, "cut short"},
		{"str16", []byte{0xda, 0, 1, 'h'}, ""},
		{"str16 with half a length", []byte{0xda, 0}, "cut short"},
		{"str32", append(long(0xdb, 1), 'h'), ""},
		{"str32 of 4 GiB", long(0xdb, math.MaxUint32), "has 4294967300 bytes, only 5 are left"},
		{"bin8", []byte{0xc4, 1, 0}, ""},
		{"bin16", []byte{0xc5, 0, 1, 0}, ""},
		{"bin32", append(long(0xc6, 1), 0), ""},
		{"bin32 of 4 GiB", long(0xc6, math.MaxUint32), "cut short"},
		{"ext8", []byte{0xc7, 1, 5, 0}, ""},
		{"ext8 without its type", []byte{0xc7, 0}, "cut short"},
		{"ext16", []byte{0xc8, 0, 1, 5, 0}, ""},
		{"ext32", append(long(0xc9, 1), 5, 0), ""},
		{"fixext1", []byte{0xd4, 5, 0}, ""},
		{"fixext16", append([]byte{0xd8, 5}, make([]byte, 16)...), ""},
		{"fixext16, short", append([]byte{0xd8, 5}, make([]byte, 15)...), "cut short"},
		{"float32", []byte{0xca, 0, 0, 0, 0}, ""},
		{"float64", append([]byte{0xcb}, make([]byte, 8)...), ""},
		{"uint8 to uint64", []byte{0x94, 0xcc, 0, 0xcd, 0, 0, 0xce, 0, 0, 0, 0, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		{"int8 to int64", []byte{0x94, 0xd0, 0, 0xd1, 0, 0, 0xd2, 0, 0, 0, 0, 0xd3, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		{"array16", []byte{0xdc, 0, 1, 0xc0}, ""},
		{"array16 with half a length", []byte{0xdc, 0}, "cut short"},
		{"array32", append(long(0xdd, 1), 0xc0), ""},
		{"array32 of 4 G", long(0xdd, math.MaxUint32), "counts 4294967295 values at byte 0, only 0"},
		{"map16", []byte{0xde, 0, 1, 0xa0, 0xc0}, ""},
		{"map32", append(long(0xdf, 1), 0xa0, 0xc0), ""},
		{"map32 of 4 G", long(0xdf, math.MaxUint32), "counts 8589934590 values at byte 0, only 0"},
		{"counts that are true alone but not together", []byte{0x92, 0x93, 0x01, 0x01, 0x01}, "4 values are to come at byte 2, only 3 bytes"},
		{"deep", arrays(maxNesting), ""},
		{"deeper by one", arrays(maxNesting + 1), "deeper than 64 levels"},
		{"deeper by one, after a shallow part", append([]byte{0x92, 0xc0}, arrays(maxNesting)...), "deeper than 64 levels"},
		{"wide, not deep", append([]byte{0xdc, 1, 0}, bytes.Repeat([]byte{0x90}, 256)...), ""},
	} {
		err := scan(c.b)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}

// TestScanAllocatesNothing: what is well-formed passes without memory of scan's own.
func TestScanAllocatesNothing(t *testing.T) {
	wide := append(binary.BigEndian.AppendUint32([]byte{0xdd}, 1<<16), bytes.Repeat([]byte{0x91, 0xc0}, 1<<16)...)
	if n := testing.AllocsPerRun(10, func() {
		if err := scan(wide); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("scan allocates %v times", n)
	}
}

func BenchmarkScan(b *testing.B) {
	msg := msgp.AppendMapHeader(nil, 8)
	for _, key := range []string{"name", "size", "data", "words", "labels", "children", "any", "more"} {
		msg = msgp.AppendString(msg, key)
		msg = msgp.AppendInt64(msg, 123456)
	}
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if err := scan(msg); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzScan compares scan with msgp's own walk over a message: they agree on
// everything but depth, where ours stops earlier.
func FuzzScan(f *testing.F) {
	for _, seed := range [][]byte{
		nil, {0xc0}, {0xc1}, {0x92, 0xc0}, {0x81, 0xa1, 'a', 0x93, 1, 2, 3}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0, 1, 0x31, 0x2d},
		{0xc7, 2, 5, 0, 0}, {0xd9, 1, 'x'}, {0xcb, 0, 0, 0, 0, 0, 0, 0, 0}, arrays(64), arrays(65), {0xd6, 0xff, 1, 2, 3, 4},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := msgp.Skip(b)
		whole := err == nil && len(rest) == 0
		got := scan(b)
		switch {
		case got == nil && !whole:
			t.Fatalf("%x: scan passes it; msgp leaves %d bytes and says %v", b, len(rest), err)
		case got != nil && whole && levels(b) <= maxNesting:
			t.Fatalf("%x: scan says %v; msgp takes it, %d levels", b, got, levels(b))
		}
	})
}

// levels is how deep the well-formed message b is nested.
func levels(b []byte) int {
	var walk func() int
	walk = func() int {
		size, values := valueAt(b)
		b = b[size:]
		if values == scalar {
			return 0
		}
		deepest := 0
		for range values {
			deepest = max(deepest, walk())
		}
		return deepest + 1
	}
	return walk()
}
