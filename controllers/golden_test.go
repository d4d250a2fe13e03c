package controllers

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

var updateGolden = flag.Bool("update", false, "write the golden files of this package anew")

// TestGolden holds every object of a Grid to what an earlier build made of the
// same spec. A StatefulSet that differs would have all pods of all Grids restart
// when the operator is upgraded: change these files only for what is worth that.
func TestGolden(t *testing.T) {
	specs, err := filepath.Glob("testdata/golden/*.spec.yaml")
	if err != nil || len(specs) == 0 {
		t.Fatal("no specs:", err)
	}
	for _, spec := range specs {
		t.Run(strings.TrimSuffix(filepath.Base(spec), ".spec.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(spec)
			if err != nil {
				t.Fatal(err)
			}
			got := objectsOf(t, gridOf(t, string(text)))
			name := strings.TrimSuffix(spec, ".spec.yaml") + ".objects.yaml"
			if *updateGolden {
				if err := os.WriteFile(name, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; this build makes:\n%s", name, got)
			}
		})
	}
}

func objectsOf(t *testing.T, g *v1alpha1.Grid) []byte {
	t.Helper()
	template, refused := mergeTemplate(g)
	if refused != nil {
		t.Fatal(refused)
	}
	set, err := statefulSetOf(g, template, scale{replicas: *g.Spec.Replicas})
	if err != nil {
		t.Fatal(err)
	}
	objects := []any{serviceOf(g), disruptionBudgetOf(g), networkPolicyOf(g, template.read), set.Object}
	if g.Spec.TLS.Mode == v1alpha1.TLSCertManager {
		objects = append(objects, certificateOf(g, g.Name).Object)
	}
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes()
}

// TestNothingOfThePodsDependsOnTheirNumber: a Grid that grows restarts nobody.
func TestNothingOfThePodsDependsOnTheirNumber(t *testing.T) {
	one, many := gridOf(t, "replicas: 1"), gridOf(t, "replicas: 100")
	many.UID, many.Generation = "other", 99
	a, _ := mergeTemplate(one)
	b, _ := mergeTemplate(many)
	x, err := yaml.Marshal(a.given)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := yaml.Marshal(b.given); err != nil || !bytes.Equal(x, y) {
		t.Errorf("%v\n%s\n%s", err, x, y)
	}
}

// TestASettingThatIsReadOnceRestartsThePods: and one that is not does not.
func TestASettingThatIsReadOnceRestartsThePods(t *testing.T) {
	annotation := func(spec string) string {
		merged, refused := mergeTemplate(gridOf(t, spec))
		if refused != nil {
			t.Fatal(refused)
		}
		return merged.read.Annotations[annotationSettings]
	}
	plain := annotation("")
	if annotation("limits: {maxCalls: 5}") == plain || annotation("{tls: {mode: volume, identity: pod, volume: {emptyDir: {}}}}") == plain {
		t.Error("limits or identity are read at the start only, and would not be")
	}
	if annotation("paused: true") != plain {
		t.Error("a pause restarts pods")
	}
}
