package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are all that hold for the tree, by name.
var rules = map[string]func([]*file) []string{
	"imports":          checkImports,
	"layers":           checkLayers,
	"sizes":            checkSizes,
	"programs":         checkPrograms,
	"package comments": checkPackageComments,
	"text":             checkText,
	"root tests":       checkRootTests,
	"docs":             checkDocs,
	"leak tests":       checkLeakTests,
	"sleeps":           func(files []*file) []string { return checkSleeps(files, sleepAllowed) },
}

// TestTree holds this tree to its rules.
func TestTree(t *testing.T) {
	t.Parallel()
	files, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"go.mod", "internal/archtest/archtest_test.go"} {
		if !contains(files, must) {
			t.Fatalf("the tree has no %s: the rules looked at the wrong place", must)
		}
	}
	for name, check := range rules {
		for _, violation := range check(files) {
			t.Errorf("%s: %s", name, violation)
		}
	}
}

func contains(files []*file, path string) bool {
	for _, f := range files {
		if f.path == path {
			return true
		}
	}
	return false
}

// lines makes a Go file of n lines.
func lines(n int) string {
	return "// Package p is planted.\npackage p\n" + strings.Repeat("//\n", n-2)
}

// test makes a test file around one test's body.
func test(tag, imports, name, body string) string {
	if tag != "" {
		tag = "//go:build " + tag + "\n\n"
	}
	return tag + "package p\n\nimport (\n" + imports + "\n)\n\nfunc " + name + "(t *testing.T) {\n" + body + "\n}\n"
}

// imports makes a Go file with one import.
func imports(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }

// TestRulesOfPackages plants several files at a time, for what one file does not
// show.
func TestRulesOfPackages(t *testing.T) {
	t.Parallel()
	const starts = "package a\n\nfunc F() { go F() }\n"
	const startsByGroup = "package a\n\nimport \"sync\"\n\nfunc F(g *sync.WaitGroup) { g.Go(func() {}) }\n"
	plain := test("", `"testing"`, "TestA", "")
	withMain := "package a\n\nimport \"testing\"\n\nfunc TestMain(m *testing.M) {}\n"
	makefile := "test: ## all\ntest-root: ## more\n"
	for _, c := range []struct {
		rule  string
		files map[string]string
		want  string
	}{
		{"leak tests", map[string]string{"pkg/a/a.go": starts, "pkg/a/a_test.go": plain}, "pkg/a: starts goroutines"},
		{"leak tests", map[string]string{"internal/a/a.go": startsByGroup, "internal/a/a_test.go": plain}, "internal/a: starts goroutines"},
		{"leak tests", map[string]string{"pkg/a/a.go": starts, "pkg/a/a_test.go": plain, "pkg/a/main_test.go": withMain}, ""},
		{"leak tests", map[string]string{"pkg/a/a.go": starts}, ""},
		{"leak tests", map[string]string{"pkg/a/a.go": "package a\n", "pkg/a/a_test.go": plain}, ""},

		{"docs", map[string]string{"a.md": "see [b](docs/b.md#part), [c](docs), [d](https://example.com/d) and [e](#here)", "docs/b.md": "[a](../a.md)"}, ""},
		{"docs", map[string]string{"docs/a.md": "\nsee [b](b.md)"}, "docs/a.md:2: link to b.md, which is not there"},
		{"docs", map[string]string{"a.md": "see `TestOne`, `BenchmarkTwo` and `TestRoot…`", "a/a_test.go": test("", `"testing"`, "TestOne", "") + "\nfunc BenchmarkTwo(b *testing.B) {}\n"}, ""},
		{"docs", map[string]string{"a.md": "\n| `TestTwo` |", "a/a_test.go": test("", `"testing"`, "TestOne", "")}, "a.md:2: no test is called TestTwo"},
		{"docs", map[string]string{"Makefile": makefile, "a.md": "run `make test` or:\n\n    sudo make test-root FOR=1s\n\nto make sure\n"}, ""},
		{"docs", map[string]string{"Makefile": makefile, "a.md": "run `make tests`"}, "no target tests"},
		{"docs", map[string]string{"Makefile": makefile, "a.md": "run\n\n    make  x\n    make demo\n"}, "a.md:4: no target demo"},
	} {
		tree := make(fstest.MapFS)
		for name, text := range c.files {
			tree[name] = &fstest.MapFile{Data: []byte(text)}
		}
		files, err := load(tree)
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.rule, rules[c.rule](files), c.want, c.files)
	}
}

