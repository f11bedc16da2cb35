#!/usr/bin/env bash
# postgres-majors.sh fetch|up: PostgreSQL 17 and 18 beside the host's, for the suites that hold every major to account. Nothing is
# installed: Debian's packages are unpacked once into the cache and run from there by their own loader and libraries, so that
# neither root nor a chroot is needed (fetching needs what mmdebstrap needs: root, or user namespaces).
# up: starts the servers in $SENNIGHT_RUN_DIR beside the services; services.sh calls it when SENNIGHT_PG_MAJORS names majors.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"
# shellcheck source=tests/cluster/postgres.sh
. "$CLUSTER_SRC/postgres.sh"
# shellcheck source=tests/cluster/unpacked.sh
. "$CLUSTER_SRC/unpacked.sh"

RUN=${SENNIGHT_RUN_DIR:-$RUN_ROOT/services}

# suite_of MAJOR: the Debian suite that has it
suite_of() {
  case $1 in
    17) printf 'trixie\n' ;;
    18) printf 'sid\n' ;;
    *) die "PostgreSQL $1 is in no Debian suite that is known here (17 and 18 are)" ;;
  esac
}

cached() { printf 'postgres/%s-%s\n' "$1" "$(suite_of "$1")"; }

fetch_all() {
  local major
  for major in "$@"; do
    unpack "$(cached "$major")" "$(suite_of "$major")" "postgresql-$major,tzdata" "usr/lib/postgresql/$major/bin"
  done
}

# The servers share the run's certificate and password with the host's one; SENNIGHT_PG_BIN_ROOT is a directory of all majors.
up() {
  local major dir bin port=$((PORT_PG + 15)) password
  fetch_all "$@"
  password=$(<"$RUN/postgres/password")
  mkdir -p "$RUN/pg-bin"
  for dir in /usr/lib/postgresql/*; do
    [ ! -x "$dir/bin/pg_dump" ] || ln -sfn "$dir" "$RUN/pg-bin/${dir##*/}"
  done
  put_env SENNIGHT_PG_BIN_ROOT "$RUN/pg-bin"
  for major in "$@"; do
    link_unpacked "$(cached "$major")" "$RUN/pg-$major"
    bin=$RUN/pg-$major/usr/lib/postgresql/$major/bin
    ln -sfn "${bin%/bin}" "$RUN/pg-bin/$major"
    start_server "postgres-$major" "$bin" "$port" "$password"
    put_env "SENNIGHT_TEST_PG_PORT_$major" "$port"
    wait_for 30 "PostgreSQL $major" "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
    log "PostgreSQL $major: 127.0.0.1:$port (TLS)"
    port=$((port + 1))
  done
}

verb=${1:-}
[ $# -eq 0 ] || shift
read -ra majors <<<"${SENNIGHT_PG_MAJORS:-17 18}"
case $verb in
  fetch) fetch_all "${majors[@]}" ;;
  up)
    ports_of "$(<"$RUN/base")"
    up "${majors[@]}"
    ;;
  *) die "usage: postgres-majors.sh fetch|up" ;;
esac
