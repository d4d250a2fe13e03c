package main

import (
	"strings"
	"testing"
)

const smallCRD = `---
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0
  name: grids.gridmesh.io
spec:
  description: write {{ .Values }} in braces
`

func TestCRDText(t *testing.T) {
	t.Parallel()
	got, err := crdText(smallCRD)
	if err != nil {
		t.Fatal(err)
	}
	want := crdHead + `kind: CustomResourceDefinition
metadata:
  annotations:
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    controller-gen.kubebuilder.io/version: v0
  name: grids.gridmesh.io
  labels:
    {{- include "gridmesh.labels" . | nindent 4 }}
spec:
  description: write {{ "{{" }} .Values }} in braces
{{- end }}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCRDTextRefuses(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"two documents":  smallCRD + smallCRD,
		"no annotations": strings.Replace(smallCRD, "  annotations:\n", "", 1),
		"another name":   strings.Replace(smallCRD, "grids.", "meshes.", 1),
		"nothing":        "",
	} {
		if text, err := crdText(source); err == nil {
			t.Errorf("%s: no error, and\n%s", name, text)
		}
	}
}
