// Package entry writes the parts of an entry of log or audit as JSON: strings
// that nothing can break out of, times to the nanosecond. It appends to buffers
// and allocates nothing.
//
// internal/logger and internal/audit put entries together from it; what goes to
// a person's terminal is quoted by the same rules.
package entry

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxField is how many bytes of a string an entry holds; the rest is cut, and
// that it was is said. It keeps whoever is logged from filling the disk.
const MaxField = 64 << 10

const hex = "0123456789abcdef"

// plain are the bytes that stand for themselves in a string: of ASCII all but
// controls, quotes and backslashes. Most strings that are logged have no others.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func isPlain(s string) bool {
	for i := range len(s) {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

// AppendString appends s as a JSON string: no control character, nothing that
// is not UTF-8, and at most MaxField bytes of it.
func AppendString(b []byte, s string) []byte {
	if len(s) <= MaxField && isPlain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	cut := 0
	if len(s) > MaxField {
		end := MaxField
		for end > MaxField-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], len(s)-end
	}
	b = appendEscaped(append(b, '"'), s)
	if cut > 0 {
		b = append(b, "… "...)
		b = strconv.AppendInt(b, int64(cut), 10)
		b = append(b, " bytes more"...)
	}
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	start := 0 // of what can be copied as it is
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r != utf8.RuneError && !breaks(r) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		if size == 1 {
			r = utf8.RuneError
		}
		b = append(b, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
		i += size
		start = i
	}
	return append(b, s[start:]...)
}

// AppendJSON appends a JSON document that somebody else has made, and escapes in
// it what AppendString would: such can stand in its strings only. Below 0x7f its
// maker had to.
func AppendJSON(b, document []byte) []byte {
	start := 0 // of what can be copied as it is
	for i := 0; i < len(document); {
		if document[i] < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(document[i:])
		if r != utf8.RuneError && !breaks(r) {
			i += size
			continue
		}
		b = append(b, document[start:i]...)
		b = append(b, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
		i += size
		start = i
	}
	return append(b, document[start:]...)
}

// breaks reports runes that are no letters to a terminal, or end a line for
// some readers: C1 controls, separators, and what turns the writing direction.
func breaks(r rune) bool {
	return r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

// TimeLength is the length of what AppendTime appends.
const TimeLength = len("2006-01-02T15:04:05.000000000Z")

// AppendTime appends a time in UTC, RFC 3339 with all nine digits of the
// nanoseconds, so that times sort as text.
func AppendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		year = 0 // no year that RFC 3339 can say
	}
	b = append(b,
		byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10), 'T',
		byte('0'+hour/10), byte('0'+hour%10), ':', byte('0'+minute/10), byte('0'+minute%10), ':',
		byte('0'+second/10), byte('0'+second%10), '.')
	nanos := t.Nanosecond()
	for div := 100_000_000; div > 0; div /= 10 {
		b = append(b, byte('0'+nanos/div%10))
	}
	return append(b, 'Z')
}

// A Second remembers how the second of a time is written: that of most entries is
// the second of the one before. The zero value is ready. It is not safe for
// concurrent use.
type Second struct {
	unix  int64
	text  [TimeLength]byte
	known bool
}

// nanosAt is where the digits of the nanoseconds begin.
const nanosAt = len("2006-01-02T15:04:05.")

// Append appends a time as AppendTime does.
func (s *Second) Append(b []byte, t time.Time) []byte {
	if unix := t.Unix(); unix != s.unix || !s.known {
		AppendTime(s.text[:0], t)
		s.unix, s.known = unix, true
	}
	nanos := uint32(t.Nanosecond())
	digits := s.text[nanosAt:]
	for i := 8; i >= 0; i-- {
		digits[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return append(b, s.text[:]...)
}
