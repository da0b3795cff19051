{{/*
The gate's container: the same in stand-alone use and as a native sidecar. Call it under
`initContainers:` of your pod, after the one-shot init containers and the mesh:

  {{ include "tollgate-lib.container" (dict "root" $ "values" .Values.tollgate "sidecar" true) }}

`values` are those of the application chart's values.yaml that concern a container; what is left out
has the same default. `routesConfigMap` overrides the name of the ConfigMap. Ports are numbers
everywhere: names of a native sidecar's ports did not resolve in Services before Kubernetes 1.32.
*/}}
{{- define "tollgate-lib.container" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
{{- $problems := include "tollgate-lib.problems" . | trim }}
{{- if $problems }}{{ fail (printf "\n\n%s\n" $problems) }}{{ end }}
- name: tollgate
  image: {{ include "tollgate-lib.image" $values.image | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
{{- if .sidecar }}
  restartPolicy: Always
{{- end }}
  env:
    {{- include "tollgate-lib.env" . | nindent 4 }}
  ports:
    - containerPort: 8080
    - containerPort: 9090
  # Never the upstream: in a sidecar it starts only after this. Never the stores: an outage would restart the gate in a loop.
  startupProbe:
    httpGet: { port: 9090, path: /startupz }
    periodSeconds: 1
    failureThreshold: 60
  readinessProbe:
    httpGet: { port: 9090, path: /readyz }
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  livenessProbe:
    httpGet: { port: 9090, path: /livez }
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
{{- if .sidecar }}
  # Begins draining while the application sleeps; SIGTERM comes after the application has ended.
  lifecycle:
    preStop:
      exec:
        command: [/nodejs/bin/node, -e, "process.kill(1,'SIGUSR2')"]
{{- end }}
  resources:
    {{- include "tollgate-lib.resources" $values | nindent 4 }}
  securityContext:
    {{- include "tollgate-lib.securityContext" . | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - { name: tollgate-routes, mountPath: /etc/tollgate/routes, readOnly: true }
    - { name: tollgate-database, mountPath: /etc/tollgate/secrets/database, readOnly: true }
    - { name: tollgate-redis, mountPath: /etc/tollgate/secrets/redis, readOnly: true }
{{- if $values.secrets.jwt.name }}
    - { name: tollgate-jwt, mountPath: /etc/tollgate/secrets/jwt, readOnly: true }
{{- end }}
{{- with $values.extraVolumeMounts }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
{{- end }}
{{- end }}

{{/* Brings the schema up to date and ends: an init container, or the container of a Job. */}}
{{- define "tollgate-lib.migrateContainer" -}}
{{- $values := include "tollgate-lib.values" . | fromYaml }}
- name: tollgate-migrate
  image: {{ include "tollgate-lib.image" $values.image | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args: [migrate]
  env:
    {{- include "tollgate-lib.migrateEnv" . | nindent 4 }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    {{- include "tollgate-lib.securityContext" . | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - { name: tollgate-migrate, mountPath: /etc/tollgate/secrets/database, readOnly: true }
{{- with $values.extraVolumeMounts }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
{{- end }}
{{- end }}
