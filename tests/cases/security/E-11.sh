#!/usr/bin/env bash
# E-11 (S-20): a tenant with thousands of empty tables and the server's shared lock table. At most 10,000 tables are made.
# The test tier's server has max_connections=300 (room for 20,000 locks), so a server with PostgreSQL's own defaults
# (max_connections=100, max_locks_per_transaction=64, max_prepared_transactions=0) is started here, on loopback, and stopped at the end.
# Right: too many tables are refused before a lock is taken: TooManyTables, with the setting to raise.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
P=$(free_port)
own_server "$(mktemp -d /tmp/sennight-e11.XXXXXX)" "$P" synchronous_commit=off full_page_writes=off
export PGPORT=$P PGSSLMODE=disable
db() { clear_db "$P" "$1" "$2"; }
setup
adm -d postgres -c "SELECT name || ' = ' || setting FROM pg_settings WHERE name IN ('max_connections','max_locks_per_transaction','max_prepared_transactions')"
as bcorp b -d bcorp -c "DO \$\$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE y%s (i int)', i); END LOOP; END \$\$"
more() { # FROM TO
  as acme t -d acme -c "CREATE OR REPLACE PROCEDURE mk(a int, b int) LANGUAGE plpgsql AS \$\$ BEGIN FOR i IN a..b LOOP EXECUTE 'CREATE TABLE x' || i || '()'; IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END \$\$" -c "CALL mk($1, $2)"; }
as acme t -d acme -c "CREATE TABLE big AS SELECT g, repeat(md5(g::text), 40) p FROM generate_series(1,12000) g"
probe() { # what bcorp sees meanwhile: a transaction over 60 tables, again and again
  : >probe.ok; : >probe.bad
  while [ ! -f stop_probe ]; do
    if as bcorp b -d bcorp -c "BEGIN; LOCK TABLE $(seq -s, -f 'y%g' 1 60) IN ACCESS SHARE MODE; COMMIT" >/dev/null 2>p.err; then echo "$(date +%s)" >>probe.ok; else tail -n 2 p.err | head -n1 >>probe.bad; fi
    sleep 0.1
  done; }
try() { # N TABLES
  say "$1 empty tables"; rm -f stop_probe; probe & pr=$!; sleep 0.5
  dump acme dump ',"maxBytesPerSecond":1500000' >o 2>&1 && outcome "$1 empty tables" held || outcome "$1 empty tables" "$(grep -aoE 'reason="?[A-Za-z]+' o | head -n 1 | sed -e 's|reason="*||' -e 's/^TooManyLocks$/held/')"
  touch stop_probe; wait $pr
  echo "bcorp's transactions during it: $(wc -l <probe.ok) fine, $(wc -l <probe.bad) failed: $(sort probe.bad | uniq -c | head -n 3)"; }
n=0; for t in ${SIZES:-5000 10000}; do more $((n+1)) "$t"; n=$t; try "$t"; done
