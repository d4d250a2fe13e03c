package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// fieldReader reads fields of one JSON object. The first error stays; what is
// read after it is zero.
type fieldReader struct {
	fields map[string]json.RawMessage
	err    error
}

// take gives the value of a field, nil if there is none.
func (r *fieldReader) take(name string, required bool) json.RawMessage {
	value := r.fields[name]
	if value == nil && required {
		r.fail(name, "is missing")
	}
	if r.err != nil {
		return nil
	}
	return value
}

func (r *fieldReader) fail(name, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %s", name, why)
	}
}

func (r *fieldReader) number(name string) uint64 {
	value := r.take(name, true)
	if value == nil {
		return 0
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		r.fail(name, "is no integer from 0 on, without fraction and exponent")
	}
	return n
}

func (r *fieldReader) text(name string, required bool) string {
	value := r.take(name, required)
	if value == nil {
		return ""
	}
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		r.fail(name, "is no string")
		return ""
	}
	return *s
}

func (r *fieldReader) flag(name string) bool {
	value := r.take(name, false)
	if value == nil {
		return false
	}
	if s := string(value); s != "true" && s != "false" {
		r.fail(name, "is neither true nor false")
	}
	return string(value) == "true"
}

func (r *fieldReader) names(name string) []string {
	value := r.take(name, true)
	if value == nil {
		return nil
	}
	names := make([]string, 0, min(bytes.Count(value, []byte{','})+1, MaxNames))
	if err := eachMember(value, '[', func(_ string, member []byte) error {
		if len(names) == MaxNames {
			return fmt.Errorf("more than %d names", MaxNames)
		}
		s, err := unquote(member)
		names = append(names, s)
		return err
	}); err != nil {
		r.fail(name, err.Error())
	}
	return names
}

func (r *fieldReader) hints(name string) map[string]string {
	value := r.take(name, false)
	if value == nil {
		return nil
	}
	var hints map[string]string // of the size it will have: growing costs more than all else here
	size := min(bytes.Count(value, []byte{','})+1, MaxNames)
	if err := eachMember(value, '{', func(peer string, member []byte) error {
		if len(hints) == MaxNames {
			return fmt.Errorf("more than %d hints", MaxNames)
		}
		if _, twice := hints[peer]; twice {
			return errTwice
		}
		s, err := unquote(member)
		if hints == nil {
			hints = make(map[string]string, size)
		}
		hints[peer] = s
		return err
	}); err != nil {
		r.fail(name, err.Error())
	}
	return hints
}
