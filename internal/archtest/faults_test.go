package archtest

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rowsOf gives the rows of a page's tables by their first cell; one that names
// several numbers counts for each.
func rowsOf(page string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			rows[strings.TrimSpace(name)] = cells[len(cells)-2]
		}
	}
	return rows
}

// checkRows returns the rows that are missing from a page, or have neither a test
// nor a reason why there is none.
func checkRows(page string, names []string) []string {
	rows := rowsOf(page)
	var bad []string
	for _, name := range names {
		tests, ok := rows[name]
		switch {
		case !ok:
			bad = append(bad, name+" is not there")
		case !testName.MatchString(tests) && !notApplicable.MatchString(tests):
			bad = append(bad, name+" has neither a test nor a reason")
		}
	}
	return bad
}

var notApplicable = regexp.MustCompile(`not applicable: \S`)

func numbered(prefix string, first, last int) (names []string) {
	for n := first; n <= last; n++ {
		names = append(names, prefix+strconv.Itoa(n))
	}
	return names
}

// What may go wrong with log and audit has a test each: that those exist is held
// with all other names in documents.
func TestFaultsOfTheLogHaveTests(t *testing.T) {
	for name, rows := range map[string][]string{
		"faults.md":            numbered("", 75, 86),
		"field-history-log.md": slices.Concat(numbered("L", 1, 43), numbered("D", 1, 18)),
	} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, violation := range checkRows(string(text), rows) {
			t.Errorf("docs/%s: row %s", name, violation)
		}
	}
}

func TestRowsAreChecked(t *testing.T) {
	t.Parallel()
	page := "| row | what | tests |\n|---|---|---|\n| 1 | a | `TestA` |\n| 2, 3 | b | `TestB` |\n| 4 | c | |\n| 5 | d | not applicable: none |\n| 6 | `TestC` | not applicable: |\n"
	got := strings.Join(checkRows(page, numbered("", 1, 7)), "; ")
	if want := "4 has neither a test nor a reason; 6 has neither a test nor a reason; 7 is not there"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
