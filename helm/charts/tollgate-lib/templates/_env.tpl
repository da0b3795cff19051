{{/*
The environment. A name that is there twice is an error for server-side apply, which Helm 4 uses, so a
repeated one fails here, with its name.
*/}}
{{- define "tollgate-lib.env" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
{{- $env := include "tollgate-lib.ownEnv" . | fromYamlArray }}
{{- range $name, $value := $values.config }}
  {{- $env = append $env (dict "name" $name "value" (include "tollgate-lib.text" $value)) }}
{{- end }}
{{- include "tollgate-lib.allEnv" (dict "root" .root "env" $env "extraEnv" $values.extraEnv) }}
{{- end }}

{{- define "tollgate-lib.ownEnv" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
- { name: HOST, value: {{ $values.listenAddress | quote }} }
- { name: ADMIN_HOST, value: {{ $values.listenAddress | quote }} }
- { name: UPSTREAM_URL, value: {{ $values.upstream.url | quote }} }
- { name: ROUTES_FILE, value: /etc/tollgate/routes/routes.yaml }
- { name: DATABASE_URL_FILE, value: /etc/tollgate/secrets/database/DATABASE_URL }
- { name: REDIS_URL_FILE, value: /etc/tollgate/secrets/redis/REDIS_URL }
{{- if $values.secrets.jwt.name }}
- { name: JWT_SECRET_FILE, value: /etc/tollgate/secrets/jwt/JWT_SECRET }
{{- end }}
{{- if .sidecar }}
- { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
- { name: UPSTREAM_EXPOSURE, value: {{ $values.upstream.exposure | quote }} }
# When SIGTERM comes, the application has ended: nothing is left to serve.
- { name: DRAIN_DELAY_MS, value: "0" }
- { name: SHUTDOWN_GRACE_MS, value: "3000" }
{{- else }}
- { name: DRAIN_DELAY_MS, value: {{ mul 1000 (int $values.drainDelaySeconds) | quote }} }
- { name: SHUTDOWN_GRACE_MS, value: {{ mul 1000 (int $values.shutdownGraceSeconds) | quote }} }
{{- end }}
{{- if ne $values.migrations.mode "auto" }}
- { name: MIGRATIONS, value: "off" }
{{- end }}
{{- with $values.nodeOptions }}
- { name: NODE_OPTIONS, value: {{ . | quote }} }
{{- end }}
{{- end }}

{{/* `migrate` reads the address and the first length of the lease, and nothing else. */}}
{{- define "tollgate-lib.migrateEnv" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
{{- $env := list (dict "name" "DATABASE_URL_FILE" "value" "/etc/tollgate/secrets/database/DATABASE_URL") }}
{{- with $values.config.LEASE_MS }}
  {{- $env = append $env (dict "name" "LEASE_MS" "value" (include "tollgate-lib.text" .)) }}
{{- end }}
{{- include "tollgate-lib.allEnv" (dict "root" .root "env" $env "extraEnv" $values.extraEnv) }}
{{- end }}

{{- define "tollgate-lib.allEnv" -}}
{{- $env := .env }}
{{- with .extraEnv }}
  {{- $env = concat $env (tpl (toYaml .) $.root | fromYamlArray) }}
{{- end }}
{{- $seen := dict }}
{{- range $env }}
  {{- if hasKey $seen .name }}
    {{- fail (printf "\n\nextraEnv repeats %s: the container has it already, and server-side apply refuses a name twice. Example: --set config.LOG_LEVEL=debug, or the value that sets it\n" .name) }}
  {{- end }}
  {{- $_ := set $seen .name true }}
{{- end }}
{{- toYaml $env }}
{{- end }}
