package v1alpha1_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func TestMain(m *testing.M) { os.Exit(envtestkit.Run(m)) }

// sample is a file of Grids, to be applied in order.
type sample struct {
	name    string
	refused string // what the API server says of the last; empty: nothing
	grids   []*unstructured.Unstructured
}

// samples reads the files of a folder.
func samples(t *testing.T, folder string) []sample {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	var read []sample
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{name: strings.TrimSuffix(filepath.Base(file), ".yaml"), grids: decode(t, text)}
		first, _, _ := strings.Cut(string(text), "\n")
		s.refused, _ = strings.CutPrefix(first, "# refused: ")
		if s.refused == first {
			s.refused = ""
		}
		read = append(read, s)
	}
	return read
}

// decode reads YAML documents.
func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := new(unstructured.Unstructured)
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

// apply makes an object, or updates the one of that name, as strictly as kubectl
// does.
func apply(t *testing.T, c client.Client, namespace string, object *unstructured.Unstructured) error {
	t.Helper()
	object = object.DeepCopy()
	object.SetNamespace(namespace)
	live := new(unstructured.Unstructured)
	live.SetGroupVersionKind(object.GroupVersionKind())
	if c.Get(t.Context(), client.ObjectKeyFromObject(object), live) != nil {
		return c.Create(t.Context(), object, client.FieldValidation("Strict"))
	}
	object.SetResourceVersion(live.GetResourceVersion())
	return c.Update(t.Context(), object, client.FieldValidation("Strict"))
}
