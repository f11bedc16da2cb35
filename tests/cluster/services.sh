#!/usr/bin/env bash
# services.sh up|down: MinIO and the host's PostgreSQL with TLS, on loopback, in $SENNIGHT_RUN_DIR.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"
# shellcheck source=tests/cluster/postgres.sh
. "$CLUSTER_SRC/postgres.sh"

RUN=${SENNIGHT_RUN_DIR:-$RUN_ROOT/services}

# The newest PostgreSQL of the host, server and client of one version.
pg_bin() {
  local dir newest=
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    [ -x "$dir/initdb" ] && [ -x "$dir/pg_dump" ] && newest=$dir
  done
  [ -n "$newest" ] || die "no PostgreSQL server under /usr/lib/postgresql: run tests/cluster/tools.sh services"
  printf '%s\n' "$newest"
}

start_minio() {
  local access=sennight-test secret
  secret=$(openssl rand -hex 16)
  mkdir -p "$RUN/minio"
  # Scanner "fastest": a lifecycle rule takes effect in seconds, so a test can prove expiry without waiting a week.
  MINIO_ROOT_USER=$access MINIO_ROOT_PASSWORD=$secret MINIO_SCANNER_SPEED=fastest MINIO_UPDATE=off MINIO_BROWSER=off \
    start minio "$("$CLUSTER_SRC/tools.sh" path minio)" server --quiet --address "127.0.0.1:$PORT_S3" \
    --console-address "127.0.0.1:$PORT_S3_CONSOLE" --certs-dir "$RUN/minio-certs" "$RUN/minio"
  put_env SENNIGHT_TEST_S3_ENDPOINT "http://127.0.0.1:$PORT_S3"
  put_env SENNIGHT_TEST_S3_ACCESS_KEY "$access"
  put_env SENNIGHT_TEST_S3_SECRET_KEY "$secret"
}

# store_env NAME PORT ACCESS SECRET: what a test reads about a store besides MinIO
store_env() {
  put_env "SENNIGHT_TEST_S3_ENDPOINT_${1^^}" "http://127.0.0.1:$2"
  put_env "SENNIGHT_TEST_S3_ACCESS_KEY_${1^^}" "$3"
  put_env "SENNIGHT_TEST_S3_SECRET_KEY_${1^^}" "$4"
}

# A store with tags and without lifecycle rules
start_versitygw() {
  local access=sennight-test secret
  secret=$(openssl rand -hex 16)
  mkdir -p "$RUN/versitygw/data" "$RUN/versitygw/meta"
  ROOT_ACCESS_KEY=$access ROOT_SECRET_KEY=$secret start versitygw "$("$CLUSTER_SRC/tools.sh" path versitygw)" \
    --port "127.0.0.1:$PORT_VERSITYGW" --quiet posix --sidecar "$RUN/versitygw/meta" "$RUN/versitygw/data"
  store_env versitygw "$PORT_VERSITYGW" "$access" "$secret"
  wait_for 30 versitygw curl -sS -o /dev/null "http://127.0.0.1:$PORT_VERSITYGW/"
}

# A store with lifecycle rules and without tags
start_garage() {
  local access secret program config=$RUN/garage/garage.toml
  program=$("$CLUSTER_SRC/tools.sh" path garage)
  access=GK$(openssl rand -hex 12)
  secret=$(openssl rand -hex 32)
  mkdir -p "$RUN/garage"
  (umask 077 && cat >"$config" <<TOML
metadata_dir = "$RUN/garage/meta"
data_dir = "$RUN/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$PORT_GARAGE_RPC"
rpc_public_addr = "127.0.0.1:$PORT_GARAGE_RPC"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:$PORT_GARAGE"
TOML
  )
  GARAGE_CONFIG_FILE=$config GARAGE_DEFAULT_ACCESS_KEY=$access GARAGE_DEFAULT_SECRET_KEY=$secret RUST_LOG=warn \
    start garage "$program" server --single-node --default-access-key
  wait_for 30 Garage env GARAGE_CONFIG_FILE="$config" "$program" key info "$access"
  GARAGE_CONFIG_FILE=$config "$program" key allow --create-bucket "$access" >/dev/null
  store_env garage "$PORT_GARAGE" "$access" "$secret"
}

start_postgres() {
  local bin password
  bin=$(pg_bin)
  password=$(openssl rand -hex 16)
  start_server postgres "$bin" "$PORT_PG" "$password"
  install -m 644 "$RUN/pki/ca.crt" "$RUN/pg-ca.pem"
  put_env SENNIGHT_TEST_PG_HOST 127.0.0.1
  put_env SENNIGHT_TEST_PG_PORT "$PORT_PG"
  put_env SENNIGHT_TEST_PG_USER postgres
  put_env SENNIGHT_TEST_PG_PASSWORD "$password"
  put_env SENNIGHT_TEST_PG_CA "$RUN/pg-ca.pem"
  put_env SENNIGHT_TEST_PG_BIN "$bin"
  wait_for 30 PostgreSQL "$bin/pg_isready" -q -h 127.0.0.1 -p "$PORT_PG"
}

up() {
  if running minio postgres; then
    log "services are up already in $RUN"
    return
  fi
  "$CLUSTER_SRC/tools.sh" services
  [ -f "$RUN/base" ] || prepare_run "$RUN" "${SENNIGHT_PORT_BASE:-26000}"
  ports_of "$(<"$RUN/base")"
  stop minio
  stop postgres INT
  stop versitygw
  stop garage
  rm -rf "$RUN/minio" "$RUN/postgres" "$RUN/versitygw" "$RUN/garage"
  start_minio
  start_postgres
  wait_for 30 MinIO curl -fsS -o /dev/null "http://127.0.0.1:$PORT_S3/minio/health/live"
  local name
  for name in ${SENNIGHT_STORES:-}; do
    [ "$name" = minio ] || "start_$name"
  done
  # Servers of other majors are for the suites that ask for them (make integrity).
  [ -z "${SENNIGHT_PG_MAJORS:-}" ] || SENNIGHT_RUN_DIR=$RUN "$CLUSTER_SRC/postgres-majors.sh" up
  # So are those of the MySQL family.
  [ -z "${SENNIGHT_MYSQL:-}" ] || SENNIGHT_RUN_DIR=$RUN "$CLUSTER_SRC/mysql-servers.sh" up
  log "services: S3 http://127.0.0.1:$PORT_S3, PostgreSQL 127.0.0.1:$PORT_PG (TLS)"
}

case ${1:-} in
  up) up ;;
  down) wipe_run "$RUN" ;;
  *) die "usage: services.sh up|down" ;;
esac
