{{- define "sennight.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "sennight.serviceAccount" -}}
{{- default (include "sennight.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sennight.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "sennight.selector" -}}
app.kubernetes.io/name: sennight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "sennight.labels" -}}
app.kubernetes.io/name: sennight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* key=value,… of a map, in the order of the keys */ -}}
{{- define "sennight.pairs" -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%v" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- /* What the operator does where tenants are. Secrets: by name only, for the credentials of storages (I9); databases'
Secrets are mounted by the kubelet and never read. No approve, no settle (I6). */ -}}
{{- define "sennight.tenantRules" -}}
- apiGroups: [sennight.dev]
  resources: [backupschedules, backupstorages, databaseservers, exportprofiles, restorerequests]
  verbs: [get, list, watch, patch, update]
- apiGroups: [sennight.dev]
  resources: [backupschedules/status, backupstorages/status, databaseservers/status, exportprofiles/status, restorerequests/status]
  verbs: [get, patch, update]
- apiGroups: [sennight.dev]
  resources: [backupschedules/finalizers, backupstorages/finalizers, databaseservers/finalizers, restorerequests/finalizers]
  verbs: [update]
# operate: the rest of a request's status; delete: 90 days after its end
- apiGroups: [sennight.dev]
  resources: [restorerequests]
  verbs: [operate, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
