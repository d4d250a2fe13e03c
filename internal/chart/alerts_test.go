package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/gridmesh/gridmesh/internal/telemetry"
)

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) map[string]alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	decode(t, "charts/gridmesh/alerts.yaml", yaml.Unmarshal, &file)
	all := make(map[string]alert)
	for _, group := range file.Groups {
		for _, a := range group.Rules {
			if _, twice := all[a.Alert]; twice {
				t.Errorf("two alerts named %s", a.Alert)
			}
			all[a.Alert] = a
		}
	}
	return all
}

func TestAlertsAreWhole(t *testing.T) {
	t.Parallel()
	for name, a := range alerts(t) {
		if a.For == "" || a.Labels["severity"] == "" || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s: wants for, a severity, a summary and a description", name)
		}
	}
}

// TestEachAlertHasItsPage: an alert leads to docs/runbooks/NAME.md, and a page
// whose alert is gone leads nobody.
func TestEachAlertHasItsPage(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "Grid*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := make(map[string]bool)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		pages[name] = true
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, heading := range []string{"# " + name + "\n", "\n## What it means\n", "\n## What to look at\n", "\n## What to do\n"} {
			if !strings.Contains(string(text), heading) {
				t.Errorf("%s: has no %q", path, strings.TrimSpace(heading))
			}
		}
	}
	var names []string
	for name := range alerts(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(pages)); !slices.Equal(got, names) {
		t.Errorf("pages: %v\nalerts: %v", got, names)
	}
}

var metricName = regexp.MustCompile(`\b(gridmesh|controller_runtime|workqueue|leader_election)_\w+`)

// metricSources are the files in which the names of metrics stand.
var metricSources = []string{
	"pkg/grid/gridprom/metrics.md", "internal/member/metrics.go", "controllers/metrics.go", "controllers/feed/metrics.go",
}

// targetMetrics describes the metrics of log and audit.
func targetMetrics(t *testing.T) string {
	t.Helper()
	system, err := telemetry.Open(telemetry.Options{Console: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = system.Close(t.Context()) }()
	described := make(chan *prometheus.Desc)
	go func() { defer close(described); system.Collector().Describe(described) }()
	var text strings.Builder
	for d := range described {
		text.WriteString(d.String() + "\n")
	}
	return text.String()
}

// TestAlertsReadMetricsThatExist: an alert on a metric that nobody has never
// fires, and nobody notices.
func TestAlertsReadMetricsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"controller_runtime_reconcile_errors_total": true}
	for _, name := range metricName.FindAllString(targetMetrics(t), -1) {
		known[name] = true
	}
	for _, path := range metricSources {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(text), -1) {
			known[name] = true
		}
	}
	for name, a := range alerts(t) {
		metrics := metricName.FindAllString(a.Expr, -1)
		if len(metrics) == 0 && !strings.Contains(a.Expr, "up{") {
			t.Errorf("%s: reads no metric: %s", name, a.Expr)
		}
		for _, metric := range metrics {
			if !known[metric] {
				t.Errorf("%s: reads %s, which nobody has", name, metric)
			}
		}
	}
}
