package entry

import (
	"testing"
	"time"
)

func BenchmarkTime(b *testing.B) {
	buf, now := make([]byte, 0, 64), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendTime(buf[:0], now)
	}
}

func BenchmarkString(b *testing.B) {
	for name, s := range map[string]string{"plain": "node-1.demo.default.svc:7700", "escaped": "no \"route\"\nto host é"} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendString(buf[:0], s)
			}
		})
	}
}
