#!/usr/bin/env bash
# apps.sh up NAMESPACE: MinIO and PostgreSQL 17 as pods in a namespace of the cluster in $KUBECONFIG, with fresh secrets.
# apps.sh env NAMESPACE: prints SENNIGHT_TEST_S3_* and _PG_* lines that reach them from this machine (node tier: by Service address).
# In the cluster they are minio.NAMESPACE.svc:9000 and postgres.NAMESPACE.svc:5432; passwords lie in the Secrets minio-root
# (accessKey, secretKey) and postgres-superuser (username, password), the CA of the database's certificate in postgres-tls (ca.crt).
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"

verb=${1:-}
namespace=${2:-}
if [[ ! $verb =~ ^(up|env)$ ]] || [ -z "$namespace" ]; then die "usage: apps.sh up|env NAMESPACE"; fi
: "${KUBECONFIG:?apps.sh needs KUBECONFIG}"

kubectl_() { "${SENNIGHT_TEST_KUBECTL:-kubectl}" --namespace "$namespace" "$@"; }

# secret NAME LITERALS…: made once; a second `up` keeps the passwords that running pods know. Values go by stdin, never by argv.
secret() {
  local name=$1
  shift
  if kubectl_ get secret "$name" >/dev/null 2>&1; then return; fi
  {
    printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ndata:\n' "$name"
    while [ $# -gt 0 ]; do
      printf '  %s: %s\n' "$1" "$(printf '%s' "$2" | base64 -w0)"
      shift 2
    done
  } | kubectl_ create -f - >/dev/null
}

# manifests: as written for images that images.sh imported; a cluster elsewhere pulls SENNIGHT_MINIO_IMAGE and SENNIGHT_POSTGRES_IMAGE
# (any image that takes the same arguments: the servers' own do)
manifests() {
  local edit=()
  [ -z "${SENNIGHT_MINIO_IMAGE:-}" ] || edit+=(-e "s|localhost/minio:test|$SENNIGHT_MINIO_IMAGE|" -e 's/imagePullPolicy: Never/imagePullPolicy: IfNotPresent/')
  [ -z "${SENNIGHT_POSTGRES_IMAGE:-}" ] || edit+=(-e "s|localhost/postgres:17|$SENNIGHT_POSTGRES_IMAGE|" -e 's/imagePullPolicy: Never/imagePullPolicy: IfNotPresent/')
  sed -e '' "${edit[@]}" "$CLUSTER_SRC/manifests/minio.yaml"
  printf -- '---\n'
  sed -e '' "${edit[@]}" "$CLUSTER_SRC/manifests/postgres.yaml"
}

up() {
  kubectl_ get namespace "$namespace" >/dev/null 2>&1 || kubectl_ create namespace "$namespace" >/dev/null
  secret minio-root accessKey minio-root secretKey "$(openssl rand -hex 16)"
  secret postgres-superuser username postgres password "$(openssl rand -hex 16)"
  RUN=$(mktemp -d)
  mkdir "$RUN/pki"
  make_ca
  cert postgres /CN=postgres "DNS:postgres,DNS:postgres.$namespace,DNS:postgres.$namespace.svc,DNS:postgres.$namespace.svc.cluster.local,DNS:localhost"
  secret postgres-tls ca.crt "$(<"$RUN/pki/ca.crt")" tls.crt "$(<"$RUN/pki/postgres.crt")" tls.key "$(<"$RUN/pki/postgres.key")"
  rm -rf "$RUN"
  manifests | kubectl_ apply -f - >/dev/null
  kubectl_ rollout status deployment/minio deployment/postgres --timeout=120s >/dev/null || {
    kubectl_ get pods -o wide >&2
    kubectl_ get events --sort-by=.lastTimestamp >&2
    die "MinIO or PostgreSQL did not start in $namespace"
  }
  log "apps: MinIO and PostgreSQL 17 run in $namespace"
}

value() { kubectl_ get secret "$1" -o "go-template={{index .data \"$2\" | base64decode}}"; }
address() { kubectl_ get service "$1" -o 'jsonpath={.spec.clusterIP}'; }

# print NAME VALUE: a line for `source`
print() { printf 'export %s=%q\n' "$1" "$2"; }

env_lines() {
  print SENNIGHT_TEST_S3_ENDPOINT "http://$(address minio):9000"
  print SENNIGHT_TEST_S3_ACCESS_KEY "$(value minio-root accessKey)"
  print SENNIGHT_TEST_S3_SECRET_KEY "$(value minio-root secretKey)"
  print SENNIGHT_TEST_PG_HOST "$(address postgres)"
  print SENNIGHT_TEST_PG_PORT 5432
  print SENNIGHT_TEST_PG_USER postgres
  print SENNIGHT_TEST_PG_PASSWORD "$(value postgres-superuser password)"
}

case $verb in
  up) up ;;
  env) env_lines ;;
esac
