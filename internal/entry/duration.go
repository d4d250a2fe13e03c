package entry

import (
	"math"
	"strconv"
	"time"
)

// AppendDuration appends d as its String method writes it.
func AppendDuration(b []byte, d time.Duration) []byte {
	if d == math.MinInt64 { // it has no opposite
		return append(b, d.String()...)
	}
	if d < 0 {
		b, d = append(b, '-'), -d
	}
	switch {
	case d == 0:
		return append(b, "0s"...)
	case d < time.Microsecond:
		return append(strconv.AppendInt(b, int64(d), 10), "ns"...)
	case d < time.Millisecond:
		return append(appendFraction(b, d, time.Microsecond), "µs"...)
	case d < time.Second:
		return append(appendFraction(b, d, time.Millisecond), "ms"...)
	}
	if d >= time.Hour {
		b = append(strconv.AppendInt(b, int64(d/time.Hour), 10), 'h')
	}
	if d >= time.Minute {
		b = append(strconv.AppendInt(b, int64(d/time.Minute%60), 10), 'm')
	}
	return append(appendFraction(b, d%time.Minute, time.Second), 's')
}

// appendFraction appends d in units, with as many decimals as it has.
func appendFraction(b []byte, d, unit time.Duration) []byte {
	b = strconv.AppendInt(b, int64(d/unit), 10)
	rest := d % unit
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for ; rest > 0; rest %= unit {
		unit /= 10
		b = append(b, byte('0'+rest/unit))
	}
	return b
}
