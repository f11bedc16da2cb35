#!/usr/bin/env bash
# export_rss.sh [FACTOR]: peak memory and time of a CRM export of the demo's tenant with FACTOR times its contacts and their
# phones and e-mails (40: a million contacts, three million values).
#   cargo build --bin sennight && tests/cluster/with.sh services -- tests/measure/export_rss.sh
set -euo pipefail
: "${SENNIGHT_TEST_PG_HOST:?run this by tests/cluster/with.sh services -- tests/measure/export_rss.sh}"
factor=${1:-40}
root=$(cd "$(dirname "$0")/../.." && pwd)
binary=${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-$root/target}/debug/sennight}
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

"${psql[@]}" -d postgres -c "CREATE DATABASE measured_export"
export PGDATABASE=measured_export
"${psql[@]}" -f "$root/tests/demo/crm/schema.sql" -f "$root/tests/demo/crm/data.sql" >/dev/null
"${psql[@]}" <<SQL
SET statement_timeout = 0;
CREATE TEMP TABLE more AS SELECT * FROM b_crm_contact;
DO \$\$ BEGIN FOR n IN 1 .. $factor - 1 LOOP
  UPDATE more SET id = id + 25000;
  INSERT INTO b_crm_contact SELECT * FROM more;
  INSERT INTO b_crm_field_multi (entity_id, element_id, type_id, value_type, complex_id, value)
    SELECT entity_id, element_id + n * 25000, type_id, value_type, complex_id, value FROM b_crm_field_multi
    WHERE entity_id = 'CONTACT' AND element_id <= 25000;
END LOOP; END \$\$;
SQL
rows=$("${psql[@]}" -c "SELECT (SELECT count(*) FROM b_crm_contact) || ' contacts, ' || (SELECT count(*) FROM b_crm_field_multi) || ' values'")

# Runs "$@"; prints its seconds and its peak resident memory.
measure() {
  local what=$1 pid start peak=0 now
  shift
  start=$(date +%s.%N)
  SENNIGHT_JOB_UID=measure "$binary" "$@" >"$work/out" 2>&1 &
  pid=$!
  while now=$(awk '/^VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.05
  done
  wait "$pid" || { cat "$work/out"; exit 1; }
  awk -v what="$what" -v rows="$rows" -v s="$start" -v e="$(date +%s.%N)" -v p="$peak" \
    'BEGIN { printf "%s of %s: %.1f s, peak RSS %.0f MiB\n", what, rows, e - s, p / 1024 }'
}

storage=$(jq -nc --arg b "$bucket" --arg e "$SENNIGHT_TEST_S3_ENDPOINT" --arg d "$work/s3" \
  '{bucket: $b, endpoint: $e, forcePathStyle: true, credentialsDir: $d}')
identity='{"namespace": "measure", "schedule": "crm", "tenant": "t", "engine": "PostgreSQL", "database": "measured_export"}'
measure dump dump --storage "$storage" --task "$(jq -nc --arg host "$PGHOST" --argjson port "$PGPORT" --arg ca "$PGSSLROOTCERT" \
  --arg dir "$work/pg" --argjson i "$identity" '{name: "d", timeZone: "UTC", identity: $i, database: {engine: "PostgreSQL",
  host: $host, port: $port, database: "measured_export", credentialsDir: $dir, tls: {caFile: $ca}}}')"
copy=$(s3 "results/measure/d.json" | jq -ce '.outcome | {prefix, id, manifestSha256} | select(all(.[]; . != null))')
# python3-yaml is the one thing here that the harness does not need as well.
profile=$(python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))["spec"]))' \
  "$root/charts/sennight/profiles/bitrix24-crm.yaml")
measure export export --storage "$storage" --task "$(jq -nc --argjson c "$copy" --argjson i "$identity" --argjson p "$profile" \
  '{name: "e", requestUid: "measure", request: "measure", identity: $i, copy: $c, profile: $p}')"
s3 "results/measure/e.json" | jq -c '.outcome | {bytes, files}'
