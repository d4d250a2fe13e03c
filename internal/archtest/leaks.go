package archtest

import (
	"go/ast"
	"maps"
	"slices"
)

// checkLeakTests returns every package of the root module that starts
// goroutines, has tests, and has no TestMain: that is where goleak fails a
// package whose tests leave a goroutine behind.
func checkLeakTests(files []*file) []string {
	type pkg struct{ starts, tests, main bool }
	packages := make(map[string]*pkg)
	for _, f := range files {
		if !f.isGo() || !inFolder(f.dir(), "pkg") && !inFolder(f.dir(), "internal") {
			continue
		}
		p := packages[f.dir()]
		if p == nil {
			p = new(pkg)
			packages[f.dir()] = p
		}
		if !f.isTest() {
			p.starts = p.starts || startsGoroutines(f.ast)
			continue
		}
		p.tests = true
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "TestMain" {
				p.main = true
			}
		}
	}
	var bad []string
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if p := packages[dir]; p.starts && p.tests && !p.main {
			bad = append(bad, dir+": starts goroutines: its tests need a TestMain with goleak.VerifyTestMain")
		}
	}
	return bad
}

// startsGoroutines also counts the Go method of sync.WaitGroup and its like.
func startsGoroutines(f *ast.File) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(n.Args) == 1 {
				found = true
			}
		}
		return !found
	})
	return found
}
