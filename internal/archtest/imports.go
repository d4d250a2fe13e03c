package archtest

import (
	"fmt"
	"slices"
	"strings"
)

const (
	websocketPath = "github.com/gorilla/websocket"
	msgpPath      = "github.com/tinylib/msgp/msgp"
	goleakPath    = "go.uber.org/goleak"
	prometheus    = "github.com/prometheus/"
)

// importRule says what the packages under one folder may import besides the
// standard library. The rule with the longest matching folder holds, alone.
type importRule struct {
	folder string
	free   bool     // no limit; the entry only takes the folder out of its parent's rule
	allow  []string // import paths; one that ends in "/" allows all below it
	deny   []string // exceptions from allow
	tests  []string // allowed in tests, too
}

// own is the import path of a folder of this tree.
func own(folder string) string { return modulePath + "/" + folder }

// importRules: by induction over the packages that a rule allows, they hold
// for everything that is linked in, not only for what is named in a file.
func importRules() []importRule {
	library := importRule{
		folder: "pkg/grid",
		allow:  []string{websocketPath, msgpPath, own("pkg/grid"), own("pkg/grid/")},
		deny:   []string{own("pkg/grid/gridprom"), own("pkg/grid/gridpod"), own("pkg/grid/gridtest")},
		tests:  []string{goleakPath, own("pkg/grid/gridtest")},
	}
	gridtest := library
	gridtest.folder = "pkg/grid/gridtest"
	gridprom := library
	gridprom.folder = "pkg/grid/gridprom"
	gridprom.allow = append([]string{prometheus}, library.allow...)
	return []importRule{
		library,
		gridtest,
		gridprom,
		// Programs that only make lists want peers without the rest.
		{folder: "pkg/grid/peers", tests: []string{goleakPath}},
		// What a pod needs: it may use internal/ at the root.
		{folder: "pkg/grid/gridpod", free: true},
		// Users copy the examples: nothing in them that a user could not import.
		{folder: "examples", allow: []string{own("pkg/grid"), own("pkg/grid/"), msgpPath}, tests: []string{goleakPath}},
	}
}

// checkImports returns every import that the rule of its package does not
// allow, and the two that no code of ours may use.
func checkImports(files []*file) []string {
	var bad []string
	rules := importRules()
	for _, f := range files {
		if !f.isGo() {
			continue
		}
		for _, banned := range []string{"unsafe", "C"} {
			if pos, ok := f.imports()[banned]; ok && !f.isGenerated() {
				bad = append(bad, fmt.Sprintf("%s: no %q: what it buys is not worth what it may break", f.at(pos), banned))
			}
		}
		rule := ruleFor(rules, f.dir())
		if rule == nil || rule.free {
			continue
		}
		for imported, pos := range f.imports() {
			switch {
			case isStandard(imported):
			case f.isTest() && matchPath(rule.tests, imported):
			case matchPath(rule.allow, imported) && !matchPath(rule.deny, imported):
			case f.isTest() && imported == own(f.dir()): // a black-box test imports its own package
			default:
				bad = append(bad, fmt.Sprintf("%s: packages under %s may not import %s", f.at(pos), rule.folder, imported))
			}
		}
	}
	return sorted(bad)
}

func ruleFor(rules []importRule, dir string) *importRule {
	var found *importRule
	for i, rule := range rules {
		if inFolder(dir, rule.folder) && (found == nil || len(rule.folder) > len(found.folder)) {
			found = &rules[i]
		}
	}
	return found
}

func inFolder(dir, folder string) bool {
	return dir == folder || strings.HasPrefix(dir, folder+"/")
}

// isStandard: only the standard library has no dot in its first path element.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func matchPath(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return importPath == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(importPath, pattern)
	})
}

// layers of the library, lowest first. A package imports only from layers
// below its own, so a message's way through the files can be read in one
// direction. A new package in pkg/grid/internal takes its place in this list.
var layers = [][]string{
	{"pkg/grid/internal/wire", "pkg/grid/internal/recycle"},
	{"pkg/grid/internal/credit"},
	{"pkg/grid/internal/mux"},
	{"pkg/grid/internal/link"},
	{"pkg/grid"},
	{"pkg/grid/gridtest", "pkg/grid/gridprom", "pkg/grid/gridpod"},
}

// checkLayers returns every import that points upward or sideways, and every
// internal package of the library without a layer. Tests may look up: they
// check a layer through the ones above it.
func checkLayers(files []*file) []string {
	var bad []string
	homeless := make(map[string]bool)
	for _, f := range files {
		if !f.isGo() || f.isTest() {
			continue
		}
		from := layerOf(f.dir())
		if from < 0 {
			if inFolder(f.dir(), "pkg/grid/internal") && !homeless[f.dir()] {
				homeless[f.dir()] = true
				bad = append(bad, f.dir()+": give this package its place in the list of layers (internal/archtest/imports.go)")
			}
			continue
		}
		for imported, pos := range f.imports() {
			dir, isOurs := strings.CutPrefix(imported, modulePath+"/")
			if to := layerOf(dir); isOurs && to >= from && dir != f.dir() {
				bad = append(bad, fmt.Sprintf("%s: %s may not import %s: imports go grid, link, mux, credit, wire, one way", f.at(pos), f.dir(), dir))
			}
		}
	}
	return sorted(bad)
}

func layerOf(dir string) int {
	return slices.IndexFunc(layers, func(dirs []string) bool { return slices.Contains(dirs, dir) })
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
