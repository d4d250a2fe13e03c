{{- define "gvList" -}}
# API reference

Generated from [api/v1alpha1](../api/v1alpha1) by `make generate`: change it there. What the API server says to a
spec that breaks a rule is set in *italics*, or listed under the kind.
{{ range . }}
{{ template "gvDetails" . }}{{ end }}{{ "\n" }}

{{- end -}}
