#!/usr/bin/env bash
# restore_speed.sh [MEGABYTES [ROUNDS]]: how long `prepare` takes to make a database from a backup in S3, beside `pg_restore -j2` from local files
# (2048 MB, 5 rounds, in turns).
#   cargo build --release --bin sennight && SENNIGHT_BINARY=target/release/sennight tests/cluster/with.sh services -- tests/measure/restore_speed.sh
# `prepare` checks every frame, counts the rows and gathers statistics; pg_restore does none of this, so ANALYZE is added to it.
# Both make their database within their time. A checkpoint before each: none of them pays for the other's pages. Prints the ratio of the medians: above 1, prepare is the faster one.
set -euo pipefail
# shellcheck source=tests/measure/lib.sh
. "$(dirname "$0")/lib.sh"
megabytes=${1:-2048} rounds=${2:-5}

rows=$((megabytes * 1024 * 1024 / 330))
"${psql[@]}" -d postgres -c "CREATE DATABASE measured"
PGDATABASE=measured "${psql[@]}" <<SQL
CREATE TABLE deals AS SELECT i AS id, encode(sha512(i::text::bytea), 'hex') AS noise, repeat('some words ', 10) AS words, i % 5000 AS company
  FROM generate_series(1, $rows / 2) i;
CREATE TABLE contacts AS SELECT * FROM deals;
ALTER TABLE deals ADD PRIMARY KEY (id);
ALTER TABLE contacts ADD PRIMARY KEY (id);
CREATE INDEX ON deals (company);
CREATE INDEX ON contacts (company);
SQL
size=$("${psql[@]}" -d postgres -c "SELECT pg_database_size('measured') / 1024 / 1024")
measure dump --storage "$storage" --task "$(dump_task speed measured 2)"
PGDATABASE=measured "$SENNIGHT_TEST_PG_BIN/pg_dump" -Fd -j2 -Z1 -f "$work/stock"

restore_task() {
  jq -nc --argjson d "$(dump_task speed measured 2)" --argjson c "$(backup_of speed)" \
    '{name: "r", requestUid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab", identity: $d.identity, backup: $c, database: $d.database, parallelism: 2}'
}

stock() {
  local start
  "${psql[@]}" -d postgres -c CHECKPOINT
  start=$(date +%s.%N)
  "${psql[@]}" -d postgres -c "CREATE DATABASE stock TEMPLATE template0"
  PGDATABASE=stock "$SENNIGHT_TEST_PG_BIN/pg_restore" --exit-on-error -j2 --dbname= "$work/stock"
  "${psql[@]}" -d stock -c ANALYZE
  seconds=$(awk -v s="$start" -v e="$(date +%s.%N)" 'BEGIN { print e - s }')
  "${psql[@]}" -d postgres -c "DROP DATABASE stock"
}

ours() {
  "${psql[@]}" -d postgres -c CHECKPOINT
  measure prepare --storage "$storage" --task "$(restore_task)" --job-uid "round-$1"
  "${psql[@]}" -d postgres -c "DROP DATABASE measured__r0f3b2c1daaaa"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

: >"$work/ours.s"
: >"$work/stock.s"
for round in $(seq "$rounds"); do
  stock
  echo "$seconds" >>"$work/stock.s"
  ours "$round"
  echo "$seconds" >>"$work/ours.s"
  echo "round $round: pg_restore $(tail -n 1 "$work/stock.s") s, prepare $seconds s"
done
awk -v mb="$size" -v n="$rounds" -v o="$(median <"$work/ours.s")" -v s="$(median <"$work/stock.s")" 'BEGIN {
  printf "%d MB, median of %d: prepare from S3 %.1f s (%.0f MB/s), pg_restore -j2 and ANALYZE from local files %.1f s (%.0f MB/s), ratio %.2f\n",
    mb, n, o, mb / o, s, mb / s, s / o }'
