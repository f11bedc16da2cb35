#!/usr/bin/env bash
# A-3: a nested composite: every level doubles the quotes of the one inside. A row of some hundred bytes becomes megabytes of row text.
# Right: a warning or a refusal names the table.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
depth() { # N ROWS
  as acme t -d acme >/dev/null 2>&1 <<SQL
DO \$\$ BEGIN DROP SCHEMA IF EXISTS bomb CASCADE; CREATE SCHEMA bomb; EXECUTE 'CREATE TYPE bomb.c0 AS (t text)';
FOR i IN 1..$1 LOOP EXECUTE format('CREATE TYPE bomb.c%s AS (c bomb.c%s)', i, i - 1); END LOOP; EXECUTE 'CREATE TABLE bomb.t (c bomb.c$1)';
EXECUTE 'INSERT INTO bomb.t SELECT ' || repeat('ROW(', $1) || 'ROW(''"'')' || (SELECT string_agg(format(')::bomb.c%s', i), '' ORDER BY i) FROM generate_series(1, $1) i) || ' FROM generate_series(1, $2)'; END \$\$;
SQL
}
for d in ${DEPTHS:-"21 60"}; do read -r n rows <<<"$d"
  depth "$n" "$rows"
  echo "depth $n, $rows rows: table $(as acme t -d acme -c "SELECT pg_total_relation_size('bomb.t')") bytes on disk"
  "$SENNIGHT" version >/dev/null
  /usr/bin/time -f '  dump: %M KiB at the most, %e s' "$SENNIGHT" dump --storage "$ST" --job-uid "j$n-$rows" --task '{"name":"acme","identity":'"$(id acme)"',"database":'"$(db dump acme)"',"timeZone":"UTC"}' >o 2>t && cat t | tail -n1 || { tail -n1 t; grep -a ERROR o t | tail -n1 | cut -c1-300; }
  s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/j$n-$rows/acme.json" >r; raw=$(grep -oE '"rawBytes":[0-9]+' r | cut -d: -f2)
  held "$rows rows whose text is thousands of times their size" "dumped without a word" test "${raw:-0}" -lt 100000000
  sleep 1.05
  /usr/bin/time -f '  prepare: %M KiB at the most, %e s' "$SENNIGHT" prepare --storage "$ST" --task "$(rtask acme)" >o 2>t && tail -n1 t || { tail -n1 t; grep -a ERROR t | tail -n1 | cut -c1-300; }
done
