{{/* The controller's settings, as lines of its ConfigMap. */}}
{{- define "supercargo.controller.config" -}}
{{- $c := .Values.controller -}}
{{- $all := $c.reconcilers.maxConcurrentReconciles -}}
{{- include "supercargo.settings" (dict "root" . "component" $c) }}
{{- if $c.shardName }}
SHARD_NAME: {{ $c.shardName | quote }}
{{- end }}
{{- if or (not $c.shardName) $c.isDefault }}
IS_DEFAULT_CONTROLLER: "true"
{{- end }}
ALLOW_CREDENTIALS_OVER_HTTP: {{ $c.allowCredentialsOverHTTP | quote }}
ARGOCD_INTEGRATION_ENABLED: {{ $c.argocd.integrationEnabled | quote }}
{{- if $c.argocd.integrationEnabled }}
ARGOCD_NAMESPACE: {{ $c.argocd.namespace | quote }}
ARGOCD_WATCH_ARGOCD_NAMESPACE_ONLY: {{ $c.argocd.watchArgocdNamespaceOnly | quote }}
{{- if .Values.kubeconfigSecrets.argocd }}
ARGOCD_KUBECONFIG: /etc/kargo/kubeconfigs/argocd/kubeconfig.yaml
{{- end }}
{{- end }}
MAX_CONCURRENT_CONTROL_FLOW_RECONCILES: {{ $c.reconcilers.controlFlowStages.maxConcurrentReconciles | default $all | quote }}
MAX_CONCURRENT_STAGE_RECONCILES: {{ $c.reconcilers.stages.maxConcurrentReconciles | default $all | quote }}
MAX_CONCURRENT_PROMOTION_RECONCILES: {{ $c.reconcilers.promotions.maxConcurrentReconciles | default $all | quote }}
MAX_CONCURRENT_WAREHOUSE_RECONCILES: {{ $c.reconcilers.warehouses.maxConcurrentReconciles | default $all | quote }}
MIN_WAREHOUSE_RECONCILIATION_INTERVAL: {{ $c.reconcilers.warehouses.minReconciliationInterval | quote }}
GITCLIENT_NAME: {{ $c.gitClient.name | quote }}
GITCLIENT_EMAIL: {{ $c.gitClient.email | quote }}
{{- if $c.gitClient.signingKeySecret.name }}
GITCLIENT_SIGNING_KEY_TYPE: {{ $c.gitClient.signingKeySecret.type | default "gpg" | quote }}
GITCLIENT_SIGNING_KEY_PATH: /etc/kargo/git/signingKey
{{- end }}
GIT_PUSH_INTEGRATION_POLICY: {{ $c.gitClient.pushIntegrationPolicy | quote }}
CACHE_BY_TAG_POLICY: {{ $c.images.cache.cacheByTagPolicy | quote }}
MAX_IMAGE_CACHE_ENTRIES: {{ $c.images.cache.maxEntries | int | quote }}
IMAGE_REGISTRY_RATE_LIMIT: {{ $c.images.registries.rateLimit | int | quote }}
{{- with $c.images.registries.mirrors }}
SUPERCARGO_REGISTRY_MIRRORS: {{ join "," . | quote }}
{{- end }}
SUPERCARGO_MAX_MIRROR_BYTES: {{ $c.data.mirrorLimit | quote }}
SUPERCARGO_WITH_MANAGEMENT: {{ ternary "true" "false" (eq (include "supercargo.management.combined" .) "true") | quote }}
{{- if include "supercargo.management.combined" . }}
{{ include "supercargo.management.settings" . }}
{{- end }}
{{- end -}}
