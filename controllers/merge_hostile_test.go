package controllers

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// A template that cannot be merged is refused in words, whatever stands in it.
// The API server lets anything pass, and the merge of Kubernetes panics at some.
func TestTemplatesThatCannotBeMerged(t *testing.T) {
	for name, spec := range map[string]string{
		"a list for a name":          `{"containers":[{"name":["node"]}]}`,
		"an object for a name":       `{"containers":[{"name":{"node":true}}]}`,
		"a list among keys to keep":  `{"$retainKeys":[[]],"containers":[]}`,
		"objects among keys to keep": `{"$retainKeys":[{"a":1}]}`,
		"a number for containers":    `{"containers":3}`,
		"a word for a container":     `{"containers":["node"]}`,
		"an unknown directive":       `{"containers":[{"$patch":"explode"}]}`,
		"no name":                    `{"containers":[{"image":"x"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, refused := mergeTemplate(gridWith(spec))
			if refused == nil || refused.reason != reasonTemplateRefused || !strings.HasPrefix(refused.message, "spec.podTemplate") {
				t.Errorf("got %+v", refused)
			}
		})
	}
}

// The merge takes time by the square of a list's length: one of 40,000 entries,
// which a Grid has room for, would keep a worker of the operator for ten minutes
// at each look, and four such Grids would keep all others, of whomever, waiting.
func TestTemplatesAreBounded(t *testing.T) {
	list := func(begin string, entries int, end string) string {
		var b strings.Builder
		for i := range entries {
			fmt.Fprintf(&b, `,{"name":"a%d"}`, i)
		}
		return begin + strings.TrimPrefix(b.String(), ",") + end
	}
	for name, c := range map[string]struct {
		spec string
		want string // in the refusal; "": it is taken
	}{
		"as many containers": {list(`{"containers":[`, maxEntries, `]}`), ""},
		"a container more":   {list(`{"containers":[`, maxEntries+1, `]}`), "a list of 257 entries"},
		"4000 volumes":       {list(`{"volumes":[`, 4_000, `]}`), "a list of 4000 entries"},
		"as many variables":  {list(`{"containers":[{"name":"node","env":[`, maxEntries, `]}]}`), ""},
		"a variable more":    {list(`{"containers":[{"name":"node","env":[`, maxEntries+1, `]}]}`), "a list of 257 entries"},
		"as many bytes":      {`{"nodeName":"` + strings.Repeat("x", maxTemplate-15) + `"}`, ""},
		"a byte more":        {`{"nodeName":"` + strings.Repeat("x", maxTemplate-14) + `"}`, "131073 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, refused := mergeTemplate(gridWith(c.spec))
			switch {
			case c.want == "" && refused != nil:
				t.Errorf("refused: %s", refused.message)
			case c.want != "" && (refused == nil || !strings.Contains(refused.message, c.want)):
				t.Errorf("got %+v, want %q", refused, c.want)
			}
		})
	}
}

// gridWith is a Grid with that as spec.podTemplate.spec.
func gridWith(spec string) *v1alpha1.Grid {
	replicas := int32(3)
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "demo"},
		Spec: v1alpha1.GridSpec{
			Image: "gridmesh/node:v1", Replicas: &replicas, Port: 7700, AdminPort: 7701, TLS: v1alpha1.TLS{Mode: v1alpha1.TLSSelf},
			PodTemplate: &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: []byte(spec)}},
		},
	}
}
