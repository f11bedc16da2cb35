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
  rm -rf "$RUN/minio" "$RUN/postgres"
  start_minio
  start_postgres
  wait_for 30 MinIO curl -fsS -o /dev/null "http://127.0.0.1:$PORT_S3/minio/health/live"
  # Servers of other majors are for the suites that ask for them (make wholeness).
  [ -z "${SENNIGHT_PG_MAJORS:-}" ] || SENNIGHT_RUN_DIR=$RUN "$CLUSTER_SRC/postgres-majors.sh" up
  log "services: S3 http://127.0.0.1:$PORT_S3, PostgreSQL 127.0.0.1:$PORT_PG (TLS)"
}

case ${1:-} in
  up) up ;;
  down) wipe_run "$RUN" ;;
  *) die "usage: services.sh up|down" ;;
esac
