# Sourced by the measurements, inside tests/cluster/with.sh services: the servers, a bucket, credential files, and a clock.
# shellcheck shell=bash disable=SC2034 # what is set here is for those who source it
# Sets: root, binary, work (a directory that goes away at the end), bucket, psql, storage (for the worker's --storage).
: "${SENNIGHT_TEST_PG_HOST:?run this by tests/cluster/with.sh services -- $0}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
binary=${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-$root/target}/debug/sennight}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PGHOST=$SENNIGHT_TEST_PG_HOST PGPORT=$SENNIGHT_TEST_PG_PORT PGUSER=$SENNIGHT_TEST_PG_USER
export PGPASSWORD=$SENNIGHT_TEST_PG_PASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=$SENNIGHT_TEST_PG_CA
psql=("$SENNIGHT_TEST_PG_BIN/psql" -XqAt -v ON_ERROR_STOP=1)

mkdir "$work/pg" "$work/s3"
printf %s "$PGUSER" >"$work/pg/username"
printf %s "$PGHOST" >"$work/pg/host"
printf %s "$PGPASSWORD" >"$work/pg/password"
printf %s "$SENNIGHT_TEST_S3_ACCESS_KEY" >"$work/s3/AWS_ACCESS_KEY_ID"
printf %s "$SENNIGHT_TEST_S3_SECRET_KEY" >"$work/s3/AWS_SECRET_ACCESS_KEY"
bucket=measure-$$

# s3 KEY [CURL FLAGS…]: a signed request, without the key in anybody's arguments
s3() {
  printf 'user = "%s:%s"\n' "$SENNIGHT_TEST_S3_ACCESS_KEY" "$SENNIGHT_TEST_S3_SECRET_KEY" |
    curl -fsS --config - --aws-sigv4 aws:amz:us-east-1:s3 "${@:2}" "$SENNIGHT_TEST_S3_ENDPOINT/$bucket/$1"
}
s3 "" -X PUT >/dev/null
storage=$(jq -nc --arg b "$bucket" --arg e "$SENNIGHT_TEST_S3_ENDPOINT" --arg d "$work/s3" \
  '{bucket: $b, endpoint: $e, forcePathStyle: true, credentialsDir: $d}')

# dump_task NAME DATABASE PARALLELISM: a task for `sennight dump`
dump_task() {
  jq -nc --arg name "$1" --arg db "$2" --argjson n "$3" --arg host "$PGHOST" --argjson port "$PGPORT" --arg ca "$PGSSLROOTCERT" \
    --arg dir "$work/pg" '{name: $name, timeZone: "UTC", parallelism: $n,
      identity: {namespace: "measure", schedule: $name, tenant: "t", engine: "PostgreSQL", database: $db},
      database: {engine: "PostgreSQL", host: $host, port: $port, database: $db, credentialsDir: $dir, tls: {caFile: $ca}}}'
}

# backup_of NAME: the backup that the dump task NAME made
backup_of() { s3 "results/measure/$1.json" | jq -ce '.outcome | {prefix, id, manifestSha256} | select(all(.[]; . != null))'; }

# measure VERB ARGUMENTS…: runs the worker; sets seconds, peak and children (KiB: its own and its largest child's resident memory)
measure() {
  local pid start child now
  peak=0 children=0
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
  seconds=$(awk -v s="$start" -v e="$(date +%s.%N)" 'BEGIN { print e - s }')
}
