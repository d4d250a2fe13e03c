package peers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// errTwice refuses a name that stands twice in an object: readers disagree about
// which of them counts.
var errTwice = errors.New("stands twice")

const jsonSpace = " \t\r\n"

// eachMember calls member for each member of a JSON array or object, which of
// them open says, with the text of its value. text must be JSON as json.Valid has
// it, so only the kind of what is met is looked at. A list has thousands of
// members, and each node of a mesh reads each list: json.Decoder makes four
// objects for each of them, one an error.
func eachMember(text []byte, open byte, member func(name string, value []byte) error) error {
	text = bytes.TrimLeft(text, jsonSpace)
	if len(text) == 0 || text[0] != open {
		return fmt.Errorf("is no JSON value that opens with %q", string(open))
	}
	rest := bytes.TrimLeft(text[1:], jsonSpace)
	for n := 0; len(rest) > 0 && rest[0] != ']' && rest[0] != '}'; n++ {
		var name string
		var value []byte
		if open == '{' {
			var err error
			value, rest = cutValue(rest)
			if name, err = unquote(value); err != nil {
				return err
			}
			rest = bytes.TrimLeft(rest, jsonSpace+":")
		}
		value, rest = cutValue(rest)
		if err := member(name, value); err != nil {
			if open == '[' {
				name = strconv.Itoa(n)
			}
			if errors.Is(err, errTwice) {
				return fmt.Errorf("%s %w", quote(name), err)
			}
			return fmt.Errorf("%s: %w", quote(name), err)
		}
		rest = bytes.TrimLeft(rest, jsonSpace+",")
	}
	return nil
}

// cutValue takes the value that text, a piece of JSON, begins with.
func cutValue(text []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringLength(text[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 { // a number or a word ends with what it is in
				return text[:i], text[i:]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return text[:i], text[i:]
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return text[:i+1], text[i+1:]
		}
	}
	return text, nil
}

// stringLength is how long the JSON string is that text begins with.
func stringLength(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// unquote reads a JSON string.
func unquote(value []byte) (string, error) {
	if len(value) < 2 || value[0] != '"' {
		return "", errors.New("is no string")
	}
	inner := value[1 : len(value)-1]
	for _, c := range inner {
		if c == '\\' || c >= utf8.RuneSelf {
			var s string
			err := json.Unmarshal(value, &s)
			return s, err
		}
	}
	return string(inner), nil
}
