package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxLines     = 600 // of a file; one noun takes half of it
	maxTestLines = 800
	maxMainLines = 60 // of cmd/*/main.go
)

// checkSizes returns every hand-written Go file that is too long.
func checkSizes(files []*file) []string {
	var bad []string
	for _, f := range files {
		limit := maxLines
		if f.isTest() {
			limit = maxTestLines
		}
		if f.isGo() && !f.isGenerated() && f.lines() > limit {
			bad = append(bad, fmt.Sprintf("%s: %d lines, the limit is %d: is it really one noun?", f.path, f.lines(), limit))
		}
	}
	return bad
}

// checkPrograms returns what makes a folder of cmd/ more than flags and a call:
// another file than main.go, or a long one.
func checkPrograms(files []*file) []string {
	var bad []string
	for _, f := range files {
		if !f.isGo() || f.isTest() || !inFolder(f.dir(), "cmd") {
			continue
		}
		name := path.Base(f.path)
		switch {
		case strings.Count(f.path, "/") != 2 || name != "main.go" && name != "doc.go":
			bad = append(bad, f.path+": cmd/*/ holds main.go and doc.go only; logic lives in internal/")
		case f.lines() > maxMainLines:
			bad = append(bad, fmt.Sprintf("%s: %d lines, the limit is %d: logic lives in internal/", f.path, f.lines(), maxMainLines))
		}
	}
	return bad
}

// checkPackageComments returns every package that does not say what it is; of
// what is generated as a whole, its generator speaks.
func checkPackageComments(files []*file) []string {
	documented := make(map[string]bool)
	for _, f := range files {
		if f.isGo() && !f.isTest() && !f.isGenerated() {
			documented[f.dir()] = documented[f.dir()] || strings.TrimSpace(f.ast.Doc.Text()) != ""
		}
	}
	var bad []string
	for _, dir := range slices.Sorted(maps.Keys(documented)) {
		if !documented[dir] {
			bad = append(bad, dir+": no package comment: say in doc.go what it owns, what it never does, who calls it")
		}
	}
	return bad
}

// forbiddenText is what no file may contain: places of one machine, and hosts
// of package registries, which each user's own settings name. The words are
// put together here so that this file passes, too.
var forbiddenText = []*regexp.Regexp{
	regexp.MustCompile(`(^|[^\w.)-])/` + `(work|farm|root|home/\w+|Users/\w+)/`),
	regexp.MustCompile(`\.` + `library/`),
	regexp.MustCompile(`(proxy|sum|goproxy)\.` + `golang\.org|goproxy\.(io|cn)`),
	regexp.MustCompile(`(deb|security|archive|registry|pypi|static)\.` + `(debian\.org|ubuntu\.com|npmjs\.org|yarnpkg\.com|crates\.io)`),
}

// checkText returns every line of a text file that must not be there.
func checkText(files []*file) []string {
	var bad []string
	for _, f := range files {
		if !utf8.Valid(f.text) {
			continue // binary
		}
		number := 0
		for line := range strings.Lines(string(f.text)) {
			number++
			for _, pattern := range forbiddenText {
				if found := pattern.FindString(line); found != "" {
					bad = append(bad, fmt.Sprintf("%s:%d: %q names one machine or a registry's host", f.path, number, found))
				}
			}
		}
	}
	return bad
}

// checkRootTests holds `make test-root` to what it selects: it runs the tests
// named TestRoot… with the build tag root. A root test of another name would
// never run; a TestRoot… without the tag would fail for everybody else.
func checkRootTests(files []*file) []string {
	var bad []string
	for _, f := range files {
		if !f.isGo() {
			continue
		}
		tagged := needsTag(f.ast, "root")
		if tagged && !f.isTest() {
			bad = append(bad, f.path+": the build tag root is for tests only")
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !f.isTest() || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") || fn.Name.Name == "TestMain" {
				continue
			}
			if named := strings.HasPrefix(fn.Name.Name, "TestRoot"); named != tagged {
				bad = append(bad, f.at(fn.Pos())+": "+fn.Name.Name+": tests that need root are named TestRoot… and stand behind //go:build root, both or neither")
			}
		}
	}
	return bad
}