// want compares violations with the one wanted, or with none.
func want(t *testing.T, rule string, bad []string, want string, planted any) {
	t.Helper()
	switch {
	case want == "" && len(bad) != 0:
		t.Errorf("%s: planted %q: got %q, want no violation", rule, planted, bad)
	case want != "" && (len(bad) != 1 || !strings.Contains(bad[0], want)):
		t.Errorf("%s: planted %q: got %q, want one violation with %q", rule, planted, bad, want)
	}
}

// TestRules plants one file at a time and wants exactly one violation of the
// rule, with these words in it, or none where want is empty.
func TestRules(t *testing.T) {
	t.Parallel()
	ours := func(folder string) string { return imports(modulePath + "/" + folder) }
	const bubble = `"testing"; "testing/synctest"; "time"`
	for _, c := range []struct {
		rule, path, text, want string
	}{
		{"imports", "pkg/grid/a.go", imports("net/http"), ""},
		{"imports", "pkg/grid/a.go", imports("github.com/gorilla/websocket"), ""},
		{"imports", "pkg/grid/a.go", imports("github.com/tinylib/msgp/msgp"), ""},
		{"imports", "pkg/grid/internal/link/a.go", imports("github.com/gorilla/websocket"), ""},
		{"imports", "pkg/grid/a.go", ours("pkg/grid/internal/link"), ""},
		{"imports", "pkg/grid/a.go", imports("github.com/prometheus/client_golang/prometheus"), "pkg/grid/a.go:3: packages under pkg/grid may not"},
		{"imports", "pkg/grid/a.go", imports("k8s.io/client-go/rest"), "may not import k8s.io/client-go"},
		{"imports", "pkg/grid/a.go", imports("github.com/gorilla/websocket/examples"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("internal/node"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("controllers"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("api/v1alpha1"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("pkg/gridother"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("pkg/grid/gridprom"), "may not import"},
		{"imports", "pkg/grid/a.go", ours("pkg/grid/gridtest"), "may not import"},
		{"imports", "pkg/grid/a_test.go", ours("pkg/grid/gridtest"), ""},
		{"imports", "pkg/grid/a_test.go", imports("go.uber.org/goleak"), ""},
		{"imports", "pkg/grid/a.go", imports("go.uber.org/goleak"), "may not import"},
		{"imports", "pkg/grid/a_test.go", ours("internal/node"), "may not import"},
		{"imports", "pkg/grid/new/internal/a.go", imports("example.com/x"), "may not import"},
		{"imports", "pkg/grid/gridtest/a.go", ours("pkg/grid"), ""},
		{"imports", "pkg/grid/gridtest/a.go", imports("go.uber.org/goleak"), "may not import"},
		{"imports", "pkg/grid/gridprom/a.go", imports("github.com/prometheus/client_golang/prometheus"), ""},
		{"imports", "pkg/grid/gridprom/a.go", ours("internal/node"), "may not import"},
		{"imports", "pkg/grid/gridpod/a.go", ours("internal/audit"), ""},
		{"imports", "pkg/grid/peers/a.go", imports("crypto/ed25519"), ""},
		{"imports", "pkg/grid/peers/a.go", imports("github.com/tinylib/msgp/msgp"), "packages under pkg/grid/peers may not import"},
		{"imports", "pkg/grid/peers/a.go", ours("pkg/grid"), "may not import"},
		{"imports", "pkg/grid/peers/a_test.go", ours("pkg/grid/peers"), ""},
		{"imports", "examples/lock/main.go", ours("pkg/grid"), ""},
		{"imports", "examples/lock/main.go", ours("internal/node"), "may not import"},
		{"imports", "internal/node/a.go", imports("go.yaml.in/yaml/v3"), ""},
		{"imports", "pkg/grid/testdata/a.go", imports("example.com/x"), ""},
		{"imports", "bench/a.go", imports("unsafe"), "bench/a.go:3: no \"unsafe\""},
		{"imports", "internal/node/a.go", imports("C"), "no \"C\""},
		{"imports", "a_gen.go", "// Code generated by a test. DO NOT EDIT.\n\n" + imports("unsafe"), ""},

		{"layers", "pkg/grid/a.go", ours("pkg/grid/internal/wire"), ""},
		{"layers", "pkg/grid/internal/link/a.go", ours("pkg/grid/internal/mux"), ""},
		{"layers", "pkg/grid/internal/link/a.go", ours("pkg/grid/peers"), ""},
		{"layers", "pkg/grid/internal/wire/a.go", ours("pkg/grid/internal/credit"), "pkg/grid/internal/wire may not import pkg/grid/internal/credit"},
		{"layers", "pkg/grid/internal/credit/a.go", ours("pkg/grid/internal/mux"), "may not import"},
		{"layers", "pkg/grid/internal/mux/a.go", ours("pkg/grid/internal/link"), "may not import"},
		{"layers", "pkg/grid/internal/link/a.go", ours("pkg/grid"), "may not import"},
		{"layers", "pkg/grid/a.go", ours("pkg/grid/gridtest"), "may not import"},
		{"layers", "pkg/grid/internal/link/a_test.go", ours("pkg/grid/gridtest"), ""},
		{"layers", "pkg/grid/internal/helper/a.go", imports("fmt"), "give this package its place"},

		{"sizes", "a.go", lines(600), ""},
		{"sizes", "a.go", lines(601), "a.go: 601 lines, the limit is 600"},
		{"sizes", "a_test.go", lines(800), ""},
		{"sizes", "a_test.go", lines(801), "the limit is 800"},
		{"sizes", "a_gen.go", "// Code generated by a test. DO NOT EDIT.\n\n" + lines(5000), ""},
		{"sizes", "README.md", strings.Repeat("\n", 5000), ""},

		{"programs", "cmd/node/main.go", lines(60), ""},
		{"programs", "cmd/node/main.go", lines(61), "cmd/node/main.go: 61 lines, the limit is 60"},
		{"programs", "cmd/node/doc.go", lines(100), "the limit is 60"},
		{"programs", "cmd/node/flags.go", lines(3), "holds main.go and doc.go only"},
		{"programs", "cmd/node/flags/main.go", lines(3), "holds main.go and doc.go only"},
		{"programs", "cmd/main.go", lines(3), "holds main.go and doc.go only"},
		{"programs", "cmd/node/main_test.go", lines(100), ""},

		{"package comments", "a/doc.go", "// Package a is planted.\npackage a\n", ""},
		{"package comments", "a/a.go", "package a\n", "a: no package comment"},
		{"package comments", "a/a.go", "//go:build linux\n\npackage a\n", "a: no package comment"},
		{"package comments", "a/a_test.go", "package a\n", ""},
		{"package comments", "a/a_gen.go", "// Code generated by a test. DO NOT EDIT.\n\npackage a\n", ""},

		{"text", "docs/a.md", "see https://github.com/gridmesh/gridmesh and pkg/grid/" + "work/x and ./" + "work/\n", ""},
		{"text", "docs/a.md", "one\nsee /" + "work/main\n", `docs/a.md:2: "`},
		{"text", "a.sh", "cd /" + "root/x", "names one machine"},
		{"text", "a.sh", "cd '/" + "home/me/x'", "names one machine"},
		{"text", ".ci/run", "ls ." + "library/", "names one machine"},
		{"text", "Makefile", "GOPROXY=https://proxy." + "golang.org", "names one machine or a registry's host"},
		{"text", "a.txt", "deb http://deb." + "debian.org/debian", "registry's host"},
		{"text", "a.bin", "\xff\xfe /" + "work/", ""},

		{"root tests", "a_test.go", test("root && linux", `"testing"`, "TestRootCut", ""), ""},
		{"root tests", "a_test.go", test("linux && root", `"testing"`, "TestCut", ""), "TestCut: tests that need root are named TestRoot"},
		{"root tests", "a_test.go", test("", `"testing"`, "TestRootCut", ""), "TestRootCut: tests that need root"},
		{"root tests", "a_test.go", test("!root", `"testing"`, "TestCut", ""), ""},
		{"root tests", "a_test.go", test("!linux", `"testing"`, "TestCut", ""), ""},
		{"root tests", "a_test.go", test("root", `"testing"`, "TestMain", ""), ""},
		{"root tests", "a.go", "//go:build root\n\npackage a\n", "the build tag root is for tests only"},

		{"sleeps", "a_test.go", test("", `"testing"; "time"`, "TestA", "time.Sleep(time.Second)"), `a_test.go:8: time.Sleep outside a bubble`},
		{"sleeps", "a_test.go", test("", `"testing"; "time"`, "TestA", "go func() { f(time.Sleep) }()"), "time.Sleep outside a bubble"},
		{"sleeps", "a_test.go", test("", `"testing"; clock "time"`, "TestA", "clock.Sleep(1)"), "time.Sleep outside a bubble"},
		{"sleeps", "a_test.go", test("", bubble, "TestA", "synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) })"), ""},
		{"sleeps", "a_test.go", test("", bubble, "TestA", "synctest.Test(t, func(t *testing.T) {})\ntime.Sleep(1)"), "time.Sleep outside a bubble"},
		{"sleeps", "a_test.go", test("", bubble, "next", "time.Sleep(1)\nsynctest.Wait()"), ""},
		{"sleeps", "a_test.go", test("", bubble, "TestA", "time.Sleep(1)\nsynctest.Test(t, func(t *testing.T) { synctest.Wait() })"), "outside a bubble"},
		{"sleeps", "a_test.go", test("", `"testing"; "example.test/time2"`, "TestA", "time.Sleep(1)"), ""},
		{"sleeps", "a.go", test("", `"testing"; "time"`, "F", "time.Sleep(1)"), ""},
		{"sleeps", "a_test.go", test("", `"testing"; "time"`, "TestAllowed", "time.Sleep(1)"), ""},
	} {
		files, err := load(fstest.MapFS{c.path: {Data: []byte(c.text)}})
		if err != nil {
			t.Fatal(err)
		}
		check := rules[c.rule]
		if c.rule == "sleeps" {
			check = func(files []*file) []string {
				return checkSleeps(files, map[string]string{"a_test.go TestAllowed": "planted"})
			}
		}
		want(t, c.rule, check(files), c.want, c.path+"\n"+c.text)
	}
}

// TestLoad shows that what cannot be read or parsed is an error, not a file
// that no rule looked at, and that build tags hide nothing.
func TestLoad(t *testing.T) {
	t.Parallel()
	if _, err := load(fstest.MapFS{"a.go": {Data: []byte("package")}}); err == nil {
		t.Error("half a Go file was loaded without an error")
	}
	files, err := load(fstest.MapFS{
		"a.go":            {Data: []byte("//go:build plan9 && never\n\npackage a\n")},
		"testdata/bad.go": {Data: []byte("package")},
		".git/config.go":  {Data: []byte("package")},
		"sub/.git":        {Data: []byte("gitdir: elsewhere")},
	})
	if err != nil || !contains(files, "a.go") || !contains(files, "testdata/bad.go") || len(files) != 2 {
		t.Errorf("got %d files and %v, want a.go and testdata/bad.go alone", len(files), err)
	}
}
