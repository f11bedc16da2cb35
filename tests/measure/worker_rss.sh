#!/usr/bin/env bash
# worker_rss.sh [MEGABYTES]: peak memory and time of the worker's dump and verify of a database of that size (2048).
#   cargo build --bin sennight && tests/cluster/with.sh services -- tests/measure/worker_rss.sh
# Prints one line for each step. A third of the rows is text that compresses, the rest does not.
set -euo pipefail
: "${SENNIGHT_TEST_PG_HOST:?run this by tests/cluster/with.sh services -- tests/measure/worker_rss.sh}"
megabytes=${1:-2048}
binary=${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-target}/debug/sennight}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PGHOST=$SENNIGHT_TEST_PG_HOST PGPORT=$SENNIGHT_TEST_PG_PORT PGUSER=$SENNIGHT_TEST_PG_USER
export PGPASSWORD=$SENNIGHT_TEST_PG_PASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=$SENNIGHT_TEST_PG_CA
psql=("$SENNIGHT_TEST_PG_BIN/psql" -XqAt -v ON_ERROR_STOP=1)

mkdir "$work/pg" "$work/s3"
printf %s "$PGUSER" >"$work/pg/username"
printf %s "$PGPASSWORD" >"$work/pg/password"
printf %s "$SENNIGHT_TEST_S3_ACCESS_KEY" >"$work/s3/AWS_ACCESS_KEY_ID"
printf %s "$SENNIGHT_TEST_S3_SECRET_KEY" >"$work/s3/AWS_SECRET_ACCESS_KEY"
bucket=measure-$$

# A signed request, without the key in anybody's arguments.
s3() {
  printf 'user = "%s:%s"\n' "$SENNIGHT_TEST_S3_ACCESS_KEY" "$SENNIGHT_TEST_S3_SECRET_KEY" |
    curl -fsS --config - --aws-sigv4 aws:amz:us-east-1:s3 "${@:2}" "$SENNIGHT_TEST_S3_ENDPOINT/$bucket/$1"
}
s3 "" -X PUT >/dev/null

# About 310 bytes of heap a row: one big table with 90 % of them, and 200 small ones.
rows=$((megabytes * 1024 * 1024 / 310))
"${psql[@]}" -d postgres -c "CREATE DATABASE measured"
export PGDATABASE=measured
"${psql[@]}" <<SQL
CREATE TABLE big AS SELECT i AS id, encode(sha512(i::text::bytea), 'hex') AS noise, repeat('some words ', 10) AS words
  FROM generate_series(1, $rows * 9 / 10) i;
DO \$\$ BEGIN FOR t IN 1..200 LOOP
  EXECUTE format('CREATE TABLE small_%s AS SELECT * FROM big WHERE id <= %s', t, $rows / 2000);
END LOOP; END \$\$;
SQL
size=$("${psql[@]}" -c "SELECT pg_database_size('measured') / 1024 / 1024")

# Runs "$@"; prints its seconds, its peak resident memory and that of its largest child.
measure() {
  local what=$1 pid start child peak=0 children=0 now
  shift
  start=$(date +%s.%N)
  SENNIGHT_JOB_UID=measure "$binary" "$@" >"$work/out" 2>&1 &
  pid=$!
  while now=$(awk '/^VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    # shellcheck disable=SC2013 # words are what is wanted
    for child in $(cat /proc/"$pid"/task/*/children 2>/dev/null); do
      now=$(awk '/^VmHWM/ {print $2}' "/proc/$child/status" 2>/dev/null || true)
      if [ "${now:-0}" -gt "$children" ]; then children=$now; fi
    done
    sleep 0.05
  done
  wait "$pid" || { cat "$work/out"; exit 1; }
  awk -v what="$what" -v mb="$size" -v s="$start" -v e="$(date +%s.%N)" -v p="$peak" -v c="$children" 'BEGIN {
    printf "%s of %d MB: %.1f s, %.0f MB/s, peak RSS %.0f MiB, largest child %.0f MiB\n", what, mb, e - s, mb / (e - s), p / 1024, c / 1024 }'
}

storage=$(jq -nc --arg b "$bucket" --arg e "$SENNIGHT_TEST_S3_ENDPOINT" --arg d "$work/s3" \
  '{bucket: $b, endpoint: $e, forcePathStyle: true, credentialsDir: $d}')
for parallelism in 1 2 4; do
  name=p$parallelism
  task=$(jq -nc --arg name "$name" --arg host "$PGHOST" --argjson port "$PGPORT" --arg ca "$PGSSLROOTCERT" --arg dir "$work/pg" \
    --argjson n "$parallelism" '{name: $name, timeZone: "UTC", parallelism: $n,
      identity: {namespace: "measure", schedule: $name, tenant: "t", engine: "PostgreSQL", database: "measured"},
      database: {engine: "PostgreSQL", host: $host, port: $port, database: "measured", credentialsDir: $dir, tls: {caFile: $ca}}}')
  measure "dump, parallelism $parallelism," dump --storage "$storage" --task "$task"
done
copy=$(s3 "results/measure/p2.json" | jq -ce '.outcome | {prefix, id, manifestSha256} | select(all(.[]; . != null))')
measure verify verify --storage "$storage" --task "$(jq -nc --argjson c "$copy" '{name: "v", copy: $c}')"
