{{/*
What only the user can know and has not said, a sentence a line: the value, why, an example. Wrong names
and types are refused by values.schema.json before; a chart of your own has no such schema, so names
are looked at here too.
*/}}
{{- define "tollgate-lib.problems" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
{{- with $values }}
{{- if not .upstream.url }}
upstream.url is empty: the gate has to know the service it stands in front of. Example: --set upstream.url={{ ternary "http://127.0.0.1:3000" "http://api.default.svc:3000" $.sidecar }}
{{- end }}
{{- if not .secrets.database.name }}
secrets.database.name is empty: tokens are kept in Postgres. Example: kubectl create secret generic tollgate --from-literal=DATABASE_URL=postgres://… and --set secrets.database.name=tollgate
{{- end }}
{{- if not .secrets.redis.name }}
secrets.redis.name is empty: nonces of signed requests are kept in Redis. Example: kubectl create secret generic tollgate --from-literal=REDIS_URL=redis://… and --set secrets.redis.name=tollgate
{{- end }}
{{- if and (not .secrets.jwt.name) (not .config.JWT_JWKS_URL) }}
secrets.jwt.name is empty: user JWTs need a key to be checked with. Example: --set secrets.jwt.name=tollgate, or --set config.JWT_JWKS_URL=https://login.example.com/.well-known/jwks.json
{{- end }}
{{- if and .secrets.jwt.name .config.JWT_JWKS_URL }}
secrets.jwt.name is set together with config.JWT_JWKS_URL: keys come from one of them. Example: --set secrets.jwt.name=
{{- end }}
{{- range $name, $_ := .config }}
{{- $owner := index (include "tollgate-lib.owners" . | fromYaml) $name }}
{{- if $owner }}
config.{{ $name }} is refused: {{ $owner }}
{{- end }}
{{- end }}
{{- range .extraEnv }}
{{- if has .name (list "DATABASE_URL" "REDIS_URL" "JWT_SECRET") }}
extraEnv has {{ .name }}: a secret in the pod's description is read by everybody who may read pods. Example: --set secrets.{{ get (dict "DATABASE_URL" "database" "REDIS_URL" "redis" "JWT_SECRET" "jwt") .name }}.name=tollgate
{{- end }}
{{- end }}
{{- if include "tollgate-lib.cacheMi" .config | int }}
{{- range $kind, $given := .resources }}
{{- if and $given.memory (not (regexMatch "^[0-9]+(Mi|Gi)$" (toString $given.memory))) }}
resources.{{ $kind }}.memory is {{ $given.memory }}: what config.CACHE_MAX_TOKENS needs is added to it, and only whole Mi and Gi can be added to. Example: --set resources.{{ $kind }}.memory=512Mi
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings that `config` may not hold, and what sets them. values.schema.json says the same. */}}
{{- define "tollgate-lib.owners" -}}
HOST: listenAddress sets it
PORT: the gate listens on 8080 in a pod
ADMIN_HOST: listenAddress sets it
ADMIN_PORT: the admin port is 9090 in a pod
UPSTREAM_URL: upstream.url sets it
DATABASE_URL: it is a secret, and secrets.database names the Secret that holds it
REDIS_URL: it is a secret, and secrets.redis names the Secret that holds it
JWT_SECRET: it is a secret, and secrets.jwt names the Secret that holds it
ROUTES_FILE: routes.files or routes.existingConfigMap gives the route file
MIGRATIONS: migrations.mode sets it
DRAIN_DELAY_MS: drainDelaySeconds sets it
SHUTDOWN_GRACE_MS: shutdownGraceSeconds sets it
UPSTREAM_EXPOSURE: upstream.exposure sets it
POD_IP: the pod's own description sets it
NODE_ENV: the image sets it
TOLLGATE_ALLOW_EMBEDDED: nothing embedded steps in where the chart names a database and a Redis
{{- end }}
