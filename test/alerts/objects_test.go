//go:build chart

package alerts

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// TestChartMonitoringObjects renders the chart with all of its monitoring, and
// reads the objects with the types of the Prometheus operator: an unknown field
// is an error.
func TestChartMonitoringObjects(t *testing.T) {
	t.Parallel()
	helm := os.Getenv("HELM3")
	if helm == "" {
		t.Fatal("HELM3 is not set: make chart-test sets it")
	}
	const chart = "../../charts/gridmesh"
	out, err := exec.CommandContext(t.Context(), helm, "template", "x", chart, "--values", chart+"/ci/everything-values.yaml",
		"--kube-version", "1.37.0", "--show-only", "templates/monitoring.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, out)
	}
	var kinds []string
	for doc := range strings.SplitSeq(string(out), "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		kinds = append(kinds, head.Kind)
		objects := map[string]any{
			"ServiceMonitor": &monitoringv1.ServiceMonitor{}, "PodMonitor": &monitoringv1.PodMonitor{}, "PrometheusRule": &monitoringv1.PrometheusRule{},
		}
		object, known := objects[head.Kind]
		if !known {
			t.Fatalf("a %q among them:\n%s", head.Kind, doc)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
		if rule, ok := object.(*monitoringv1.PrometheusRule); ok {
			readRules(t, rule)
		}
	}
	slices.Sort(kinds)
	if want := []string{"PodMonitor", "PrometheusRule", "ServiceMonitor"}; !slices.Equal(kinds, want) {
		t.Errorf("rendered %v, want %v", kinds, want)
	}
}

// readRules has Prometheus read the rules of the object, as the Prometheus operator
// hands them on.
func readRules(t *testing.T, object *monitoringv1.PrometheusRule) {
	t.Helper()
	text, err := json.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if errs != nil {
		t.Fatal(errs)
	}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Annotations["runbook_url"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s: lost its page or its severity on the way", rule.Alert)
			}
		}
	}
}
