package telemetry

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/settings"
)

// Size is a number of bytes. As text it is such as 64MiB, or as Kubernetes
// writes it, 64Mi or 64M.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) || err == nil && n > math.MaxInt64/unit.bytes:
			return errors.New("too large a number")
		case err != nil || n < 0:
			return errors.New("not a size, such as 512KiB or 64MiB")
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return nil // "" is a suffix of everything
}

// MarshalText writes a size in the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string { return settings.Size(int64(s)) }

// Duration is a time, as time.ParseDuration reads it.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("not a duration, such as 500ms, 30s or 1h30m")
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return settings.Short(time.Duration(d)) }
