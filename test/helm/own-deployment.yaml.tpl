# A chart of somebody's own, with the gate as the last init container. The test puts it beside the library.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-api
spec:
  selector: { matchLabels: { app: api } }
  template:
    metadata: { labels: { app: api } }
    spec:
      terminationGracePeriodSeconds: 45
      initContainers:
        {{- include "tollgate-lib.container" (dict "root" $ "values" .Values.tollgate "sidecar" true) | nindent 8 }}
      containers:
        - name: api
          image: api:7.0.0
          lifecycle:
            {{- include "tollgate-lib.appPreStop" (dict "values" .Values.tollgate) | nindent 12 }}
      volumes:
        {{- include "tollgate-lib.volumes" (dict "root" $ "values" .Values.tollgate) | nindent 8 }}
