package v1alpha1_test

import (
	"os"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

const (
	good       = "../../test/grids/good"
	bad        = "../../test/grids/bad"
	definition = "../../config/crd/gridmesh.io_grids.yaml"
)

// TestGoodGrids: what makes sense is accepted.
func TestGoodGrids(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	for _, s := range samples(t, good) {
		for i, grid := range s.grids {
			if err := apply(t, kube.Client, namespace, grid); err != nil {
				t.Errorf("%s: document %d: %v", s.name, i+1, err)
			}
		}
	}
}

// TestBadGrids: what cannot work is refused, in words that say what to do.
func TestBadGrids(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	for _, s := range samples(t, bad) {
		last := len(s.grids) - 1
		for _, grid := range s.grids[:last] {
			if err := apply(t, kube.Client, namespace, grid); err != nil {
				t.Fatalf("%s: before the last document: %v", s.name, err)
			}
		}
		err := apply(t, kube.Client, namespace, s.grids[last])
		if s.refused == "" || !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), s.refused) {
			t.Errorf("%s: got %v, want a refusal with %q", s.name, err, s.refused)
		}
	}
}

// TestEachRuleHasABadGrid: a rule that no bad Grid meets may never have worked.
func TestEachRuleHasABadGrid(t *testing.T) {
	var met strings.Builder
	for _, s := range samples(t, bad) {
		met.WriteString(s.refused + "\n")
	}
	rules := rulesOf(read(t).Spec.Versions[0].Schema.OpenAPIV3Schema)
	if len(rules) < 15 {
		t.Errorf("found %d rules, too few to be all", len(rules))
	}
	for _, rule := range rules {
		if !strings.Contains(met.String(), rule.Message) {
			t.Errorf("no file in %s is refused with %q", bad, rule.Message)
		}
	}
}

func rulesOf(schema *apiextensionsv1.JSONSchemaProps) []apiextensionsv1.ValidationRule {
	rules := schema.XValidations
	for _, property := range schema.Properties {
		rules = append(rules, rulesOf(&property)...)
	}
	if schema.AdditionalProperties != nil {
		rules = append(rules, rulesOf(schema.AdditionalProperties.Schema)...)
	}
	if schema.Items != nil {
		rules = append(rules, rulesOf(schema.Items.Schema)...)
	}
	return rules
}

// read reads the definition of Grid.
func read(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	text, err := os.ReadFile(definition)
	if err != nil {
		t.Fatal(err)
	}
	crd := new(apiextensionsv1.CustomResourceDefinition)
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}

// TestDefinition: kubectl apply keeps a copy in an annotation of at most 256 KiB,
// and every string and list has an end.
func TestDefinition(t *testing.T) {
	info, err := os.Stat(definition)
	if err != nil || info.Size() > 200_000 {
		t.Errorf("%d bytes and %v, want at most 200,000", info.Size(), err)
	}
	schema := read(t).Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, part := range []string{"spec", "status"} {
		property := schema.Properties[part]
		for _, path := range endless(part, &property) {
			t.Errorf("%s has no limit", path)
		}
	}
}

// endless returns the paths of strings, lists and maps without a limit.
func endless(path string, schema *apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	limited := schema.Enum != nil || schema.Format == "date-time" || schema.MaxLength != nil
	for _, rule := range schema.XValidations {
		limited = limited || strings.HasPrefix(rule.Rule, "size(")
	}
	switch {
	case (schema.Type == "string" || schema.XIntOrString) && !limited,
		schema.Type == "array" && schema.MaxItems == nil,
		schema.AdditionalProperties != nil && schema.MaxProperties == nil:
		found = append(found, path)
	}
	for name, property := range schema.Properties {
		found = append(found, endless(path+"."+name, &property)...)
	}
	if schema.AdditionalProperties != nil {
		found = append(found, endless(path+".*", schema.AdditionalProperties.Schema)...)
	}
	if schema.Items != nil {
		found = append(found, endless(path+"[]", schema.Items.Schema)...)
	}
	return found
}
