{{/* Names, labels and settings that several templates use. */}}

{{- define "supercargo.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the controller's objects; `controller.id` tells several apart. */}}
{{- define "supercargo.controller.name" -}}
{{- printf "supercargo-controller%s" (ternary (printf "-%s" .Values.controller.id) "" (ne .Values.controller.id "")) -}}
{{- end -}}

{{- define "supercargo.management.name" -}}supercargo-management-controller{{- end -}}

{{/* The namespace that the controllers run in. */}}
{{- define "supercargo.namespace" -}}
{{- .Values.global.kargoNamespace | default .Release.Namespace -}}
{{- end -}}

{{- define "supercargo.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "supercargo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "supercargo.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the controller's objects. Projects find its ServiceAccount by the component. */}}
{{- define "supercargo.controller.labels" -}}
{{ include "supercargo.labels" . }}
app.kubernetes.io/component: controller
{{- with .Values.controller.id }}
akuity.io/kargo-controller-id: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "supercargo.controller.selector" -}}
app.kubernetes.io/name: {{ include "supercargo.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- with .Values.controller.id }}
akuity.io/kargo-controller-id: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "supercargo.management.labels" -}}
{{ include "supercargo.labels" . }}
app.kubernetes.io/component: management-controller
{{- end -}}

{{- define "supercargo.management.selector" -}}
app.kubernetes.io/name: {{ include "supercargo.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: management-controller
{{- end -}}

{{/* Whether the controllers of Projects run, and where. */}}
{{- define "supercargo.management.combined" -}}
{{- if and .Values.managementController.enabled .Values.controller.enabled (eq .Values.mode "combined") }}true{{ end -}}
{{- end -}}
{{- define "supercargo.management.split" -}}
{{- if and .Values.managementController.enabled (or (eq .Values.mode "split") (not .Values.controller.enabled)) }}true{{ end -}}
{{- end -}}

{{/* A container's security: what the restricted level asks for. */}}
{{- define "supercargo.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Settings of every process, as lines of a ConfigMap. Takes (dict "root" $ "component" the component's values). */}}
{{- define "supercargo.settings" -}}
{{- $root := .root -}}
{{- $component := .component -}}
KARGO_NAMESPACE: {{ include "supercargo.namespace" $root | quote }}
SYSTEM_RESOURCES_NAMESPACE: {{ $root.Values.global.systemResources.namespace | quote }}
SHARED_RESOURCES_NAMESPACE: {{ $root.Values.global.sharedResources.namespace | quote }}
LOG_LEVEL: {{ $component.logLevel | quote }}
LOG_FORMAT: {{ $component.logFormat | quote }}
SUPERCARGO_LEADER_ELECTION: "true"
SUPERCARGO_DATA_DIR: /data
SUPERCARGO_HTTP_ADDRESS: 0.0.0.0:8080
{{- if $component.metrics.enabled }}
METRICS_BIND_ADDRESS: :9090
{{- end }}
{{- with $root.Values.kubeconfigSecrets.kargo }}
KUBECONFIG: /etc/kargo/kubeconfigs/kargo/kubeconfig.yaml
{{- end }}
{{- end -}}

{{/* The settings of the controllers of Projects. */}}
{{- define "supercargo.management.settings" -}}
{{- $reconcilers := .Values.managementController.reconcilers -}}
MANAGE_CONTROLLER_ROLE_BINDINGS: {{ not .Values.controller.serviceAccount.clusterWideSecretReadingEnabled | quote }}
MAX_CONCURRENT_PROJECT_RECONCILES: {{ $reconcilers.projects.maxConcurrentReconciles | default $reconcilers.maxConcurrentReconciles | quote }}
MAX_CONCURRENT_PROJECT_CONFIG_RECONCILES: {{ $reconcilers.projectConfigs.maxConcurrentReconciles | default $reconcilers.maxConcurrentReconciles | quote }}
{{- end -}}

{{/* A Deployment of the program. Takes a dict: root, name, component (its values), labels, selector, command, config (the ConfigMap's data), mounts, volumes. */}}
{{- define "supercargo.deployment" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $global := $root.Values.global -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
    {{- with $component.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (deepCopy $component.annotations) $global.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ max 1 (int $component.replicas) }}
  revisionHistoryLimit: {{ $component.revisionHistoryLimit }}
  # One replica acts and hands its Lease over, so a rolling update loses no time.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- .labels | nindent 8 }}
        {{- with merge (deepCopy $component.podLabels) $global.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        configmap/checksum: {{ .config | sha256sum }}
        {{- with merge (deepCopy $component.podAnnotations) $global.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ .name }}
      terminationGracePeriodSeconds: 30
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- $security := $component.securityContext | default $global.securityContext }}
        {{- toYaml (merge (deepCopy $security) (dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault"))) | nindent 8 }}
      {{- with $component.priorityClassName | default $global.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $component.nodeSelector | default $global.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $component.tolerations | default $global.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $component.affinity | default $global.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $component.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $component.initContainers }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .container }}
          image: {{ include "supercargo.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .command }}]
          envFrom:
            - configMapRef: {name: {{ .name }}}
            {{- with concat $global.envFrom $component.envFrom }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- with concat $global.env $component.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - {name: http, containerPort: 8080}
            {{- if $component.metrics.enabled }}
            - {name: metrics, containerPort: 9090}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: http}
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 2
          securityContext:
            {{- include "supercargo.container.security" $root | nindent 12 }}
          resources:
            {{- toYaml $component.resources | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
            {{- with $root.Values.kubeconfigSecrets.kargo }}
            - {name: kargo-kubeconfig, mountPath: /etc/kargo/kubeconfigs/kargo, readOnly: true}
            {{- end }}
            {{- with .mounts }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- with $component.volumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
        {{- with $component.containers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        - name: data
          emptyDir: {sizeLimit: {{ .sizeLimit }}}
        - name: tmp
          emptyDir: {sizeLimit: 256Mi}
        {{- with $root.Values.kubeconfigSecrets.kargo }}
        - name: kargo-kubeconfig
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $component.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* Service, ServiceMonitor and PodDisruptionBudget of a Deployment. Takes a dict: root, name, component, labels, selector. */}}
{{- define "supercargo.beside" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- if $component.metrics.enabled }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}-metrics
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
    {{- with $component.metrics.service.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $component.metrics.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $component.metrics.service.type }}
  ports:
    - name: {{ $component.metrics.service.portName }}
      port: {{ $component.metrics.service.servicePort }}
      targetPort: metrics
  selector:
    {{- .selector | nindent 4 }}
{{- if and $component.metrics.serviceMonitor.enabled ($root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .name }}
  namespace: {{ $component.metrics.serviceMonitor.namespace | default $root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
    {{- with $component.metrics.serviceMonitor.additionalLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  endpoints:
    - port: {{ $component.metrics.service.portName }}
      path: /metrics
      interval: {{ $component.metrics.serviceMonitor.interval }}
  namespaceSelector:
    matchNames: [{{ $root.Release.Namespace }}]
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
{{- end }}
{{- end }}
{{- if $component.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
spec:
  {{- if $component.podDisruptionBudget.maxUnavailable }}
  maxUnavailable: {{ $component.podDisruptionBudget.maxUnavailable }}
  {{- else }}
  minAvailable: {{ $component.podDisruptionBudget.minAvailable }}
  {{- end }}
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
{{- end }}
{{- end -}}
