{{/* Everything that only the user can know and has not said, told at once. */}}
{{- define "tollgate.checks" -}}
{{- $problems := include "tollgate.problems" . | trim }}
{{- if $problems }}{{ fail (printf "\n\n%s\n" $problems) }}{{ end }}
{{- end }}

{{- define "tollgate.problems" -}}
{{- $isSidecar := eq .Values.mode "sidecar" }}
{{- $monitors := .Values.monitoring }}
{{- $policy := .Values.networkPolicy }}
{{- $migrations := include "tollgate.migrationsMode" . }}
{{- if not $isSidecar }}
{{ include "tollgate-lib.problems" (dict "root" . "values" .Values "sidecar" false) | trim }}
{{- end }}
{{- if and .Values.routes.files .Values.routes.existingConfigMap }}
routes.files is set together with routes.existingConfigMap: the rules come from one of them. Example: --set routes.existingConfigMap=
{{- else if and (not .Values.routes.files) (not .Values.routes.existingConfigMap) (not $isSidecar) }}
routes.files is empty, and so is routes.existingConfigMap: without rules every request is refused. Example: --set-file routes.files.routes\.yaml=config/routes.yaml
{{- else if and .Values.routes.files (not (hasKey .Values.routes.files "routes.yaml")) }}
routes.files has no routes.yaml: the gate reads that one first, and those it includes. Example: --set-file routes.files.routes\.yaml=config/routes.yaml
{{- end }}
{{- if and $isSidecar (eq $migrations "init") }}
migrations.mode is init, and mode is sidecar: the chart has no pod to put it into. Example: --set migrations.mode=hook
{{- end }}
{{- if and $isSidecar (eq $migrations "hook") (not .Values.secrets.database.name) (not .Values.migrations.database.name) }}
secrets.database.name is empty: the migration needs the database's address. Example: --set secrets.database.name=tollgate, or --set migrations.mode=auto
{{- end }}
{{- if and $isSidecar (not $policy.podSelector) (or $policy.enabled $monitors.podMonitor.enabled) }}
networkPolicy.podSelector is empty, and mode is sidecar: the policy and the PodMonitor have to know the pods that hold the gate. Example: --set networkPolicy.podSelector.app=api
{{- end }}
{{- if and $isSidecar $monitors.serviceMonitor.enabled }}
monitoring.serviceMonitor is on, and mode is sidecar: its Service would select pods of another chart. Example: --set monitoring.podMonitor.enabled=true
{{- end }}
{{- if and $policy.enabled (not $policy.adminFrom) (or $monitors.podMonitor.enabled $monitors.serviceMonitor.enabled) }}
networkPolicy.adminFrom is empty, and a monitor is on: the policy would keep Prometheus from scraping. Example: --set networkPolicy.adminFrom[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
autoscaling.minReplicas is above autoscaling.maxReplicas: there is no such number of pods. Example: --set autoscaling.maxReplicas={{ int .Values.autoscaling.minReplicas }}
{{- end }}
{{- if and .Values.test.closed (not (regexMatch ":[0-9]+$" .Values.test.closed)) }}
test.closed has no port: a connection needs one. Example: --set test.closed=api.default.svc:3000
{{- end }}
{{- end }}
