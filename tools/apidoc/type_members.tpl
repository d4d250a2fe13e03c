{{- define "type_members" -}}
{{- if .Doc }}{{ .Doc | replace "\n" " " | replace "|" "\\|" | replace "<" "&lt;" | trim }}{{ else }}Name, labels and the like, as in any object.{{ end }}
{{- if not .Type.Members }}{{ range index .Markers "kubebuilder:validation:XValidation" }}<br>*{{ .Message }}*{{ end }}{{ end }} | {{ if .Default }}`{{ .Default }}`{{ end }} |
{{- with index .Markers "kubebuilder:validation:Enum" }}{{ range $i, $v := index . 0 }}{{ if $i }},{{ end }} `{{ $v }}`{{ end }}{{ end }}
{{- with index .Markers "kubebuilder:validation:Minimum" }} from {{ printf "%.0f" (index . 0) }}{{ end }}
{{- with index .Markers "kubebuilder:validation:Maximum" }} to {{ printf "%.0f" (index . 0) }}{{ end }}
{{- with index .Markers "kubebuilder:validation:MaxLength" }} {{ with index $.Markers "kubebuilder:validation:MinLength" }}{{ printf "%d" (index . 0) }}{{ else }}0{{ end }} to {{ printf "%d" (index . 0) }} characters{{ end }}
{{- with index .Markers "kubebuilder:validation:MaxItems" }} at most {{ printf "%d" (index . 0) }}{{ end }}
{{- with index .Markers "kubebuilder:validation:MaxProperties" }} {{ with index $.Markers "kubebuilder:validation:MinProperties" }}exactly{{ else }}at most{{ end }} {{ printf "%d" (index . 0) }}{{ end }}
{{- end -}}
