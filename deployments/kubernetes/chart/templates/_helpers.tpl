{{- define "mlops-assets.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of everything. */}}
{{- define "mlops-assets.labels" -}}
{{ include "mlops-assets.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels that select. `mlops-assets/release` is also on the pods that Dagster makes; its own labels stay on them. */}}
{{- define "mlops-assets.releaseLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
mlops-assets/release: {{ .Release.Name }}
{{- end -}}

{{/* Takes a list: the root, and the name of an image of `images`. */}}
{{- define "mlops-assets.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if regexMatch ":[^/]*$" $image.repository -}}
{{- fail (printf "images.%s.repository is %s: write what is behind the colon into images.%s.tag" (index . 1) $image.repository (index . 1)) -}}
{{- end -}}
{{- if eq $image.tag "latest" -}}
{{- fail (printf "images.%s.tag is latest, which names another image tomorrow: write a version, or a digest" (index . 1)) -}}
{{- end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* Of a pod, besides what its containers have: Pod Security Standard "restricted". */}}
{{- define "mlops-assets.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mlops-assets.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Takes a list: the root, the part, and the image that runs. What a Secret or ConfigMap may change is not here: the environment
would win over it. The daemon and Dagster's web server load no code of the project, and get nothing of the workspace. */}}
{{- define "mlops-assets.env" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $image := index . 2 -}}
{{- $declared := $root.Values.declarations -}}
- {name: DAGSTER_HOME, value: /var/lib/mlops/dagster}
{{- if ne $part "serving" }}
- {name: DAGSTER_PG_HOST, value: {{ $root.Values.dagster.database.host | quote }}}
- {name: DAGSTER_PG_PORT, value: {{ $root.Values.dagster.database.port | toString | quote }}}
- {name: DAGSTER_PG_DB, value: {{ $root.Values.dagster.database.name | quote }}}
- name: DAGSTER_PG_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.dagster.database.existingSecret }}
      key: {{ $root.Values.dagster.database.usernameKey }}
- name: DAGSTER_PG_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.dagster.database.existingSecret }}
      key: {{ $root.Values.dagster.database.passwordKey }}
- {name: DAGSTER_K8S_NAMESPACE, value: {{ $root.Release.Namespace | quote }}}
- {name: DAGSTER_K8S_SERVICE_ACCOUNT, value: {{ include "mlops-assets.fullname" $root }}-run}
- {name: DAGSTER_K8S_INSTANCE_CONFIG_MAP, value: {{ include "mlops-assets.fullname" $root }}-dagster}
- {name: DAGSTER_LOGS_BUCKET, value: {{ $root.Values.dagster.logs.bucket | quote }}}
- {name: DAGSTER_LOGS_PREFIX, value: {{ $root.Values.dagster.logs.prefix | quote }}}
{{- end }}
{{- if not (has $part (list "daemon" "webserver")) }}
- {name: MLOPS_CONFIG, value: {{ include "mlops-assets.config" (list $root $part) | quote }}}
- {name: MLOPS_CACHE, value: /var/lib/mlops/cache}
- {name: MLOPS_CONTAINER, value: {{ $image | quote }}}
{{- if and $root.Values.gpu.enabled (has $part (list "code-server" "run")) }}
- {name: MLOPS_GPU_IMAGE, value: {{ include "mlops-assets.image" (list $root "gpu") | quote }}}
- {name: MLOPS_GPU_LABEL, value: {{ $root.Values.gpu.label | quote }}}
{{- end }}
{{- if eq $part "run" }}
- {name: MLOPS_STEP_ACCOUNT, value: {{ include "mlops-assets.fullname" $root }}-code}
{{- end }}
{{- if ne $part "serving" }}
- {name: MLOPS_MODULE, value: {{ $root.Values.project.module | quote }}}
{{- end }}
- {name: MLOPS_EXECUTOR, value: k8s_job}
- {name: MLOPS_LAUNCH, value: instance}
- {name: MLOPS_LOG_FORMAT, value: json}
- {name: MLOPS_USER, value: {{ $root.Values.workspace.user | quote }}}
{{- range $key := list "identity" "gateway" "catalogues" "webhooks" "issues" "trust" }}
{{- if index $declared $key }}
- {name: MLOPS_{{ upper $key }}, value: /etc/mlops-declarations/{{ $key }}.yaml}
{{- end }}
{{- end }}
{{- if $root.Values.hub.publicUrl }}
- {name: MLOPS_PUBLIC_URL, value: {{ $root.Values.hub.publicUrl | quote }}}
{{- end }}
{{- if and $root.Values.signing.existingSecret (has $part (list "hub" "run")) }}
- {name: MLOPS_SIGNING_KEY, value: /etc/mlops-signing/key.pem}
{{- if $root.Values.signing.certificate }}
- {name: MLOPS_SIGNING_CERTIFICATE, value: /etc/mlops-signing/certificate.pem}
{{- end }}
{{- if $root.Values.signing.password }}
- name: MLOPS_SIGNING_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $root.Values.signing.existingSecret }}, key: password}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes a list: the root and the part. The first folder that has a variable wins. */}}
{{- define "mlops-assets.config" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $folders := list "/etc/mlops" -}}
{{- if has $part (list "hub" "code-server" "run") -}}
{{- $folders = append $folders "/etc/mlops-delegation" -}}
{{- end -}}
{{- if and $root.Values.signIn.existingSecret (eq $part "hub") -}}
{{- $folders = append $folders "/etc/mlops-oauth2" -}}
{{- end -}}
{{- if $root.Values.workspace.settings -}}
{{- $folders = append $folders "/etc/mlops-settings" -}}
{{- end -}}
{{- join ":" $folders -}}
{{- end -}}

{{/* Takes a list: the root and the part. */}}
{{- define "mlops-assets.mounts" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/mlops}
{{- if ne $part "serving" }}
- {name: dagster-home, mountPath: /var/lib/mlops/dagster}
- {name: dagster, mountPath: /var/lib/mlops/dagster/dagster.yaml, subPath: dagster.yaml, readOnly: true}
{{- end }}
{{- if has $part (list "hub" "daemon" "webserver") }}
- {name: locations, mountPath: /etc/mlops-dagster, readOnly: true}
{{- end }}
{{- if not (has $part (list "daemon" "webserver")) }}
- {name: workspace, mountPath: /etc/mlops, readOnly: true}
{{- if $root.Values.workspace.settings }}
- {name: settings, mountPath: /etc/mlops-settings, readOnly: true}
{{- end }}
{{- if include "mlops-assets.hasDeclarations" $root }}
- {name: declarations, mountPath: /etc/mlops-declarations, readOnly: true}
{{- end }}
{{- end }}
{{- if has $part (list "hub" "code-server" "run") }}
- {name: delegation, mountPath: /etc/mlops-delegation, readOnly: true}
{{- end }}
{{- if and $root.Values.signing.existingSecret (has $part (list "hub" "run")) }}
- {name: signing, mountPath: /etc/mlops-signing, readOnly: true}
{{- end }}
{{- if and $root.Values.signIn.existingSecret (eq $part "hub") }}
- {name: oauth2, mountPath: /etc/mlops-oauth2, readOnly: true}
{{- end }}
{{- end -}}

{{/* Takes a list: the root, the part, and the size of each folder that can be written. */}}
{{- define "mlops-assets.volumes" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $name := include "mlops-assets.configMaps" (list $root $part) -}}
- {name: tmp, emptyDir: {sizeLimit: {{ index . 2 }}}}
- {name: state, emptyDir: {sizeLimit: {{ index . 2 }}}}
{{- if ne $part "serving" }}
- {name: dagster-home, emptyDir: {sizeLimit: 256Mi}}
- {name: dagster, configMap: {name: {{ $name }}-dagster, items: [{key: dagster.yaml, path: dagster.yaml}]}}
{{- end }}
{{- if has $part (list "hub" "daemon" "webserver") }}
- {name: locations, configMap: {name: {{ $name }}-dagster, items: [{key: workspace.yaml, path: workspace.yaml}]}}
{{- end }}
{{- if not (has $part (list "daemon" "webserver")) }}
- {name: workspace, secret: {secretName: {{ $root.Values.workspace.existingSecret }}, defaultMode: 0440}}
{{- if $root.Values.workspace.settings }}
- {name: settings, configMap: {name: {{ $name }}-settings}}
{{- end }}
{{- if include "mlops-assets.hasDeclarations" $root }}
- {name: declarations, configMap: {name: {{ $name }}-declarations}}
{{- end }}
{{- end }}
{{- if has $part (list "hub" "code-server" "run") }}
- {name: delegation, secret: {secretName: {{ $root.Values.delegation.existingSecret }}, defaultMode: 0440}}
{{- end }}
{{- if and $root.Values.signing.existingSecret (has $part (list "hub" "run")) }}
- {name: signing, secret: {secretName: {{ $root.Values.signing.existingSecret }}, defaultMode: 0440}}
{{- end }}
{{- if and $root.Values.signIn.existingSecret (eq $part "hub") }}
- {name: oauth2, secret: {secretName: {{ $root.Values.signIn.existingSecret }}, defaultMode: 0440}}
{{- end }}
{{- end -}}

{{/* Takes a list: the root and the part. The migration runs before others' are changed, and has its own. */}}
{{- define "mlops-assets.configMaps" -}}
{{- include "mlops-assets.fullname" (index . 0) -}}
{{- if eq (index . 1) "migration" }}-migration{{ end -}}
{{- end -}}

{{- define "mlops-assets.hasDeclarations" -}}
{{- range $key, $value := .Values.declarations }}{{ if $value }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* Whether people sign in. Without it a hub that others reach has no pages. */}}
{{- define "mlops-assets.hasSignIn" -}}
{{- if or .Values.declarations.gateway (dig "sign_in" "" .Values.declarations.identity) }}yes{{ end -}}
{{- end -}}

{{/* Takes a list: the root, the part, its values, and its service account. What all pods have. Whoever loads the instance needs a
token, as Dagster loads the launcher with it (`max_resume_run_attempts`); that of the account `code` has no rights. */}}
{{- define "mlops-assets.podSpec" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "mlops-assets.fullname" $root }}-{{ index . 3 }}
automountServiceAccountToken: {{ ne (index . 3) "app" }}
enableServiceLinks: false
securityContext: {{- include "mlops-assets.podSecurity" $root | nindent 2 }}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes: {{- include "mlops-assets.volumes" (list $root $part (default "1Gi" $values.scratch)) | nindent 2 }}
{{- end -}}

{{/* Pods start again when what they read once, at their start, has changed. */}}
{{- define "mlops-assets.checksums" -}}
mlops-assets/dagster: {{ include "mlops-assets.instance" . | sha256sum }}
mlops-assets/declarations: {{ toYaml .Values.declarations | sha256sum }}
{{- end -}}

{{/* dagster.yaml: the file, what the launcher gives to runs and steps, and what the values have. */}}
{{- define "mlops-assets.instance" -}}
{{- $launcher := dict "run_launcher" (dict "config" (include "mlops-assets.launcher" . | fromYaml)) -}}
{{- $file := .Files.Get "files/dagster.yaml" | fromYaml -}}
{{- mergeOverwrite $file $launcher (deepCopy .Values.dagster.instance) | toYaml -}}
{{- end -}}

{{/* In the launcher, not in the code server's context: what that has counts as asked for by users, and is refused. */}}
{{- define "mlops-assets.launcher" -}}
{{- $image := include "mlops-assets.image" (list . "code") -}}
job_image: {{ $image | quote }}
image_pull_policy: {{ .Values.images.pullPolicy }}
{{- with .Values.images.pullSecrets }}
image_pull_secrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
labels:
  mlops-assets/release: {{ .Release.Name }}
resources: {{- toYaml .Values.runs.resources | nindent 2 }}
security_context: {{- include "mlops-assets.containerSecurity" . | nindent 2 }}
volume_mounts: {{- include "mlops-assets.mounts" (list . "run") | nindent 2 }}
volumes: {{- include "mlops-assets.volumes" (list . "run" .Values.runs.scratch) | nindent 2 }}
run_k8s_config:
  container_config:
    env:
    {{- range include "mlops-assets.env" (list . "run" $image) | fromYamlArray }}
    {{- if ne .name "DAGSTER_HOME" }}
      - {{ toJson . }}
    {{- end }}
    {{- end }}
  {{- with .Values.runs.annotations }}
  pod_template_spec_metadata:
    annotations: {{- toYaml . | nindent 6 }}
  {{- end }}
  pod_spec_config:
    enable_service_links: false
    termination_grace_period_seconds: {{ .Values.runs.gracePeriodSeconds }}
    {{- with .Values.runs.nodeSelector }}
    node_selector: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.runs.priorityClassName }}
    priority_class_name: {{ . }}
    {{- end }}
    {{- with .Values.runs.tolerations }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* Takes a list: the root, and parts of the release. The last two of Dagster's are its own labels. */}}
{{- define "mlops-assets.components" -}}
matchLabels:
  mlops-assets/release: {{ (index . 0).Release.Name }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: {{ toJson (index . 1) }}}
{{- end -}}

{{/* Takes peers and ports; no peers are any, as in Kubernetes. */}}
{{- define "mlops-assets.egress" -}}
- ports:
  {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
  {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Takes a list: the root and the part. */}}
{{- define "mlops-assets.configMapMetadata" -}}
labels: {{- include "mlops-assets.labels" (index . 0) | nindent 2 }}
{{- if eq (index . 1) "migration" }}
annotations:
  helm.sh/hook: post-install,pre-upgrade
  helm.sh/hook-weight: "-5"
  helm.sh/hook-delete-policy: before-hook-creation
{{- end }}
{{- end -}}
