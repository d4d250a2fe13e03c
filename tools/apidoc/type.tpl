{{- define "type" -}}
{{- if markdownShouldRenderType . }}

## {{ .Name }}

{{ .Doc | replace "<" "&lt;" }}
{{- if .References }}

Stands in{{ range $i, $r := .SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $r }}{{ end }}.
{{- end }}
{{- if not .Members }}
{{- with index .Markers "kubebuilder:validation:MaxLength" }} At most {{ printf "%d" (index . 0) }} characters.{{ end }}
{{- end }}
{{- with index .Markers "kubebuilder:validation:XValidation" }}

The API server refuses, in these words:
{{ range . }}
- {{ .Message }}
{{- end }}
{{- end }}
{{- if .Members }}

| Field | Meaning | Default | Limits |
|---|---|---|---|
{{- if .GVK }}
| `apiVersion` | `{{ .GVK.Group }}/{{ .GVK.Version }}` | | |
| `kind` | `{{ .GVK.Kind }}` | | |
{{- end }}
{{- range .Members }}
| `{{ .Name }}`{{ if index .Markers "required" }} (required){{ end }}<br>{{ markdownRenderType .Type }} | {{ template "type_members" . }} |
{{- end }}
{{- end }}
{{- if .EnumValues }}

| Value | Meaning |
|---|---|
{{- range .EnumValues }}
| `{{ .Name }}` | {{ regexReplaceAll "^\\w+: " .Doc "" | replace "\n" " " | replace "<" "&lt;" | trim }} |
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
