//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// quickStart types what README says under "On Kubernetes", has helm test it, and
// takes it all away again. It is done with helm 4.
func quickStart(s *suite, t *testing.T) {
	var output string
	for line := range strings.Lines(readmeCommands(t)) {
		began := time.Now()
		output = typed(t, line)
		t.Logf("$ %s%s(%.1f s)", line, output, time.Since(began).Seconds())
	}
	if strings.TrimSpace(output) != "hello" { // the last of them is a call from node to node
		t.Errorf("the last command says %q", output)
	}
	demo := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo"}}
	eventually(t, "the table of README", func(ctx context.Context) error {
		if err := s.get(ctx, demo); err != nil {
			return err
		}
		if got := &demo.Status; got.Ready != "3/3" || got.Links != "6/6" || got.Version != s.version {
			return fmt.Errorf("ready %s, links %s, version %s", got.Ready, got.Links, got.Version)
		}
		return nil
	})
	helm(t, 4, "test", release, "--timeout=3m")
	s.kubectl(t, "delete", "grid", "demo", "--wait")
	helm(t, 4, "uninstall", release, "--wait")
	// The operator could not give it back: its permissions went with it. A user
	// waits until it has run out, half a minute.
	s.kubectl(t, "delete", "lease", deployed, "--namespace", system, "--ignore-not-found")
}

// readmeCommands are those of the first block under "On Kubernetes".
func readmeCommands(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n## On Kubernetes\n.*?\n```sh\n(.*?)```\n").FindSubmatch(text)
	if len(block) != 2 || !strings.Contains(string(block[1]), "helm install") {
		t.Fatalf("README has no commands for Kubernetes: %q", block)
	}
	return string(block[1])
}

// typed has a shell run a line, at the root of the tree.
func typed(t *testing.T, line string) string {
	t.Helper()
	programs := t.TempDir() // helm is found under its plain name
	if err := os.Symlink(needEnv(t, "HELM4"), filepath.Join(programs, "helm")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", strings.Join([]string{programs, os.Getenv("GRIDMESH_KUBE"), os.Getenv("PATH")}, string(filepath.ListSeparator)))
	output, err := command(t.Context(), "sh", "-c", "cd ../.. && "+line)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
