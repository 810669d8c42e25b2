{{- define "sluice.name" -}}
{{- if eq .Release.Name "sluice" -}}sluice{{- else -}}{{ printf "sluice-%s" .Release.Name | trunc 63 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/component: node-proxy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "sluice.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "sluice.config" -}}
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
{{ omit .Values.config "apiVersion" "kind" | toYaml }}
{{- end -}}

{{/* The port of an address:port, or the default. */}}
{{- define "sluice.healthzPort" -}}
{{- .Values.config.healthzBindAddress | default "0.0.0.0:10256" | splitList ":" | last -}}
{{- end -}}

{{- define "sluice.metricsPort" -}}
{{- .Values.config.metricsBindAddress | default "127.0.0.1:10249" | splitList ":" | last -}}
{{- end -}}
