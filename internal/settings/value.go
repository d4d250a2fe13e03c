package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

type shape int

const (
	single   shape = iota // one value
	toggle                // true or false; as a flag it needs no value
	list                  // several, separated by commas; a sequence in YAML
	pairs                 // several name=value, separated by commas; a mapping in YAML
	document              // whatever YAML there is; as text elsewhere
)

// Value is the type of a setting: how it is parsed, into which variable, and
// what is allowed. The variable is written only by Table.Load.
type Value struct {
	shape   shape
	metavar string // stands for the value in --help
	allowed string // completes "allowed: …"
	set     func(parts []string) error
	now     func() string // what the variable holds, to compare
}

// one makes a Value that takes exactly one part.
func one[T any](p *T, metavar, allowed string, set func(string) error) Value {
	return Value{metavar: metavar, allowed: allowed, now: func() string { return fmt.Sprint(*p) }, set: func(parts []string) error {
		if len(parts) != 1 {
			return fmt.Errorf("%d values", len(parts))
		}
		return set(parts[0])
	}}
}

// String is any text that check passes; a nil check passes all.
func String(p *string, metavar, allowed string, check func(string) error) Value {
	return one(p, metavar, allowed, func(text string) error {
		if check != nil {
			if err := check(text); err != nil {
				return err
			}
		}
		*p = text
		return nil
	})
}

// Path is the name of a file or folder. Whether it is there is seen when it is
// read: it may come later.
func Path(p *string, metavar, allowed string) Value { return String(p, metavar, allowed, nil) }

// Address is host:port to listen on or to dial; the host may be left out.
func Address(p *string) Value {
	return String(p, "HOST:PORT", "host:port or :port, such as 127.0.0.1:7701", CheckAddress)
}

// CheckAddress says what is wrong with a host:port of which the host may be empty.
func CheckAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		if addr := (*net.AddrError)(nil); errors.As(err, &addr) {
			return errors.New(addr.Err)
		}
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port %q is not a number from 0 to 65535", port)
	}
	return nil
}

// Choice is one of some words.
func Choice(p *string, options ...string) Value {
	allowed := strings.Join(options[:len(options)-1], ", ") + " or " + options[len(options)-1]
	return one(p, strings.Join(options, "|"), allowed, func(text string) error {
		if !slices.Contains(options, text) {
			return errors.New("not one of them")
		}
		*p = text
		return nil
	})
}

// Switch is true or false.
func Switch(p *bool) Value {
	v := one(p, "", "true or false", func(text string) error {
		if text != "true" && text != "false" {
			return errors.New("neither")
		}
		*p = text == "true"
		return nil
	})
	v.shape = toggle
	return v
}

// Duration is a length of time between least and most.
func Duration(p *time.Duration, least, most time.Duration) Value {
	return one(p, "DURATION", fmt.Sprintf("a duration from %s to %s, such as 500ms, 30s or 1h30m", Short(least), Short(most)), func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil {
			if _, number := strconv.ParseFloat(text, 64); number == nil {
				return errors.New("the unit is missing")
			}
			return errors.New("not a duration")
		}
		if d < least || d > most {
			return errors.New("out of range")
		}
		*p = d
		return nil
	})
}

// Short writes a duration as people do: 1h, not 1h0m0s.
func Short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Int is a whole number between least and most.
func Int(p *int, least, most int) Value {
	return one(p, "NUMBER", fmt.Sprintf("a whole number from %d to %d", least, most), func(text string) error {
		n, err := strconv.Atoi(text)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return errors.New("out of range")
		case err != nil:
			return errors.New("not a whole number")
		case n < least || n > most:
			return errors.New("out of range")
		}
		*p = n
		return nil
	})
}

// Bytes is a size between least and most.
func Bytes(p *int64, least, most int64) Value {
	return one(p, "SIZE", fmt.Sprintf("a size from %s to %s, such as 512KiB or 64MiB", Size(least), Size(most)), func(text string) error {
		n, err := parseBytes(text)
		if err != nil {
			return err
		}
		if n < least || n > most {
			return errors.New("out of range")
		}
		*p = n
		return nil
	})
}

var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseBytes(text string) (int64, error) {
	factor, digits := int64(1), text
	for _, unit := range units {
		if rest, ok := strings.CutSuffix(text, unit.name); ok {
			factor, digits = unit.bytes, rest
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if errors.Is(err, strconv.ErrRange) || n > math.MaxInt64/factor || n < 0 {
		return 0, errors.New("out of range")
	}
	if err != nil {
		return 0, errors.New("not a size; the units are B, KiB, MiB, GiB and TiB")
	}
	return n * factor, nil
}

// Size writes a number of bytes in the largest unit that divides it.
func Size(n int64) string {
	for _, unit := range units {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// List is several texts, each of which check passes.
func List(p *[]string, metavar, allowed string, check func(string) error) Value {
	return Value{shape: list, metavar: metavar, allowed: allowed, now: func() string { return strings.Join(*p, ",") }, set: func(parts []string) error {
		var all []string
		for _, part := range parts {
			part = strings.TrimSpace(part)
			if part == "" {
				return errors.New("an entry is empty")
			}
			if check != nil {
				if err := check(part); err != nil {
					return err
				}
			}
			all = append(all, part)
		}
		*p = all
		return nil
	}}
}

// Pairs is several name=value, each of which check passes.
func Pairs(p *map[string]string, metavar, allowed string, check func(name, value string) error) Value {
	return Value{shape: pairs, metavar: metavar, allowed: allowed, now: func() string { return fmt.Sprint(*p) }, set: func(parts []string) error {
		all := make(map[string]string, len(parts))
		for _, part := range parts {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				return fmt.Errorf("%q has no =", part)
			}
			if _, twice := all[name]; twice {
				return fmt.Errorf("%q is there twice", name)
			}
			if check != nil {
				if err := check(name, value); err != nil {
					return err
				}
			}
			all[name] = value
		}
		*p = maps.Clone(all)
		return nil
	}}
}

// Document is more than one value: in the file it stands as it is, in a flag or a
// variable as text of YAML or JSON. The errors of parse may come joined; those
// that are Keyed say which key of the document they are about. No error shows
// what was written: there may be secrets among it.
func Document[T any](p *T, allowed string, parse func(text []byte) (T, error)) Value {
	return Value{
		shape: document, metavar: "YAML", allowed: allowed,
		now: func() string {
			text, err := json.Marshal(*p)
			if err != nil {
				return err.Error()
			}
			return string(text)
		},
		set: func(parts []string) error {
			v, err := parse([]byte(parts[0]))
			if err == nil {
				*p = v
			}
			return err
		},
	}
}

// split cuts what stands in a flag, a variable or a scalar of the file.
func (v Value) split(text string) []string {
	if v.shape == list || v.shape == pairs {
		return strings.Split(text, ",")
	}
	return []string{text}
}
