#!/usr/bin/env bash
# two_builds.sh [ROUNDS]: one build of sennight beside an earlier one, in turns: a wide dump, small tenants, a restore, a dump of MariaDB (10 rounds).
#   SENNIGHT_OLD_BINARY=OLD SENNIGHT_BINARY=NEW SENNIGHT_MYSQL=mariadb-10.11 tests/cluster/with.sh services -- tests/measure/two_builds.sh
# The earlier build runs twice in each round: its ratio to itself is the noise. SENNIGHT_OLD_TASK is a jq filter for builds that had
# other names in a task, such as 'if .backup then .copy = .backup | del(.backup) else . end'. SENNIGHT_MEASURE_MB (1024) is the wide database's size.
set -euo pipefail
# shellcheck source=tests/measure/lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${1:-10} megabytes=${SENNIGHT_MEASURE_MB:-1024} tenants=${SENNIGHT_MEASURE_TENANTS:-40}
# shellcheck disable=SC2154 # lib.sh sets it
old=${SENNIGHT_OLD_BINARY:?the earlier build} new=$binary
declare -A arm=([old]=$old [again]=$old [new]=$new)

# fill DATABASE MEGABYTES
fill() {
  "${psql[@]}" -d postgres -c "CREATE DATABASE $1"
  PGDATABASE=$1 "${psql[@]}" <<SQL
CREATE TABLE deals AS SELECT i AS id, encode(sha512(i::text::bytea), 'hex') AS noise, repeat('some words ', 10) AS words, i % 5000 AS company
  FROM generate_series(1, $2::bigint * 1024 * 1024 / 330) i;
ALTER TABLE deals ADD PRIMARY KEY (id);
CREATE INDEX ON deals (company);
SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, name text, at timestamptz DEFAULT now())', n) FROM generate_series(1, 50) n \gexec
SQL
}

# timed ARM VERB TASKS…: runs that build's worker; adds "wall cpu MiB" to $work/VERB-of-CASE.ARM
timed() {
  local build=$1 verb=$2 task arguments=()
  shift 2
  for task in "$@"; do
    [ "$build" = new ] || task=$(jq -c "${SENNIGHT_OLD_TASK:-.}" <<<"$task")
    arguments+=(--task "$task")
  done
  SENNIGHT_JOB_UID=${job:-measure} /usr/bin/time -o "$work/time" -f '%e %U %S %M' \
    "${arm[$build]}" "$verb" --storage "$storage" "${arguments[@]}" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
  awk '{ printf "%s %.2f %.0f\n", $1, $2 + $3, $4 / 1024 }' "$work/time" >>"$work/$case.$build"
}

# order ROUND: the builds, each round beginning with another one
order() { case $(($1 % 3)) in 0) echo old new again ;; 1) echo new again old ;; 2) echo again old new ;; esac; }

report() {
  paste "$work/$case.old" "$work/$case.again" "$work/$case.new" | awk -v what="$case" '
    function median(v, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
      return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
    { n++; o[n] = $1; w[n] = $7; noise[n] = $4 / $1; wall[n] = $7 / ($1 + $4) * 2; cpunoise[n] = $5 / $2; cpu[n] = $8 / ($2 + $5) * 2; mo[n] = $3; mn[n] = $9 }
    END { printf "%-8s old %.2f s, new %.2f s; new/old %.3f (old/old %.3f); CPU %.3f (%.3f); MiB %d -> %d; %d rounds\n", what, median(o, n), median(w, n),
      median(wall, n), median(noise, n), median(cpu, n), median(cpunoise, n), median(mo, n), median(mn, n), n }'
}

fill wide "$megabytes"
case=wide
for round in $(seq "$rounds"); do
  for build in $(order "$round"); do timed "$build" dump "$(dump_task "wide$build$round" wide 2)"; done
done
report

case=restore
wide=$(backup_of "wideold$rounds")
restore_task() {
  jq -nc --argjson d "$(dump_task "wideold$rounds" wide 2)" --argjson c "$wide" \
    '{name: "r", requestUid: "0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab", identity: $d.identity, backup: $c, database: $d.database, parallelism: 2}'
}
for round in $(seq "$rounds"); do
  for build in $(order "$round"); do
    "${psql[@]}" -d postgres -c CHECKPOINT
    job=$build-$round timed "$build" prepare "$(restore_task)"
    "${psql[@]}" -d postgres -c "DROP DATABASE wide__r0f3b2c1daaaa"
  done
done
report

case=small
fill small 8
names=()
for n in $(seq "$tenants"); do
  "${psql[@]}" -d postgres -c "CREATE DATABASE small_$n TEMPLATE small STRATEGY file_copy"
  names+=("small_$n")
done
"${psql[@]}" -d postgres -c CHECKPOINT
for round in $(seq "$rounds"); do
  for build in $(order "$round"); do
    tasks=()
    for name in "${names[@]}"; do tasks+=("$(dump_task "$name" "$name" 1)"); done
    # A Job of its own: a worker that finds its reports has nothing left to do.
    job=small-$build-$round timed "$build" dump "${tasks[@]}"
  done
done
report

[ -n "${SENNIGHT_TEST_MARIADB_10_11_PORT:-}" ] || { echo "mariadb  not measured: SENNIGHT_MYSQL=mariadb-10.11 starts one"; exit 0; }
case=mariadb
printf %s "$SENNIGHT_TEST_MYSQL_USER" >"$work/pg/username"
printf %s "$SENNIGHT_TEST_MYSQL_HOST" >"$work/pg/host"
printf %s "$SENNIGHT_TEST_MYSQL_PASSWORD" >"$work/pg/password"
MYSQL_PWD=$SENNIGHT_TEST_MYSQL_PASSWORD mariadb -h "$SENNIGHT_TEST_MYSQL_HOST" -P "$SENNIGHT_TEST_MARIADB_10_11_PORT" -u "$SENNIGHT_TEST_MYSQL_USER" <<SQL
CREATE DATABASE wide;
USE wide;
CREATE TABLE deals (id int PRIMARY KEY, noise varchar(200), words varchar(200), company int, amount decimal(12,2), at datetime);
INSERT INTO deals SELECT seq, SHA2(seq, 512), REPEAT('some words ', 10), seq % 5000, seq / 7, '2026-01-01' + INTERVAL seq SECOND
  FROM seq_1_to_$((megabytes * 1024 * 1024 / 700));
SQL
maria_task() {
  dump_task "$1" wide 2 | jq -c --argjson port "$SENNIGHT_TEST_MARIADB_10_11_PORT" --arg host "$SENNIGHT_TEST_MYSQL_HOST" --arg ca "$SENNIGHT_TEST_MYSQL_CA" \
    '.identity.engine = "MariaDB" | .database += {engine: "MariaDB", host: $host, port: $port, tls: {caFile: $ca}}'
}
for round in $(seq "$rounds"); do
  for build in $(order "$round"); do timed "$build" dump "$(maria_task "maria$build$round")"; done
done
report
