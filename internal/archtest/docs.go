package archtest

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s#]+)(#[^)\s]*)?\)`)
	makeCommand  = regexp.MustCompile("(?:`|^ {4}(?:sudo )?)(?:sudo )?make ([a-z][a-z0-9-]*)")
	makeTarget   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	testName     = regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z][A-Za-z0-9]*)`")
	testFunc     = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
)

// known is what documents may speak of.
type known struct {
	paths, targets, tests map[string]bool
}

func knownIn(files []*file) known {
	k := known{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	note := func(in map[string]bool, names *regexp.Regexp, text []byte) {
		for _, match := range names.FindAllSubmatch(text, -1) {
			in[string(match[1])] = true
		}
	}
	for _, f := range files {
		for name := f.path; name != "."; name = path.Dir(name) { // files and folders
			k.paths[name] = true
		}
		if f.path == "Makefile" {
			note(k.targets, makeTarget, f.text)
		}
		if f.isGo() && f.isTest() {
			note(k.tests, testFunc, f.text)
		}
	}
	return k
}

// checkDocs returns what a reader of a Markdown file would stumble over: links
// to files that are not there, commands that the Makefile does not have, and
// tests that are called otherwise by now.
func checkDocs(files []*file) []string {
	k := knownIn(files)
	var bad []string
	for _, f := range files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		number := 0
		for line := range strings.Lines(string(f.text)) {
			number++
			for _, match := range markdownLink.FindAllStringSubmatch(line, -1) {
				if to := match[1]; !strings.Contains(to, ":") && !k.paths[path.Join(f.dir(), to)] {
					bad = append(bad, fmt.Sprintf("%s:%d: link to %s, which is not there", f.path, number, to))
				}
			}
			for _, match := range testName.FindAllStringSubmatch(line, -1) {
				if !k.tests[match[1]] {
					bad = append(bad, fmt.Sprintf("%s:%d: no test is called %s", f.path, number, match[1]))
				}
			}
			for _, match := range makeCommand.FindAllStringSubmatch(line, -1) {
				if !k.targets[match[1]] {
					bad = append(bad, fmt.Sprintf("%s:%d: no target %s in the Makefile", f.path, number, match[1]))
				}
			}
		}
	}
	return bad
}
