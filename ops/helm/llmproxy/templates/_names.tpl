{{/* Names and labels that several templates use. */}}

{{- define "llmproxy.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "llmproxy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "llmproxy.labels" -}}
{{ include "llmproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "llmproxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* general_settings of the config; nothing of a ConfigMap that the chart cannot read. */}}
{{- define "llmproxy.settings" -}}
{{- if not .Values.existingConfigMap -}}
{{- $config := .Values.configFile | default (toYaml .Values.config) | fromYaml -}}
{{- $config.general_settings | default dict | toYaml -}}
{{- end -}}
{{- end -}}

{{/* How the kubelet asks: by TLS if the proxy speaks nothing else. */}}
{{- define "llmproxy.scheme" -}}
{{- $tls := (include "llmproxy.settings" . | fromYaml).tls | default dict -}}
{{- if and $tls.client_ca (ne (toString $tls.client_certificate) "optional") -}}
{{- fail "config: tls.client_ca lets nobody in without a certificate, and the kubelet's probes send none. Set tls.client_certificate: optional." -}}
{{- end -}}
{{- ternary "HTTPS" "HTTP" (not (empty $tls)) -}}
{{- end -}}

{{/* Seconds from SIGTERM until the pod is killed: what the proxy may take to drain, and a reserve. */}}
{{- define "llmproxy.grace" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- .Values.terminationGracePeriodSeconds -}}
{{- else if .Values.existingConfigMap -}}
{{- fail "existingConfigMap: the chart cannot read its drain times. Set terminationGracePeriodSeconds to drain_delay_s + drain_timeout_s + 15, by default 620." -}}
{{- else -}}
{{- $settings := include "llmproxy.settings" . | fromYaml -}}
{{- $delay := dig "drain_delay_s" 5 $settings -}}
{{- $timeout := dig "drain_timeout_s" 600 $settings -}}
{{- add (ceil $delay) (ceil $timeout) .Values.terminationReserveSeconds -}}
{{- end -}}
{{- end -}}
