//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// refused: the API server itself refuses what cannot be meant, in words that say
// what to do.
func refused(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-refused")
	const own, ref = "image: node:1\nreplicas: 3\n", "statefulSetRef: {name: mine}\n"
	for _, c := range []struct{ name, spec, want string }{
		{"demo", "{}", "set exactly one of image (the operator makes the pods) and statefulSetRef"},
		{"demo", own + ref, "set exactly one of image"},
		{"demo", "image: node:1", "replicas is required with image: say how many pods you want"},
		{"demo", "image: node:1\nreplicas: -1", "greater than or equal to 0"},
		{"demo", "image: node 1\nreplicas: 3", "image must not contain white space"},
		{"demo", ref + "replicas: 3", "replicas is not allowed with statefulSetRef: scale your own StatefulSet"},
		{"demo", ref + "podTemplate: {metadata: {}}", "podTemplate is not allowed with statefulSetRef"},
		{"demo", ref + "limits: {maxCalls: 1}", "limits is not allowed with statefulSetRef: set grid.Options.Limits"},
		{"demo", "statefulSetRef: {name: ''}", "at least 1 chars long"},
		{"demo", own + "adminPort: 7700", "port and adminPort must differ"},
		{"demo", own + "port: 0", "greater than or equal to 1"},
		{"demo", own + "drainTimeout: 25h", "drainTimeout must be a duration from 0s to 24h"},
		{"demo", own + "limits: {maxMessage: 100}", "maxMessage must be between 1Ki and 1Gi"},
		{"demo", own + "limits: {maxMemory: 2Ti}", "maxMemory must be between 1Mi and 1Ti"},
		{"demo", own + "podTemplate: {metadata: {labels: {gridmesh.io/grid: other}}}", "labels of gridmesh.io/ and app.kubernetes.io/ are the operator's"},
		{"demo", own + "podTemplate: {metadata: {annotations: {gridmesh.io/x: mine}}}", "annotations of gridmesh.io/ are the operator's"},
		{"demo", own + "tls: {mode: magic}", "Unsupported value"},
		{"demo", own + "tls: {mode: secret}", "tls.secret goes with tls.mode secret"},
		{"demo", own + "tls: {mode: certManager}", "tls.certManager goes with tls.mode certManager"},
		{"demo", own + "tls: {mode: volume}", "tls.volume is required with tls.mode volume and image"},
		{"demo", own + "tls: {mode: self, identity: pod}", "tls.identity pod needs a certificate for each pod"},
		{"demo", own + "tls: {mode: secret, secret: {name: x, ca: mine}}", "tls.secret.ca must hold certificates as PEM"},
		{"a2345678901234567890123456789012345678901", own, "metadata.name must be at most 40 characters"},
		{"1demo", own, "metadata.name must be lower-case letters"},
		{"demo.x", own, "metadata.name must be lower-case letters"},
	} {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(fmt.Appendf(nil, "metadata: {name: %q, namespace: %q}\nspec:\n  %s", c.name, namespace, strings.ReplaceAll(c.spec, "\n", "\n  ")), &object.Object); err != nil {
			t.Fatalf("%s: %v", c.spec, err)
		}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Grid"))
		err := s.client.Create(t.Context(), object, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: got %v, want %q", c.name, c.spec, err, c.want)
		}
	}
	// What can't change.
	grid := s.grid(namespace, "demo", 0)
	s.create(t, grid)
	for patch, want := range map[string]string{
		`{"spec":{"port":7800}}`:      "port cannot change: it is part of every node's name",
		`{"spec":{"adminPort":7801}}`: "adminPort cannot change",
		`{"spec":{"image":null,"replicas":null,"statefulSetRef":{"name":"x"}}}`: "a Grid cannot change between image and statefulSetRef",
		`{"spec":{"tls":{"mode":"none"}}}`:                                      "a Grid cannot change between TLS and plain text",
	} {
		err := s.client.Patch(t.Context(), grid.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", patch, err, want)
		}
	}
}
