{{/* A pod that runs the `agentsight` command as an operator. */}}
{{- define "agentsight.operatorPod" -}}
{{- $fullname := include "agentsight.fullname" . -}}
{{- with include "agentsight.pull" . }}{{ . | trim }}
{{ end -}}
automountServiceAccountToken: false
securityContext: {{- include "agentsight.restrictedPod" 65532 | nindent 2 }}
volumes:
  - {name: config, configMap: {name: {{ $fullname }}-operator}}
  - {{- include "agentsight.secretsVolume" (dict "root" . "role" "operator") | nindent 4 }}
  - {name: tmp, emptyDir: {}}
{{- end -}}

{{- define "agentsight.operatorContainer" -}}
image: {{ include "agentsight.image" (dict "root" . "image" .Values.cli.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - {name: AGENTSIGHT_CONFIG, value: /etc/agentsight/config/agentsight.yaml}
securityContext: {{- include "agentsight.restricted" . | nindent 2 }}
resources: {{- toYaml .Values.cli.resources | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/agentsight/config, readOnly: true}
  - {name: secrets, mountPath: /etc/agentsight/secrets, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
