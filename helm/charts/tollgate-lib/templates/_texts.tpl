{{/*
A value of `config` as the text of an environment variable. Numbers come from YAML as floats, which print
as 1e+06; `on` and `off` come as booleans, since no setting that `config` takes is called true or false.
$(NAME) would be replaced by Kubernetes.
*/}}
{{- define "tollgate-lib.text" -}}
{{- $text := "" }}
{{- if kindIs "string" . }}{{ $text = . }}
{{- else if kindIs "bool" . }}{{ $text = ternary "on" "off" . }}
{{- else if kindIs "slice" . }}{{ $text = join "," . }}
{{- else }}{{ $text = toJson . }}
{{- end }}
{{- $text | replace "$(" "$$(" }}
{{- end }}

{{/* Of the gate that these templates were written for. (Chart.AppVersion would be that of the calling chart.) */}}
{{- define "tollgate-lib.version" -}}
0.1.0
{{- end }}

{{/* The image; takes `image` of the values. A digest wins over the tag. */}}
{{- define "tollgate-lib.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default (include "tollgate-lib.version" .) }}
{{- end }}
{{- end }}

{{/*
`memory`, enlarged by `more` Mi. Reads whole Mi and Gi; what it cannot read stays as it is, and
_problems.tpl says so.
*/}}
{{- define "tollgate-lib.memory" -}}
{{- $more := int .more }}
{{- if and $more (regexMatch "^[0-9]+(Mi|Gi)$" .memory) }}
  {{- $size := regexFind "^[0-9]+" .memory | int }}
  {{- add (ternary (mul $size 1024) $size (hasSuffix "Gi" .memory)) $more }}Mi
{{- else }}{{ .memory }}
{{- end }}
{{- end }}

{{/* MiB that the tokens above the default of CACHE_MAX_TOKENS take, rounded up. */}}
{{- define "tollgate-lib.cacheMi" -}}
{{- $tokens := .CACHE_MAX_TOKENS | default 10000 | int }}
{{- if gt $tokens 10000 }}{{ div (add (sub $tokens 10000) 1023) 1024 }}{{ else }}0{{ end }}
{{- end }}

{{/*
Resources of the gate; takes the values. What a larger cache needs is added once to the request and twice
to the limit, of which nodeOptions give the heap one half.
*/}}
{{- define "tollgate-lib.resources" -}}
{{- $resources := deepCopy .resources }}
{{- $more := include "tollgate-lib.cacheMi" .config | int }}
{{- range $kind, $times := dict "requests" 1 "limits" 2 }}
  {{- $given := get $resources $kind | default dict }}
  {{- if $given.memory }}
    {{- $_ := set $given "memory" (include "tollgate-lib.memory" (dict "more" (mul $times $more) "memory" (toString $given.memory))) }}
  {{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* PodSecurity `restricted`, and a root that nobody writes to. */}}
{{- define "tollgate-lib.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}
