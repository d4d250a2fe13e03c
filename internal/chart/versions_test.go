package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHelmsAreThoseTested: each Helm is pinned in one place, by which it is built
// for the tests, and the documents name these.
func TestHelmsAreThoseTested(t *testing.T) {
	t.Parallel()
	text := func(path string) string {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pinned := func(module, path string) string {
		found := regexp.MustCompile(`(?m)^\s+` + regexp.QuoteMeta(path) + ` v(\S+)`).FindStringSubmatch(text(module))
		if found == nil {
			t.Fatalf("%s does not pin %s", module, path)
		}
		return found[1]
	}
	said := "(tested: " + pinned("tools/charts/go.mod", "helm.sh/helm/v3") + " and " + pinned("tools/helm4/go.mod", "helm.sh/helm/v4") + ")"
	for _, path := range []string{"docs/kubernetes.md", "charts/gridmesh/README.md.gotmpl"} {
		if !strings.Contains(text(path), said) {
			t.Errorf("%s does not say %q", path, said)
		}
	}
}
