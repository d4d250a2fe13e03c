package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	sets, err := place([]rule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"update"}},
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for name, rules := range sets {
		for _, r := range rules {
			got[name] = append(got[name], r.Resources...)
		}
	}
	want := map[string][]string{
		watched: {"pods", "events"},
		own:     {"leases"},
		metrics: {"tokenreviews"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPlaceRefuses(t *testing.T) {
	t.Parallel()
	get := []string{"get"}
	for want, r := range map[string]rule{
		`"apiextensions.k8s.io" has no place`: {APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: get},
		"nodes is not in a namespace":         {APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: get},
		"/metrics] is not in a namespace":     {NonResourceURLs: []string{"/metrics"}, Verbs: get},
		"name what is needed, not *":          {APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"*"}},
	} {
		if _, err := place([]rule{r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", r, err, want)
		}
	}
}

func TestReadRoles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		rules int
		err   string
	}{
		"two roles": {"---\nkind: ClusterRole\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n---\nkind: Role\nrules: [{apiGroups: [apps], resources: [statefulsets], verbs: [get]}]\n", 2, ""},
		"a binding": {"kind: RoleBinding\n", 0, `a "RoleBinding" among the roles`},
		"no YAML":   {"kind: [", 0, "yaml"},
	} {
		path := filepath.Join(t.TempDir(), "role.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := readRoles(path)
		if len(rules) != c.rules || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v", name, rules, err)
		}
	}
}

// TestRulesTemplateSaysWhatIsLost: a marker that is lost must not leave the chart
// with an operator that may do nothing.
func TestRulesTemplateSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, text := range map[string]string{
		operatorRoles: "kind: Role\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n",
		selftestRoles: "kind: Role\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := rulesTemplate(dir); err == nil || !strings.Contains(err.Error(), `place "own"`) {
		t.Errorf("got %v and\n%s", err, text)
	}
}
