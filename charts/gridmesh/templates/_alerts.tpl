{{/*
The groups of alerts.yaml, less prometheusRule.disabled, with labels and
runbooks.
*/}}
{{- define "gridmesh.alerts" -}}
{{- $rule := .Values.prometheusRule -}}
{{- $expires := mul $rule.certificateExpiresInHours 3600 | toString -}}
{{- range (.Files.Get "alerts.yaml" | fromYaml).groups }}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (has .alert $rule.disabled) -}}
{{- $_ := set . "expr" (.expr | replace "604800" $expires) -}}
{{- $_ := set . "labels" (merge (dict) $rule.alertLabels .labels) -}}
{{- $_ := set .annotations "runbook_url" (printf "%s%s.md" $rule.runbooks .alert) -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end }}
{{- if $rules }}
- name: {{ .name }}
  rules:
    {{- toYaml $rules | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
