#!/usr/bin/env bash
# worker_rss.sh [MEGABYTES]: peak memory and time of the worker's dump and verify of a database of that size (2048).
#   cargo build --workspace --bin sennight && tests/cluster/with.sh services -- tests/measure/worker_rss.sh
# Prints one line for each step. A third of the rows is text that compresses, the rest does not.
set -euo pipefail
# shellcheck source=tests/measure/lib.sh
. "$(dirname "$0")/lib.sh"
megabytes=${1:-2048}

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

say() {
  awk -v what="$1" -v mb="$size" -v s="$seconds" -v p="$peak" -v c="$children" 'BEGIN {
    printf "%s of %d MB: %.1f s, %.0f MB/s, peak RSS %.0f MiB, largest child %.0f MiB\n", what, mb, s, mb / s, p / 1024, c / 1024 }'
}

for parallelism in 1 2 4; do
  measure dump --storage "$storage" --task "$(dump_task "p$parallelism" measured "$parallelism")"
  say "dump, parallelism $parallelism,"
done
measure verify --storage "$storage" --task "$(jq -nc --argjson c "$(backup_of p2)" '{name: "v", backup: $c}')"
say verify
