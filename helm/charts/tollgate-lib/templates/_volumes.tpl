{{/*
The volumes of the container: the route files' ConfigMap as a directory (with subPath a change would never
arrive), and of each Secret its one key, as a file only the gate's container mounts.

  {{ include "tollgate-lib.volumes" (dict "root" $ "values" .Values.tollgate) }}
*/}}
{{- define "tollgate-lib.volumes" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
- name: tollgate-routes
  configMap:
    name: {{ .routesConfigMap | default $values.routes.existingConfigMap | default "tollgate-routes" }}
{{ include "tollgate-lib.secretVolume" (dict "name" "tollgate-database" "secret" $values.secrets.database "file" "DATABASE_URL") }}
{{ include "tollgate-lib.secretVolume" (dict "name" "tollgate-redis" "secret" $values.secrets.redis "file" "REDIS_URL") }}
{{- if $values.secrets.jwt.name }}
{{ include "tollgate-lib.secretVolume" (dict "name" "tollgate-jwt" "secret" $values.secrets.jwt "file" "JWT_SECRET") }}
{{- end }}
{{- with $values.extraVolumes }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{/* The volumes of the container that migrates. `migrations.database` may name another role's Secret. */}}
{{- define "tollgate-lib.migrateVolumes" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
{{- $secret := ternary $values.migrations.database $values.secrets.database (ne $values.migrations.database.name "") }}
{{- include "tollgate-lib.secretVolume" (dict "name" "tollgate-migrate" "secret" $secret "file" "DATABASE_URL") }}
{{- end }}

{{- define "tollgate-lib.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret.name | quote }}
    items: [{ key: {{ .secret.key | quote }}, path: {{ .file }} }]
{{- end }}
