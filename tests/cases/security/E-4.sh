#!/usr/bin/env bash
# E-4 (S-04): the database that is being filled belongs to the tenant and lets it in.
# Right: the tenant can neither enter nor drop what it is restored into, until the swap.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme -c "CREATE TABLE big AS SELECT g, repeat(md5(g::text), 40) p FROM generate_series(1,${ROWS:-60000}) g" -c "CREATE TABLE small AS SELECT 1 AS i, 'of that day'::text AS t" -c "CREATE SEQUENCE s"
dump acme >/dev/null 2>&1
N=acme__r0f3b2c1daaaa
run() { # SCRIPT NAME: what the tenant does as soon as it gets in; then prepare
  adm -d postgres -c "DROP DATABASE IF EXISTS $N WITH (FORCE)" -c "ALTER ROLE sennight_restore PASSWORD 'r'" 2>/dev/null
  : >done_; : >tenant.out; local n; n=$(calls OWNED-4)
  ( for i in $(seq 1 1500); do if as acme t -d $N -1 -f "$1" >>tenant.out 2>tenant.err; then echo "got in at try $i" >done_; break; fi; sleep 0.02; done ) & l=$!
  prepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; grep -a ERROR o | cut -c1-300; }
  kill $l 2>/dev/null || true; wait $l 2>/dev/null || true
  if [ -s done_ ]; then outcome "$2" "the tenant was in$([ "$(who OWNED-4 "$n")" = held ] || echo ", and its code $(who OWNED-4 "$n")")"; else outcome "$2" held; fi
}
say "1. search_path of the new database, met by the loader's further sessions (backups of 16 MiB and more)"
cat >t1.sql <<SQL
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE FUNCTION trojan.current_setting(text) RETURNS text LANGUAGE plpgsql AS \$f\$ BEGIN
  IF current_user::text <> 'acme' THEN RAISE LOG 'OWNED-4 search_path as %', current_user; EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', current_user, 'owned'); END IF;
  RETURN pg_catalog.current_setting(\$1); END \$f\$;
ALTER DATABASE $N SET search_path = trojan, pg_catalog;
SQL
run t1.sql "search_path of the database that is filled"
echo "restore role with the tenant's password: $(as sennight_restore owned -d bcorp -c 'SET ROLE bcorp; TABLE secret' 2>&1 | tail -n1 | cut -c1-150)"
say "2. a trigger on its own table, put there before the rows come"
cat >t2.sql <<'SQL'
CREATE OR REPLACE FUNCTION public.tr() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
  IF current_user::text <> 'acme' THEN RAISE LOG 'OWNED-4 trigger as %', current_user; EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', current_user, 'owned'); END IF; RETURN NEW; END $f$;
CREATE TRIGGER tr BEFORE INSERT ON public.big FOR EACH STATEMENT EXECUTE FUNCTION public.tr();
SQL
run t2.sql "trigger on a table that is filled"
echo "restore role with the tenant's password: $(as sennight_restore owned -d bcorp -c 'SET ROLE bcorp; TABLE secret' 2>&1 | tail -n1 | cut -c1-150)"
say "3. rows changed after they were compared, before the swap (I4)"
echo "SELECT 1" >t3.sql
run t3.sql "session in the database that is filled"
echo "tenant writes into the prepared database: $(as acme t -d $N -c "UPDATE small SET t = 'changed after the proof'; DELETE FROM big WHERE g > 10; SELECT count(*) FROM big" 2>&1)"
cutover acme >o 2>&1 && echo "cutover rc=0" || { echo "cutover rc=$?"; grep -a ERROR o | cut -c1-300; }
held "rows after the proof" "changed by the tenant" test "$(as acme t -d acme -c "TABLE small; SELECT count(*) FROM big" | tr '\n' ' ')" = "1|of that day ${ROWS:-60000} "
say "4. the tenant drops, or renames, the prepared database between prepare and cutover"
adm -d postgres -c "DROP DATABASE acme__old0f3b2c1daaaa"
RUID=0f3b2c1d-aaaa-4bbb-8ccc-1234567890ac; N2=$(adm -d postgres -c "select 'acme__r0f3b2c1daaaa'")
prepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; grep -a ERROR o | cut -c1-200; }
echo "databases: $(adm -d postgres -c "select string_agg(datname, ' ') from pg_database where datname like 'acme%'")"
if as acme t -d postgres -c "DROP DATABASE $N2" >/dev/null 2>&1; then outcome "prepared database" "dropped by the tenant"; else outcome "prepared database" held; fi
echo "databases: $(adm -d postgres -c "select string_agg(datname, ' ') from pg_database where datname like 'acme%'")"
