{{- define "tollgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that the longest suffix fits into a label's 63. */}}
{{- define "tollgate.fullname" -}}
{{- if .Values.fullnameOverride }}
  {{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "tollgate.name" .) .Release.Name }}
  {{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
  {{- printf "%s-%s" .Release.Name (include "tollgate.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* `root` and `component`. The first three never change: a Deployment's selector cannot. */}}
{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ include "tollgate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of the pods that hold a gate, whoever made them. */}}
{{- define "tollgate.gateSelector" -}}
{{- if eq .Values.mode "sidecar" }}
  {{- toYaml .Values.networkPolicy.podSelector }}
{{- else }}
  {{- include "tollgate.selector" (dict "root" . "component" "gate") }}
{{- end }}
{{- end }}

{{- define "tollgate.serviceAccount" -}}
{{- $default := ternary (include "tollgate.fullname" .) "default" .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default $default }}
{{- end }}

{{- define "tollgate.routesConfigMap" -}}
{{- .Values.routes.existingConfigMap | default (printf "%s-routes" (include "tollgate.fullname" .)) }}
{{- end }}

{{- define "tollgate.migrationsMode" -}}
{{- include "tollgate-lib.text" .Values.migrations.mode }}
{{- end }}

{{/* The least number of pods there will be. */}}
{{- define "tollgate.leastReplicas" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled | int }}
{{- end }}

{{/* Empty: nobody knows where the gate is, or nobody wants to. */}}
{{- define "tollgate.testUrl" -}}
{{- if .Values.test.enabled }}
  {{- if or .Values.test.gateUrl (eq .Values.mode "sidecar") }}
    {{- .Values.test.gateUrl }}
  {{- else }}
    {{- printf "http://%s:%d" (include "tollgate.fullname" .) (int .Values.service.port) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* HOST:PORT of the upstream, where the second policy closes it to all but the gate. */}}
{{- define "tollgate.testClosed" -}}
{{- if .Values.test.closed }}
  {{- .Values.test.closed }}
{{- else if and .Values.networkPolicy.enabled .Values.networkPolicy.upstreamPods (regexMatch "^https?://" .Values.upstream.url) }}
  {{- $address := regexReplaceAll "^https?://([^/]+).*$" .Values.upstream.url "${1}" }}
  {{- $port := ternary 443 80 (hasPrefix "https" .Values.upstream.url) }}
  {{- ternary $address (printf "%s:%d" $address $port) (regexMatch ":[0-9]+$" $address) }}
{{- end }}
{{- end }}
