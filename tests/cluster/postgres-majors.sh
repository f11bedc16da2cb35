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

RUN=${SENNIGHT_RUN_DIR:-$RUN_ROOT/services}

# suite_of MAJOR: the Debian suite that has it
suite_of() {
  case $1 in
    17) printf 'trixie\n' ;;
    18) printf 'sid\n' ;;
    *) die "PostgreSQL $1 is in no Debian suite that is known here (17 and 18 are)" ;;
  esac
}

cached() { printf '%s/postgres/%s-%s\n' "$CACHE" "$1" "$(suite_of "$1")"; }

# Every program becomes a script that runs it by the unpacked loader: the host's C library may be older. initdb looks for the
# server in its own directory, and finds the script. No path is fixed: the tree may be moved.
wrap() {
  local file
  for file in "$1"/*; do
    [ "$(head -c 4 "$file")" = $'\x7fELF' ] || continue
    mv "$file" "$file.elf"
    cat >"$file" <<'SCRIPT'
#!/bin/sh
root=${0%/*}/../../../../..
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" "$0.elf" "$@"
SCRIPT
    chmod 755 "$file"
  done
}

# A suite's Release file may have expired where the mirror is a snapshot of an earlier day: its signature is checked, its age not.
fetch() {
  local major=$1 final tmp suite
  final=$(cached "$major")
  suite=$(suite_of "$major")
  [ ! -d "$final" ] || return 0
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
  log "unpacking PostgreSQL $major of Debian $suite, once; half a minute"
  mkdir -p "$CACHE/postgres"
  tmp=$(mktemp -d "$CACHE/postgres/.$major.XXXXXX")
  mmdebstrap --quiet --variant=extract --include="postgresql-$major,tzdata" --aptopt='Acquire::Check-Valid-Until "false"' \
    --skip=output/dev "$suite" "$tmp/root" >&2
  # The compiler of queries is most of the size, and the servers as good without it.
  rm -rf "$tmp/root/usr/lib/postgresql/$major/lib"/{bitcode,llvmjit*} "$tmp/root/usr/lib/x86_64-linux-gnu"/lib{LLVM,z3}* \
    "$tmp/root/usr/share"/{doc,man,locale} "$tmp/root/var"
  wrap "$tmp/root/usr/lib/postgresql/$major/bin"
  chmod 755 "$tmp/root"
  mv -T "$tmp/root" "$final"
  rmdir "$tmp"
}

fetch_all() {
  local major
  mkdir -p "$CACHE/postgres"
  exec 8>"$CACHE/postgres/.lock"
  flock 8
  for major in "$@"; do fetch "$major"; done
  exec 8>&-
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
    # The database's own user cannot see into root's cache.
    if ! cp -al "$(cached "$major")" "$RUN/pg-$major" 2>/dev/null; then
      rm -rf "$RUN/pg-$major"
      cp -a "$(cached "$major")" "$RUN/pg-$major"
    fi
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
