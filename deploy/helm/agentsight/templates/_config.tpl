{{/* The configurations of our processes, from values. */}}

{{- define "agentsight.natsServers" -}}
{{- if .Values.nats.enabled -}}
{{- $fullname := include "agentsight.fullname" . -}}
{{- $servers := list -}}
{{- range $number := until (int .Values.nats.replicas) -}}
{{- $servers = append $servers (printf "nats://%s-nats-%d.%s-nats-headless.%s.svc:4222" $fullname $number $fullname $.Release.Namespace) -}}
{{- end -}}
{{- toJson $servers -}}
{{- else -}}
{{- toJson .Values.nats.externalServers -}}
{{- end -}}
{{- end -}}

{{- define "agentsight.etcdEndpoints" -}}
{{- if .Values.etcd.enabled -}}
{{- $fullname := include "agentsight.fullname" . -}}
{{- $endpoints := list -}}
{{- range $number := until (int .Values.etcd.replicas) -}}
{{- $endpoints = append $endpoints (printf "https://%s-etcd-%d.%s-etcd-headless.%s.svc:2379" $fullname $number $fullname $.Release.Namespace) -}}
{{- end -}}
{{- toJson $endpoints -}}
{{- else -}}
{{- toJson .Values.etcd.externalEndpoints -}}
{{- end -}}
{{- end -}}

{{- define "agentsight.otlpEndpoint" -}}
{{- $fullname := include "agentsight.fullname" . -}}
{{- if .Values.aggregator.otlpEndpoint -}}
{{- .Values.aggregator.otlpEndpoint -}}
{{- else if .Values.collector.enabled -}}
{{- printf "http://%s-collector:4317" $fullname -}}
{{- else if .Values.jaeger.enabled -}}
{{- printf "http://%s-jaeger:4317" $fullname -}}
{{- end -}}
{{- end -}}

{{/* What all roles have. Argument: dict "root" $ "role" NAME */}}
{{- define "agentsight.commonConfig" -}}
node:
  cluster: {{ .root.Values.cluster }}
  {{- if eq .role "agent" }}
  telemetry_host: 0.0.0.0
  telemetry_port: {{ .root.Values.agent.port }}
  {{- end }}
bus:
  embedded: false
  servers: {{ include "agentsight.natsServers" .root }}
  partitions: {{ .root.Values.bus.partitions }}
  replicas: {{ .root.Values.nats.replicas }}
  {{- if eq .role "agent" }}
  # One credential for all nodes: answers come under one name.
  inbox: _INBOX_agents
  {{- end }}
  nkey_file: /etc/agentsight/secrets/{{ .role }}.nkey
  tls:
    ca_file: /etc/agentsight/secrets/servers.crt
    certificate_file: /etc/agentsight/secrets/{{ .role }}.crt
    key_file: /etc/agentsight/secrets/{{ .role }}.key
logging: {format: json}
{{- end -}}

{{- define "agentsight.agentConfig" -}}
{{ include "agentsight.commonConfig" (dict "root" . "role" "agent") }}
security:
  seal: {frames_public_file: /etc/agentsight/secrets/frames.public}
{{- if .Values.agent.podMetadata }}
kubernetes: {enabled: true}
{{- end }}
{{- end -}}

{{- define "agentsight.readerSeal" -}}
security:
  seal:
    frames_private_file: /etc/agentsight/secrets/frames.private
    group_file: /etc/agentsight/secrets/group.key
{{- end -}}

{{- define "agentsight.aggregatorConfig" -}}
{{- $endpoints := include "agentsight.etcdEndpoints" . -}}
{{ include "agentsight.commonConfig" (dict "root" . "role" "aggregator") }}
{{ include "agentsight.readerSeal" . }}
{{- if ne $endpoints "[]" }}
coordination:
  endpoints: {{ $endpoints }}
  ca_file: /etc/agentsight/secrets/servers.crt
  certificate_file: /etc/agentsight/secrets/aggregator.crt
  key_file: /etc/agentsight/secrets/aggregator.key
{{- end }}
api:
  host: 0.0.0.0
  port: {{ .Values.aggregator.apiPort }}
  ca_file: /etc/agentsight/secrets/servers.crt
  certificate_file: /etc/agentsight/secrets/server.crt
  key_file: /etc/agentsight/secrets/server.key
exporters:
  prometheus: {host: 0.0.0.0, port: {{ .Values.aggregator.metricsPort }}}
  {{- with include "agentsight.otlpEndpoint" . }}
  otlp: {endpoint: {{ . | quote }}}
  {{- end }}
{{- end -}}

{{- define "agentsight.operatorConfig" -}}
{{ include "agentsight.commonConfig" (dict "root" . "role" "operator") }}
{{ include "agentsight.readerSeal" . }}
api:
  ca_file: /etc/agentsight/secrets/servers.crt
  certificate_file: /etc/agentsight/secrets/operator.crt
  key_file: /etc/agentsight/secrets/operator.key
{{- end -}}

{{/* The text of a configuration file. Argument: dict "root" $ "derived" TEXT */}}
{{- define "agentsight.configFile" -}}
{{- mergeOverwrite (fromYaml .derived) (deepCopy .root.Values.config) | toYaml -}}
{{- end -}}

{{/* What is wrong with values beyond what a schema can say. */}}
{{- define "agentsight.check" -}}
{{- if and (not .Values.nats.enabled) (not .Values.nats.externalServers) -}}
{{- fail "nats.enabled is false: give nats.externalServers" -}}
{{- end -}}
{{- if and (or (gt (int .Values.aggregator.replicas) 1) .Values.aggregator.autoscaling.enabled) (not .Values.etcd.enabled) (not .Values.etcd.externalEndpoints) -}}
{{- fail "more than one aggregator needs etcd: set etcd.enabled, give etcd.externalEndpoints, or set aggregator.replicas to 1" -}}
{{- end -}}
{{- if and .Values.aggregator.autoscaling.enabled (gt (int .Values.aggregator.autoscaling.maxReplicas) (int .Values.bus.partitions)) -}}
{{- fail "aggregator.autoscaling.maxReplicas is more than bus.partitions: the rest would be idle" -}}
{{- end -}}
{{- if eq .Values.certificates.method "certManager" -}}
{{- if not (and .Values.certificates.certManager.issuer.name .Values.certificates.certManager.agentIssuer.name) -}}
{{- fail "certificates.method is certManager: give certificates.certManager.issuer.name and agentIssuer.name" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.collector.enabled (not .Values.collector.endpoint) (not .Values.jaeger.enabled) -}}
{{- fail "collector.enabled: give collector.endpoint, or set jaeger.enabled" -}}
{{- end -}}
{{- range $section := list "node.name" "bus.partitions" "bus.replicas" -}}
{{- $parts := splitList "." $section -}}
{{- if hasKey (get $.Values.config (first $parts) | default dict) (last $parts) -}}
{{- fail (printf "config.%s: not here; the chart has a value for it" $section) -}}
{{- end -}}
{{- end -}}
{{- end -}}
