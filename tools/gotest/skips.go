package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// skip is one line of the skips file: a test that may be skipped, and why.
type skip struct {
	pkg    string // end of the import path, by whole elements: "pkg/grid"
	test   string // name or path.Match pattern: "TestA", "TestA/*"
	reason string
}

// readSkips reads the skips file: package, test and reason, separated by
// white space; "#" opens a comment line. An empty name means no file.
func readSkips(name string) ([]skip, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the skips file: %w", err)
	}
	var skips []skip
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("%s:%d: give package, test and the reason for the skip", name, i+1)
		}
		if _, err := path.Match(words[1], ""); err != nil {
			return nil, fmt.Errorf("%s:%d: test pattern %q: %w", name, i+1, words[1], err)
		}
		skips = append(skips, skip{pkg: words[0], test: words[1], reason: strings.Join(words[2:], " ")})
	}
	return skips, nil
}

// reasonFor returns why this test may be skipped, or "" when no line says so.
func reasonFor(skips []skip, pkg, test string) string {
	for _, s := range skips {
		if pkg != s.pkg && !strings.HasSuffix(pkg, "/"+s.pkg) {
			continue
		}
		if ok, _ := path.Match(s.test, test); ok { // the pattern was checked when it was read
			return s.reason
		}
	}
	return ""
}
