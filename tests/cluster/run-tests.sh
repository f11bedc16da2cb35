#!/usr/bin/env bash
# run-tests.sh fast [ARGS…]: the tests that need no node, on the API tier and the services; ARGS go to cargo test.
# run-tests.sh integrity [ARGS…]: the long suites, on three stores and three majors of PostgreSQL.
# run-tests.sh engines [ARGS…]: the MySQL family on its three servers; part: on the host's MariaDB.
# run-tests.sh attack [ARGS…]: the gate under attack, on the API tier. part: some cases of these and of the long suites.
# run-tests.sh tenants [ARGS…]: hostile databases on three majors of PostgreSQL, on the services.
# run-tests.sh cases [ARGS…]: the cases of the reviews, on the API tier with PostgreSQL and MariaDB; more servers as above.
# run-tests.sh restore-faults [ARGS…]: restores under kill -9, at every statement, on the services.
# run-tests.sh node [ARGS…]: tests/node.rs on a real node with the image of the Dockerfile, and MinIO, PostgreSQL and MariaDB as pods.
# Counts by cargo's own lines, and fails when a test was ignored or none ran.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$REPO"

# What the node tier's command does once the node is there: this script again, inside with.sh.
on_node() {
  local archives
  mapfile -t archives < <("$CLUSTER_SRC/images.sh" sennight minio postgres mariadb)
  "$CLUSTER_SRC/node-tier.sh" import "${archives[@]}"
  log "images imported"
  export SENNIGHT_TEST_IMAGE=${SENNIGHT_IMAGE:-localhost/sennight:dev} SENNIGHT_TEST_APPS_NAMESPACE=sennight-test-apps
  "$CLUSTER_SRC/apps.sh" up "$SENNIGHT_TEST_APPS_NAMESPACE"
  # shellcheck source=/dev/null
  . <("$CLUSTER_SRC/apps.sh" env "$SENNIGHT_TEST_APPS_NAMESPACE")
  cargo test --locked --package testkit --test node -- "$@"
}

# Tests on the API server that wait for deadlines, crashes and drills: `part` runs all of them, `fast` none.
LONG=(requests::rivals::whoever_takes_over requests::family requests::waiting requests::record requests::killed requests::drills requests::undo)

