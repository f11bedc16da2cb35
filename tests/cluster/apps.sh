#!/usr/bin/env bash
# apps.sh up NAMESPACE: MinIO, PostgreSQL 17 and MariaDB 11.8 as pods in a namespace of the cluster in $KUBECONFIG, with fresh secrets.
# apps.sh env NAMESPACE: prints SENNIGHT_TEST_S3_* and _PG_* lines that reach them from this machine (node tier: by Service address).
# In the cluster they are minio.NAMESPACE.svc:9000, postgres.NAMESPACE.svc:5432 and mariadb.NAMESPACE.svc:3306; passwords lie in the Secrets
# minio-root (accessKey, secretKey), postgres-superuser and mariadb-superuser (host, username, password), the CA of the databases' certificates in
# postgres-tls and mariadb-tls (ca.crt).
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

# edited NAME IMAGE ELSEWHERE: a manifest as written for the image that images.sh imported; a cluster elsewhere pulls another one
# (any image that takes the same arguments: the servers' own do)
edited() {
  local edit=()
  [ -z "$3" ] || edit=(-e "s|$2|$3|" -e 's/imagePullPolicy: Never/imagePullPolicy: IfNotPresent/')
  sed -e '' "${edit[@]}" "$CLUSTER_SRC/manifests/$1.yaml"
}

manifests() {
  edited minio localhost/minio:test "${SENNIGHT_MINIO_IMAGE:-}"
  printf -- '---\n'
  edited postgres localhost/postgres:17 "${SENNIGHT_POSTGRES_IMAGE:-}"
  printf -- '---\n'
  edited mariadb localhost/mariadb:11.8 "${SENNIGHT_MARIADB_IMAGE:-}"
}

up() {
  local server
  kubectl_ get namespace "$namespace" >/dev/null 2>&1 || kubectl_ create namespace "$namespace" >/dev/null
  secret minio-root accessKey minio-root secretKey "$(openssl rand -hex 16)"
  secret postgres-superuser host "postgres.$namespace.svc" username postgres password "$(openssl rand -hex 16)"
  secret mariadb-superuser host "mariadb.$namespace.svc" username root password "$(openssl rand -hex 16)"
  RUN=$(mktemp -d)
  mkdir "$RUN/pki"
  make_ca
  for server in postgres mariadb; do
    cert "$server" "/CN=$server" "DNS:$server,DNS:$server.$namespace,DNS:$server.$namespace.svc,DNS:$server.$namespace.svc.cluster.local,DNS:localhost,IP:127.0.0.1"
    secret "$server-tls" ca.crt "$(<"$RUN/pki/ca.crt")" tls.crt "$(<"$RUN/pki/$server.crt")" tls.key "$(<"$RUN/pki/$server.key")"
  done
  rm -rf "$RUN"
  manifests | kubectl_ apply -f - >/dev/null
  kubectl_ rollout status deployment/minio deployment/postgres deployment/mariadb --timeout=120s >/dev/null || {
    kubectl_ get pods -o wide >&2
    kubectl_ get events --sort-by=.lastTimestamp >&2
    die "MinIO, PostgreSQL or MariaDB did not start in $namespace"
  }
  log "apps: MinIO, PostgreSQL 17 and MariaDB 11.8 run in $namespace"
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
