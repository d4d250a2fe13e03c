package config

import (
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestChartAgrees: without Helm and with it, on default values, the same operator
// runs. The chart's own tests keep what it renders in a snapshot.
func TestChartAgrees(t *testing.T) {
	t.Parallel()
	const snapshot, rendering = "../charts/gridmesh/tests/__snapshot__/snapshot_test.yaml.snap", "with default values"
	text, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	var snapshots map[string]map[string]string
	if err := yaml.Unmarshal(text, &snapshots); err != nil {
		t.Fatal(err)
	}
	var chart, base appsv1.Deployment
	for _, document := range snapshots[rendering] {
		if d := (appsv1.Deployment{}); yaml.Unmarshal([]byte(document), &d) == nil && d.Kind == "Deployment" {
			chart = d
		}
	}
	for _, object := range build(t, "default") {
		if object.GetKind() == "Deployment" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &base); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(chart.Spec.Template.Spec.Containers) != 1 || len(base.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("no Deployment in %s under %q, or in config/default", snapshot, rendering)
	}

	// The chart says what is the operator's default, too, and keeps replicas apart.
	had := chart.Spec.Template.Spec.Containers[0].Args
	for _, arg := range base.Spec.Template.Spec.Containers[0].Args {
		if !slices.Contains(had, arg) {
			t.Errorf("config/manager has the argument %s, the chart has %s", arg, had)
		}
	}
	for _, d := range []*appsv1.Deployment{&chart, &base} {
		d.Spec.Template.Spec.Affinity = nil
		d.Spec.Template.Spec.Containers[0].Args = nil
	}
	if got, want := base.Spec.Template.Spec, chart.Spec.Template.Spec; !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("config/manager has\n%+v\nthe chart has\n%+v", got, want)
	}
}
