package settings

import (
	"fmt"
	"strings"
)

// Error is one thing that was refused.
type Error struct {
	Name    string // of the setting; what was written, if there is no such setting
	Value   string // what was written; "" where the name is already wrong
	Source  Source
	Reason  string // what is wrong
	Allowed string // what is allowed; "" if nothing of that name is
}

// Keyed is an error about one key of a Document.
type Keyed interface {
	error
	Key() (path, reason string)
}

// Error says it all on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Name)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %.200q", e.Value)
	}
	fmt.Fprintf(&b, " (%s): %s", e.Source, e.Reason)
	if e.Allowed != "" {
		fmt.Fprintf(&b, "; allowed: %s", e.Allowed)
	}
	return b.String()
}

// meant completes "unknown setting" with the name that was probably meant.
func meant(written string, known []string) string {
	best, least := "", len(written)/3+2 // as many typing mistakes as leave a name recognizable
	for _, name := range known {
		if d := distance(written, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the letters to add, drop or change to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
