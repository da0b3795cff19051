{{/*
The `lifecycle` of the application's container beside the sidecar: it goes on serving while endpoints
disappear. Needs no shell; the gate begins draining at the same moment.

  {{ include "tollgate-lib.appPreStop" (dict "values" .Values.tollgate) }}
*/}}
{{- define "tollgate-lib.appPreStop" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
preStop:
  sleep: { seconds: {{ int $values.drainDelaySeconds }} }
{{- end }}
