package archtest

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/token"
)

// sleepAllowed lists the test functions that may sleep outside of a bubble of
// testing/synctest, by file and function, each with its reason.
var sleepAllowed = map[string]string{
	"internal/target/storm_test.go storm": "its callers run it in a bubble",
}

// checkSleeps returns every time.Sleep in a test that waits for real time: it
// is either too short on a busy machine or too long everywhere else. Inside a
// function literal given to synctest.Test time is fake, and sleeping is how it
// passes. A helper that calls synctest.Wait, too, can only run there: Wait
// panics outside. allowed is the list of exceptions.
func checkSleeps(files []*file, allowed map[string]string) []string {
	var bad []string
	for _, f := range files {
		if !f.isGo() || !f.isTest() {
			continue
		}
		timeName, bubbleName := f.localName("time"), f.localName("testing/synctest")
		if timeName == "" {
			continue
		}
		for _, decl := range f.ast.Decls {
			place := f.path
			if fn, ok := decl.(*ast.FuncDecl); ok {
				place += " " + fn.Name.Name
			}
			if allowed[place] != "" {
				continue
			}
			for _, pos := range sleepsOutsideBubbles(decl, timeName, bubbleName) {
				bad = append(bad, fmt.Sprintf(
					"%s: time.Sleep outside a bubble: wait for the condition (or list %q with its reason in internal/archtest/sleep.go)", f.at(pos), place))
			}
		}
	}
	return bad
}

// sleepsOutsideBubbles returns where a top-level declaration sleeps, leaving out
// what stands in calls of synctest.Test.
func sleepsOutsideBubbles(decl ast.Decl, timeName, bubbleName string) []token.Pos {
	var sleeps []token.Pos
	waits := false
	ast.Inspect(decl, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if call, ok := n.(*ast.CallExpr); ok && bubbleName != "" && isSelector(call.Fun, bubbleName, "Test") {
			return false
		}
		if isSelector(e, timeName, "Sleep") {
			sleeps = append(sleeps, n.Pos())
		}
		waits = waits || bubbleName != "" && isSelector(e, bubbleName, "Wait")
		return true
	})
	if waits {
		return nil
	}
	return sleeps
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// needsTag reports whether a file is built only with this build tag set.
func needsTag(f *ast.File, tag string) bool {
	for _, group := range f.Comments {
		if group.Pos() >= f.Package {
			break
		}
		for _, comment := range group.List {
			if !constraint.IsGoBuild(comment.Text) {
				continue
			}
			expr, err := constraint.Parse(comment.Text)
			if err == nil && asksFor(expr, tag, true) {
				return true
			}
		}
	}
	return false
}

// asksFor reports whether an expression names the tag without a "!" before it.
func asksFor(e constraint.Expr, tag string, want bool) bool {
	switch e := e.(type) {
	case *constraint.TagExpr:
		return want && e.Tag == tag
	case *constraint.NotExpr:
		return asksFor(e.X, tag, !want)
	case *constraint.AndExpr:
		return asksFor(e.X, tag, want) || asksFor(e.Y, tag, want)
	case *constraint.OrExpr:
		return asksFor(e.X, tag, want) || asksFor(e.Y, tag, want)
	}
	return false
}
