package entry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                       `""`,
		"plain <b>&éя😀":          `"plain <b>&éя😀"`,
		"a\"b\\c":                `"a\"b\\c"`,
		"line\nnext\r\ttab":      `"line\nnext\r\ttab"`,
		"\x1b[31mred\x1b[0m\x00": `"\u001b[31mred\u001b[0m\u0000"`,
		"del\x7f c1\u0085\u009b": `"del\u007f c1\u0085\u009b"`,
		"\u2028 \u202e \ufeff":   `"\u2028 \u202e \ufeff"`,
		"bad\xff utf8\xc3":       `"bad\ufffd utf8\ufffd"`,
		"fine \ufffd":            `"fine \ufffd"`,
	} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// TestMaxField: below, at and above, and never in the middle of a rune
// (faults.md 84).
func TestMaxField(t *testing.T) {
	for _, c := range []struct {
		in   string
		tail string
	}{
		{strings.Repeat("x", MaxField-1), `x"`},
		{strings.Repeat("x", MaxField), `x"`},
		{strings.Repeat("x", MaxField+1), `x… 1 bytes more"`},
		{strings.Repeat("x", MaxField-1) + "é", `x… 2 bytes more"`},
		{strings.Repeat("😀", MaxField), `😀… 196608 bytes more"`},
	} {
		got := string(AppendString(nil, c.in))
		if !strings.HasSuffix(got, c.tail) || len(got) > MaxField+40 {
			t.Errorf("%d bytes: %d bytes that end in %q", len(c.in), len(got), got[len(got)-30:])
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%d bytes: no JSON", len(c.in))
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "\x1b[2J", "\xff\xfe", "\u202e", `"},{"id":"forged`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if len(s) <= MaxField && utf8.ValidString(s) && back != s {
			t.Fatalf("%q became %q", s, back)
		}
		for _, r := range string(got) {
			if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError || r == 0x2028 {
				t.Fatalf("%q holds %q", got, r)
			}
		}
	})
}

func TestAppendTime(t *testing.T) {
	east := time.FixedZone("east", 5*3600+1800)
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(1772359200, 1), time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(2026, 1, 1, 3, 4, 5, 60_000_000, east), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got := string(AppendTime(nil, at))
		if want := at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00"); got != want || len(got) != TimeLength {
			t.Errorf("got %s, want %s", got, want)
		}
		if back, err := time.Parse(time.RFC3339Nano, got); err != nil || !back.Equal(at) {
			t.Errorf("%s came back as %v, %v", got, back, err)
		}
	}
	if got := string(AppendTime(nil, time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC))); len(got) != TimeLength {
		t.Errorf("got %s", got)
	}
}

// TestSecond: the same as without a memory, in whatever order times come.
func TestSecond(t *testing.T) {
	var s Second
	base := time.Unix(0, 0)
	for _, at := range []time.Time{
		base, base.Add(1), base.Add(999_999_999), base.Add(time.Second), base, base.Add(-1), {},
		time.Date(12345, 1, 1, 0, 0, 0, 7, time.UTC), time.Date(2026, 1, 1, 3, 4, 5, 60_000_000, time.FixedZone("east", 5*3600+1800)), time.Date(2025, 12, 31, 21, 34, 5, 7, time.UTC), base,
	} {
		if got, want := string(s.Append([]byte("x"), at)), string(AppendTime([]byte("x"), at)); got != want {
			t.Errorf("%v: got %s, want %s", at, got, want)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	b := make([]byte, 0, 1<<10)
	now := time.Now()
	var s Second
	if n := testing.AllocsPerRun(100, func() { b = s.Append(AppendTime(AppendString(b[:0], "a\nb é"), now), now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
