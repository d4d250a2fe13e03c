package archtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// update writes the table of line counts in README.md anew.
var update = flag.Bool("update", false, "write the table of line counts in README.md anew")

const (
	readme = "../../README.md"
	// roomToGrow is how far a package may move from what README.md says of it,
	// in percent of that and in lines, before somebody has to look at the table.
	roomToGrow, roomAtLeast = 10, 50
)

// count is the lines of a package, comments and blank ones too.
type count struct{ code, tests int }

// countLines counts the hand-written Go of each package.
func countLines(files []*file) map[string]count {
	counts := map[string]count{}
	for _, f := range files {
		if !f.isGo() || f.isGenerated() {
			continue
		}
		c := counts[f.dir()]
		if f.isTest() {
			c.tests += f.lines()
		} else {
			c.code += f.lines()
		}
		counts[f.dir()] = c
	}
	return counts
}

var lineRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| (\\d+) \\| (\\d+) \\|\n")

// checkLineCounts returns the packages that README.md does not know, knows
// without reason, or knows with other counts than they have.
func checkLineCounts(page string, counts map[string]count) []string {
	var bad []string
	told := map[string]count{}
	for _, row := range lineRow.FindAllStringSubmatch(page, -1) {
		code, _ := strconv.Atoi(row[2]) // digits only
		tests, _ := strconv.Atoi(row[3])
		told[row[1]] = count{code, tests}
		if _, ok := counts[row[1]]; !ok {
			bad = append(bad, row[1]+" is in the table, and there is no such package")
		}
	}
	for dir, c := range counts {
		was, ok := told[dir]
		switch room := max(was.code*roomToGrow/100, roomAtLeast); {
		case !ok:
			bad = append(bad, dir+" is not in the table")
		case c.code > was.code+room || c.code < was.code-room:
			bad = append(bad, fmt.Sprintf("%s has %d lines, the table says %d: is that worth it?", dir, c.code, was.code))
		}
	}
	return sorted(bad)
}

// The size of each package is published, so that its growth is noticed.
func TestReadmeCountsTheLines(t *testing.T) {
	files, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	counts := countLines(files)
	if *update {
		var rows strings.Builder
		for _, dir := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&rows, "| `%s` | %d | %d |\n", dir, counts[dir].code, counts[dir].tests)
		}
		at := lineRow.FindAllIndex(text, -1)
		if len(at) == 0 {
			t.Fatal("README.md has no table of line counts")
		}
		text = slices.Concat(text[:at[0][0]], []byte(rows.String()), text[at[len(at)-1][1]:])
		if err := os.WriteFile(readme, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, violation := range checkLineCounts(string(text), counts) {
		t.Errorf("README.md: %s (go test ./internal/archtest -run Readme -update)", violation)
	}
}

func TestLineCountsAreChecked(t *testing.T) {
	t.Parallel()
	page := "| `pkg/a` | 1000 | 5 |\n| `pkg/b2` | 10 | 0 |\n"
	for name, c := range map[string]struct {
		counts map[string]count
		want   string
	}{
		"as told":        {map[string]count{"pkg/a": {1000, 5}, "pkg/b2": {10, 0}}, ""},
		"within bounds":  {map[string]count{"pkg/a": {1100, 99}, "pkg/b2": {60, 0}}, ""},
		"grown":          {map[string]count{"pkg/a": {1101, 5}, "pkg/b2": {10, 0}}, "pkg/a has 1101 lines, the table says 1000: is that worth it?"},
		"grown from few": {map[string]count{"pkg/a": {1000, 5}, "pkg/b2": {61, 0}}, "pkg/b2 has 61 lines, the table says 10: is that worth it?"},
		"shrunk":         {map[string]count{"pkg/a": {899, 5}, "pkg/b2": {10, 0}}, "pkg/a has 899 lines, the table says 1000: is that worth it?"},
		"new":            {map[string]count{"pkg/a": {1000, 5}, "pkg/b2": {10, 0}, "pkg/c": {1, 0}}, "pkg/c is not in the table"},
		"gone":           {map[string]count{"pkg/a": {1000, 5}}, "pkg/b2 is in the table, and there is no such package"},
	} {
		if got := strings.Join(checkLineCounts(page, c.counts), "\n"); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
