package entry

import (
	"math"
	"testing"
	"time"
)

// FuzzAppendDuration: what is appended is what String gives.
func FuzzAppendDuration(f *testing.F) {
	for _, d := range []time.Duration{
		0, 1, -1, 999, time.Microsecond, 1001, 1100 * time.Nanosecond, time.Millisecond, 1500 * time.Microsecond,
		time.Second, time.Second + 1, time.Minute, time.Minute + time.Millisecond, time.Hour, 25*time.Hour + 61*time.Second,
		math.MaxInt64, math.MinInt64, math.MinInt64 + 1,
	} {
		f.Add(int64(d))
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if got := string(AppendDuration([]byte("x"), time.Duration(n))); got != "x"+time.Duration(n).String() {
			t.Errorf("%s, want %s", got[1:], time.Duration(n))
		}
	})
}
