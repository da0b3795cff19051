{{/*
What applies where a caller leaves a value out. The application chart's values.yaml says the same, with
the reasons; a test compares the two.
*/}}
{{- define "tollgate-lib.defaults" -}}
image: { repository: tollgate, tag: "", digest: "", pullPolicy: IfNotPresent }
upstream: { url: "", exposure: refuse }
config: {}
secrets:
  database: { name: "", key: DATABASE_URL }
  redis: { name: "", key: REDIS_URL }
  jwt: { name: "", key: JWT_SECRET }
routes: { existingConfigMap: "" }
migrations: { mode: hook, database: { name: "", key: DATABASE_URL } }
listenAddress: 0.0.0.0
resources:
  requests: { cpu: 100m, memory: 160Mi }
  limits: { memory: 256Mi }
nodeOptions: --max-old-space-size-percentage=50 --max-semi-space-size=8
drainDelaySeconds: 10
shutdownGraceSeconds: 25
extraEnv: []
extraVolumes: []
extraVolumeMounts: []
{{- end }}

{{/*
Fills what is missing in .values from .defaults, in place, maps within maps too. (merge would also
replace a given false, 0 or "" by the default.)
*/}}
{{- define "tollgate-lib.fill" -}}
{{- range $key, $default := .defaults }}
  {{- if or (not (hasKey $.values $key)) (kindIs "invalid" (get $.values $key)) }}
    {{- $_ := set $.values $key $default }}
  {{- else if and (kindIs "map" $default) (kindIs "map" (get $.values $key)) }}
    {{- include "tollgate-lib.fill" (dict "defaults" $default "values" (get $.values $key)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
The caller's values, filled up, as YAML: the other templates begin with it. An `off` without quotes is a
boolean in YAML.
*/}}
{{- define "tollgate-lib.values" -}}
{{- $values := deepCopy (default dict .values) }}
{{- include "tollgate-lib.fill" (dict "defaults" (include "tollgate-lib.defaults" . | fromYaml) "values" $values) }}
{{- $_ := set $values.upstream "exposure" (include "tollgate-lib.text" $values.upstream.exposure) }}
{{- $_ := set $values.migrations "mode" (include "tollgate-lib.text" $values.migrations.mode) }}
{{- toYaml $values }}
{{- end }}
