{{/* The name of the chart, for the label of that name. */}}
{{- define "gridmesh.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/*
The name of all namespaced objects. "-operator" keeps them apart from the
objects of a Grid that has the release's name.
*/}}
{{- define "gridmesh.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "gridmesh.name" .) .Release.Name }}
{{- printf "%s-operator" (.Release.Name | trunc 45 | trimSuffix "-") }}
{{- else }}
{{- printf "%s-operator" (printf "%s-%s" .Release.Name (include "gridmesh.name" .) | trunc 45 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{/*
The name of objects that lie outside the release's namespace, where releases of
the same name meet.
*/}}
{{- define "gridmesh.outerName" -}}
{{- printf "%s-%s" (include "gridmesh.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "gridmesh.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "gridmesh.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.create is false: name the account in serviceAccount.name" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "gridmesh.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gridmesh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "gridmesh.labels" -}}
{{ include "gridmesh.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gridmesh
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image: called with (dict "image" … "root" $). */}}
{{- define "gridmesh.image" -}}
{{- .image.repository -}}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end }}

{{/* The operator's file. */}}
{{- define "gridmesh.config" -}}
{{- dict "logging" (dict "targets" .Values.logging.targets) | toYaml -}}
{{- end }}

{{/* kubernetes, open or off. */}}
{{- define "gridmesh.metricsAccess" -}}
{{- if eq .Values.metrics.access "auto" -}}
{{- ternary "off" "kubernetes" (gt (len .Values.watchNamespaces) 0) -}}
{{- else -}}
{{- .Values.metrics.access -}}
{{- end -}}
{{- end }}

{{/* The namespace in which helm test makes its Grid: one that is watched. */}}
{{- define "gridmesh.testNamespace" -}}
{{- if or (empty .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- first .Values.watchNamespaces -}}
{{- end -}}
{{- end }}

{{/* The subject of every binding of the operator. */}}
{{- define "gridmesh.subjects" -}}
- kind: ServiceAccount
  name: {{ include "gridmesh.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/*
What a schema cannot say, said before anything is installed. Included by the
Deployment.
*/}}
{{- define "gridmesh.validate" -}}
{{- $access := include "gridmesh.metricsAccess" . -}}
{{- if and .Values.metrics.serviceMonitor.enabled (eq $access "off") -}}
{{- fail (printf "metrics.serviceMonitor.enabled needs metrics: set metrics.access to kubernetes (needs a ClusterRole) or open; it is %s, which is off%s" .Values.metrics.access (ternary " with watchNamespaces" "" (eq .Values.metrics.access "auto"))) -}}
{{- end -}}
{{- if and .Values.metrics.readers (ne $access "kubernetes") -}}
{{- fail (printf "metrics.readers needs metrics.access kubernetes, where the API server is asked; it is %s" $access) -}}
{{- end -}}
{{- if and .Values.logging.secrets (not .Values.logging.targets) -}}
{{- fail "logging.secrets is for the targets of the log: give logging.targets, too" -}}
{{- end -}}
{{- if eq (int .Values.metrics.port) 8081 -}}
{{- fail "metrics.port 8081 is the port of the probes: take another one" -}}
{{- end -}}
{{- range .Values.prometheusRule.disabled -}}
{{- if not (contains (printf "alert: %s\n" .) ($.Files.Get "alerts.yaml")) -}}
{{- fail (printf "prometheusRule.disabled: there is no alert %s; docs/runbooks lists them" .) -}}
{{- end -}}
{{- end -}}
{{- end }}
