{{/* Names, labels, images: used by all templates. */}}

{{- define "agentsight.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "agentsight.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "agentsight.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "agentsight.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "agentsight.agentNamespace" -}}
{{- .Values.agent.namespace | default (printf "%s-agents" .Release.Namespace) -}}
{{- end -}}

{{/* Labels that never change. Argument: dict "root" $ "component" NAME */}}
{{- define "agentsight.selector" -}}
app.kubernetes.io/name: {{ include "agentsight.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "agentsight.labels" -}}
{{ include "agentsight.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: agentsight
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Argument: dict "root" $ "image" VALUE */}}
{{- define "agentsight.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $name := .image.repository -}}
{{- if $registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (get .image "tag" | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "agentsight.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What a namespace with `restricted` asks of a container. */}}
{{- define "agentsight.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The same of a pod. Argument: number of user and group. */}}
{{- define "agentsight.restrictedPod" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Where a pod may run. Argument: dict "root" $ "of" VALUES */}}
{{- define "agentsight.placement" -}}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Argument: dict "root" $ "component" NAME "when" whenUnsatisfiable */}}
{{- define "agentsight.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .when }}
    labelSelector:
      matchLabels: {{- include "agentsight.selector" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "agentsight.selector" . | nindent 8 }}
{{- end -}}

{{/* Secrets and ConfigMaps that certificates and keys are in. */}}
{{- define "agentsight.trust" -}}
{{- if eq .Values.certificates.method "helm" }}{{ include "agentsight.fullname" . }}-trust{{ else }}{{ .Values.certificates.trustConfigMap }}{{ end -}}
{{- end -}}

{{/* A volume with everything that one role shows and knows. Argument: dict "root" $ "role" NAME "server" BOOL */}}
{{- define "agentsight.secretsVolume" -}}
{{- $fullname := include "agentsight.fullname" .root -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    - configMap: {name: {{ include "agentsight.trust" .root }}}
    - secret:
        name: {{ $fullname }}-{{ .role }}-tls
        items: [{key: tls.crt, path: {{ .role }}.crt}, {key: tls.key, path: {{ .role }}.key}]
    - secret: {name: {{ $fullname }}-{{ .role }}-keys}
    {{- if .server }}
    - secret:
        name: {{ $fullname }}-server-tls
        items: [{key: tls.crt, path: server.crt}, {key: tls.key, path: server.key}]
    {{- end }}
{{- end -}}

{{/* Names that the certificate of servers is for, as a JSON array. The first is the shortest. */}}
{{- define "agentsight.serverNames" -}}
{{- $fullname := include "agentsight.fullname" . -}}
{{- $names := list (printf "%s-aggregator" $fullname) "localhost" -}}
{{- range $name := list "aggregator" "nats" -}}
{{- $names = concat $names (list (printf "%s-%s" $fullname $name) (printf "%s-%s.%s" $fullname $name $.Release.Namespace) (printf "%s-%s.%s.svc" $fullname $name $.Release.Namespace)) -}}
{{- end -}}
{{- range $name := list "nats" "etcd" -}}
{{- range $number := until (int (get $.Values $name).replicas) -}}
{{- $names = append $names (printf "%s-%s-%d.%s-%s-headless.%s.svc" $fullname $name $number $fullname $name $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- concat $names .Values.certificates.extraNames | uniq | toJson -}}
{{- end -}}
