{{- define "gvDetails" -}}
{{ .Doc | trim }}

Kind{{ if gt (len .Kinds) 1 }}s{{ end }} of {{ .GroupVersionString }}:
{{- range .SortedKinds }} {{ $.TypeForKind . | markdownRenderTypeLink }}{{ end }}.
{{- range .SortedTypes }}{{ template "type" . }}{{ end }}
{{- end -}}
