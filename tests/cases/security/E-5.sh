#!/usr/bin/env bash
# E-5 (S-03): a drill runs the tenant's functions as the scratch server's superuser; even index expressions, because of --no-owner.
# Right: no code of the tenant runs as a role that reaches another database or the machine.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
MARK=$(mktemp -u /tmp/sennight-owned-5.XXXXXX)
as acme t -d acme <<SQL
CREATE FUNCTION public.ev(why text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS \$f\$ BEGIN
  IF pg_catalog.current_setting('is_superuser') = 'on' THEN
    RAISE LOG 'OWNED-5 % as % super=on', why, current_user;
    EXECUTE 'COPY (SELECT 1) TO PROGRAM ''cat >/dev/null; id >>$MARK''';
  ELSIF current_user::text <> 'acme' THEN RAISE LOG 'OWNED-5 % as % super=off', why, current_user;
  END IF; RETURN true; END \$f\$;
CREATE FUNCTION public.evi(why text, i int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS \$f\$ BEGIN RETURN public.ev(why); END \$f\$;
SQL
try() { # NAME SQL CREDS
  say "$1, drill by $3"
  as acme t -d acme -c "DROP SCHEMA IF EXISTS bait CASCADE; CREATE SCHEMA bait" >/dev/null 2>&1
  as acme t -d acme -c "$2"
  local n; n=$(grep -ac OWNED-5 "$PGLOG" || true); rm -f $MARK
  dump acme >/dev/null 2>&1 || echo "dump rc=$?"
  drill acme "$3" >o 2>&1 && echo "drill rc=0 ($(grep -aoE 'Drilled|drilled|succeeded|done' o | head -n1))" || { echo "drill rc=$?"; grep -a ERROR o | cut -c1-300; }
  outcome "$1, drill by $3" "$(who OWNED-5 "$n")"
  echo "log: $(grep -a OWNED-5 "$PGLOG" | tail -n +$((n+1)) | sed 's/.*OWNED-5/OWNED-5/' | sort | uniq -c | tr '\n' ';')"
  held "$1, drill by $3: program on the server" "ran" test ! -e "$MARK"; rm -f "$MARK"
}
try "CHECK" "CREATE TABLE bait.a(i int CHECK (public.ev('check'))); INSERT INTO bait.a VALUES (1)" super
try "index expression only" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE INDEX ON bait.a ((public.evi('index', i)))" super
try "materialised view only" "CREATE MATERIALIZED VIEW bait.m AS SELECT public.ev('matview')" super
try "statistics expression only (ANALYZE)" "CREATE TABLE bait.a(i int, j int); INSERT INTO bait.a SELECT g, g FROM generate_series(1,100) g; CREATE STATISTICS bait.s ON (public.evi('statistics', i)), j FROM bait.a" super
try "index expression only" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE INDEX ON bait.a ((public.evi('index', i)))" restore
rm -f $MARK
