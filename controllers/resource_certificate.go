package controllers

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/controllers/pki"
)

// certificateKind is cert-manager's. Its types are not linked in: they would
// bring its whole API along for one object.
var certificateKind = schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}

// certificateOf asks cert-manager for the certificate that all nodes share.
func certificateOf(g *v1alpha1.Grid, service string) *unstructured.Unstructured {
	issuer := g.Spec.TLS.CertManager.IssuerRef
	labels := make(map[string]any)
	for key, value := range names.Labels(g.Name) {
		labels[key] = value
	}
	metadata := map[string]any{
		"name":      names.Certificate(g.Name),
		"namespace": g.Namespace,
		"labels":    labels,
	}
	if !names.Adopted(g) {
		metadata["ownerReferences"] = []any{map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Grid", "name": g.Name, "uid": string(g.UID), "controller": true,
		}}
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": metadata,
		"spec": map[string]any{
			"secretName":     names.TLSSecret(g.Name),
			"secretTemplate": map[string]any{"labels": labels},
			"dnsNames":       []any{names.Wildcard(service, g.Namespace)},
			"duration":       pki.LeafLife.String(),
			"renewBefore":    (pki.LeafLife / 3).String(),
			"usages":         []any{"digital signature", "server auth", "client auth"},
			"privateKey":     map[string]any{"algorithm": "ECDSA", "size": int64(256), "rotationPolicy": "Always"},
			"issuerRef":      map[string]any{"name": issuer.Name, "kind": issuer.Kind, "group": issuer.Group},
		},
	}}
	u.SetGroupVersionKind(certificateKind)
	return u
}
