package peers

import (
	"fmt"
	"strings"
)

// ParseFile reads a list that a person wrote: one name a line, in any order.
// Blank lines count for nothing, nor does what follows a '#'.
//
// It refuses, naming the line, an invalid name and one that stands twice; and
// an empty list, a list without self, and a last line without its line feed.
// The last is how a file that is still being written shows: node-1:90 may be
// the beginning of node-1:9000. A cut after a line feed does not show, so
// write to another name and rename.
func ParseFile(text []byte, self string) (List, error) {
	switch {
	case len(text) > MaxText:
		return List{}, fmt.Errorf("%w: %d bytes, allowed are %d", ErrMalformed, len(text), MaxText)
	case len(text) > 0 && text[len(text)-1] != '\n':
		return List{}, fmt.Errorf("%w: the last line has no line feed: the file may be half-written; end it with one", ErrMalformed)
	}
	var names []string
	lines := make(map[string]int) // by name
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		name := strings.TrimSpace(line)
		if name == "" {
			continue
		}
		if err := ValidName(name); err != nil {
			return List{}, fmt.Errorf("%w: line %d: %w", ErrMalformed, number, err)
		}
		if first, twice := lines[name]; twice {
			return List{}, fmt.Errorf("%w: line %d: %s stands in line %d already", ErrMalformed, number, quote(name), first)
		}
		lines[name] = number
		if names = append(names, name); len(names) > MaxNames {
			return List{}, fmt.Errorf("%w: line %d: more than %d names", ErrMalformed, number, MaxNames)
		}
	}
	if len(names) == 0 {
		return List{}, fmt.Errorf("%w: %d lines without a name", ErrEmpty, number)
	}
	l, err := NewList(names)
	if err != nil {
		return List{}, err
	}
	if !l.Contains(self) {
		return List{}, notListed(self, len(names))
	}
	return l, nil
}