# Everything that needs no node. Most of these tests wait for servers most of the time: more of them run at once than there are
# cores, and the API server's beside the others. Named ones (ARGS) run by one cargo.
on_servers() {
  local code=0 api skipped=()
  mapfile -t skipped < <(printf -- '--skip\n%s\n' "${LONG[@]}")
  if [ $# -gt 0 ]; then cargo test --locked --workspace --no-fail-fast "$@"; return; fi
  api=$(mktemp)
  log "left to make test-part: ${LONG[*]}"
  cargo test --locked --package testkit --test api -- --test-threads="${SENNIGHT_TEST_THREADS:-10}" "${skipped[@]}" >"$api" 2>&1 &
  cargo test --locked --workspace --no-fail-fast --lib --bins --test architecture --test unit --test servers -- \
    --test-threads="${SENNIGHT_TEST_THREADS:-6}" || code=$?
  log "the rest, beside these: tests on the API server"
  wait $! || code=$?
  cat "$api"
  rm -f "$api"
  cargo test --locked --workspace --doc || code=$?
  return $code
}

# The long suites; and what a tenant's settings may do, on each other major too: the settings are others there.
on_integrity() {
  local code=0 major port
  cargo test --locked --package testkit --test integrity -- --nocapture "$@" || code=$?
  [ $# -eq 0 ] || return $code
  for major in $SENNIGHT_PG_MAJORS; do
    port=SENNIGHT_TEST_PG_PORT_$major
    log "what a tenant's settings may do, on PostgreSQL $major"
    SENNIGHT_TEST_PG_PORT=${!port} cargo test --locked --package testkit --test servers -- dump::rights || code=$?
  done
  return $code
}

# Hostile databases, on the host's PostgreSQL and on each other major.
on_tenants() {
  local code=0 major port
  cargo test --locked --package testkit --test tenants -- --nocapture "$@" || code=$?
  for major in ${SENNIGHT_PG_MAJORS:-}; do
    port=SENNIGHT_TEST_PG_PORT_$major
    log "hostile databases on PostgreSQL $major"
    SENNIGHT_TEST_PG_PORT=${!port} cargo test --locked --package testkit --test tenants -- --nocapture "$@" || code=$?
  done
  return $code
}

# The long tests on the API server, and some cases of each long suite; what needs the API server beside what does not.
on_part() {
  local code=0 gate
  gate=$(mktemp)
  on_gate >"$gate" 2>&1 &
  cargo test --locked --package testkit --no-fail-fast --test integrity --test engines -- --nocapture || code=$?
  SENNIGHT_CASES=6 SENNIGHT_PG_MAJORS='' on_tenants || code=$?
  # It changes settings of whole servers: it has one of its own, the long tests on the API server are at work on the other.
  "$CLUSTER_SRC/with.sh" services -- cargo test --locked --package testkit --test globals -- --nocapture || code=$?
  # It crashes the database server: it has one of its own, the others are at work on theirs.
  SENNIGHT_MYSQL='' "$CLUSTER_SRC/with.sh" services -- cargo test --locked --package testkit --test restore_faults -- --nocapture || code=$?
  log "beside these: the long tests on the API server, and attacks"
  wait $! || code=$?
  cat "$gate"
  rm -f "$gate"
  return $code
}

on_gate() {
  local code=0
  cargo test --locked --package testkit --test api -- --test-threads="${SENNIGHT_TEST_THREADS:-10}" "${LONG[@]}" || code=$?
  cargo test --locked --package testkit --test attack -- --nocapture || code=$?
  cargo test --locked --package testkit --test bench_scale || code=$?
  return $code
}

# compiled WHAT ARGS…: the binaries and the tests that ARGS choose, before a tier is started for them. Tests refuse old binaries.
compiled() {
  local what=$1 before=$EPOCHREALTIME
  shift
  log "compiling $what"
  cargo build --locked --workspace --bins --quiet
  cargo test --locked --workspace --no-run --quiet "$@"
  part compiling "$before"
}

# counted COMMAND…: runs the tests, shows their lines, and sums what cargo says of each binary; SENNIGHT_MINUTES is lib.sh's (part)
counted() {
  local out code=0
  out=$(mktemp)
  "$@" 2>&1 | tee "$out" || code=$?
  awk -v code=$code -v rows="${SENNIGHT_MINUTES:-/dev/null}" '
    /^ *Running / { name = $2 == "unittests" ? $3 : $2; sub(/^tests\//, "", name); sub(/(\/main)?\.rs$/, "", name) }
    /^ *Doc-tests / { name = "doc tests" }
    /^test result:/ { binaries++; seconds = $NF; sub(/s$/, "", seconds)
      if ($4 + $6 > 0) printf "  %-32s %8.1f  %d tests\n", name, seconds / 60, $4 + $6 >> rows
      for (i = 2; i <= NF; i++) { w = $i; sub(/;$/, "", w)
      if (w == "passed") passed += $(i-1); if (w == "failed") failed += $(i-1)
      if (w == "ignored") ignored += $(i-1); if (w == "out") filtered += $(i-2) } }
    END {
      printf "tests: %d passed, %d failed, %d ignored, %d filtered out, in %d binaries\n", passed, failed, ignored, filtered, binaries
      if (code != 0) exit code
      if (passed == 0) { print "no test ran: that is a failure"; exit 1 }
      if (ignored > 0) { print "ignored tests count as failures here: fix or delete them"; exit 1 }
    }' "$out" || code=$?
  rm -f "$out"
  return $code
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
  fast)
    compiled "the tests"
    counted "$CLUSTER_SRC/with.sh" api -- "$CLUSTER_SRC/run-tests.sh" on-servers "$@"
    ;;
  on-servers) on_servers "$@" ;;
  part)
    compiled "the long suites" --test api --test integrity --test tenants --test engines --test globals --test restore_faults --test attack --test bench_scale
    export SENNIGHT_CASES=${SENNIGHT_CASES:-60} SENNIGHT_MYSQL=${SENNIGHT_MYSQL-mariadb-10.11}
    counted "$CLUSTER_SRC/with.sh" api -- "$CLUSTER_SRC/run-tests.sh" on-part
    ;;
  on-part) on_part ;;
  tenants)
    export SENNIGHT_PG_MAJORS=${SENNIGHT_PG_MAJORS-17 18}
    compiled "the hostile databases" --test tenants
    counted "$CLUSTER_SRC/with.sh" services -- "$CLUSTER_SRC/run-tests.sh" on-tenants "$@"
    ;;
  on-tenants) on_tenants "$@" ;;
  engines)
    export SENNIGHT_MYSQL=${SENNIGHT_MYSQL-mariadb-10.11 mariadb-11.8 mysql-9}
    compiled "the engines' suite" --test engines --test globals
    counted "$CLUSTER_SRC/with.sh" services -- "$CLUSTER_SRC/run-tests.sh" on-engines "$@"
    ;;
  on-engines)
    code=0
    # One after the other: the second changes settings of whole servers.
    for suite in engines globals; do cargo test --locked --package testkit --test "$suite" -- --nocapture "$@" || code=$?; done
    exit $code
    ;;
  attack)
    compiled "the attacks" --test attack
    counted "$CLUSTER_SRC/with.sh" api -- cargo test --locked --package testkit --test attack -- --nocapture "$@"
    ;;
  cases)
    export SENNIGHT_MYSQL=${SENNIGHT_MYSQL-mariadb-10.11}
    compiled "the cases" --test cases
    counted "$CLUSTER_SRC/with.sh" api -- cargo test --locked --package testkit --test cases -- --nocapture --test-threads=5 "$@"
    ;;
  restore-faults)
    compiled "the suite" --test restore_faults
    counted "$CLUSTER_SRC/with.sh" services -- cargo test --locked --package testkit --test restore_faults -- --nocapture "$@"
    ;;
  integrity)
    export SENNIGHT_STORES=${SENNIGHT_STORES-versitygw garage}
    export SENNIGHT_PG_MAJORS=${SENNIGHT_PG_MAJORS-17 18}
    compiled "the long suites" --test integrity --test servers
    counted "$CLUSTER_SRC/with.sh" services -- "$CLUSTER_SRC/run-tests.sh" on-integrity "$@"
    ;;
  on-integrity) on_integrity "$@" ;;
  node)
    "$CLUSTER_SRC/tools.sh" node
    compiled "the node's tests" --test node
    "$CLUSTER_SRC/images.sh" sennight minio postgres mariadb >/dev/null
    counted "$CLUSTER_SRC/with.sh" node -- "$CLUSTER_SRC/run-tests.sh" on-node "$@"
    ;;
  on-node) on_node "$@" ;;
  *) die "usage: run-tests.sh fast|node|part|integrity|attack|engines|cases|restore-faults [arguments for cargo test]" ;;
esac
log "$verb: done"
