package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is what the chart's schema uses of JSON Schema.
type schema struct {
	Description          string             `json:"description"`
	Type                 any                `json:"type"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties any                `json:"additionalProperties"`
}

// ofParents are known to the schema and not to values.yaml: Helm hands them down
// to a chart within another one.
var ofParents = []string{"enabled", "global"}

// TestSchemaKnowsTheValues: Helm refuses what the schema does not know, so each
// value has to be there, and nothing else.
func TestSchemaKnowsTheValues(t *testing.T) {
	t.Parallel()
	var s schema
	decode(t, "charts/gridmesh/values.schema.json", json.Unmarshal, &s)
	var values map[string]any
	decode(t, "charts/gridmesh/values.yaml", yaml.Unmarshal, &values)
	for _, name := range ofParents {
		if s.Properties[name] == nil {
			t.Errorf("%s is not in the schema", name)
		}
		delete(s.Properties, name)
	}
	compare(t, "", &s, values)
}

func compare(t *testing.T, at string, s *schema, values map[string]any) {
	t.Helper()
	if s.AdditionalProperties != false {
		t.Errorf("%s: the schema lets a misspelt value pass: additionalProperties is not false", at)
	}
	if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(values)); !slices.Equal(got, want) {
		t.Errorf("%s: the schema has %v, values.yaml has %v", at, got, want)
	}
	for name, property := range s.Properties {
		if property.Description == "" {
			t.Errorf("%s.%s: no description in the schema", at, name)
		}
		if property.Type == nil {
			t.Errorf("%s.%s: no type in the schema", at, name)
		}
		if inner, ok := values[name].(map[string]any); ok && property.Properties != nil {
			compare(t, at+"."+name, property, inner)
		}
	}
}

// decode reads one file of the tree.
func decode(t *testing.T, path string, unmarshal func([]byte, any) error, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err == nil {
		err = unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
