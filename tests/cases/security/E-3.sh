#!/usr/bin/env bash
# E-3 (S-02): tenant functions run as the restore role while `prepare` loads rows, and while hooks run.
# Right: what the tenant wrote runs with the tenant's rights only, or not at all.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
body() { # what the functions do when somebody else calls them: note it, change the caller's password
cat <<'SQL'
CREATE OR REPLACE FUNCTION public.ck(why text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
  IF current_user::text <> 'acme' THEN
    RAISE LOG 'OWNED-3 by % as % super=%', why, current_user, pg_catalog.current_setting('is_superuser');
    IF pg_catalog.current_setting('is_superuser') = 'on' THEN EXECUTE 'ALTER ROLE acme SUPERUSER';
    ELSE EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', current_user, 'owned'); END IF;
  END IF; RETURN true; END $$;
-- what PostgreSQL demands to be immutable may be said to be so, and may call what is not
CREATE OR REPLACE FUNCTION public.ckv(why text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN public.ck(why); END $$;
CREATE OR REPLACE FUNCTION public.cki(why text, i int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN public.ckv(why); END $$;
SQL
}
body | as acme t -d acme
try() { # NAME SQL: one table that calls it, dump, prepare, look
  say "$1"
  as acme t -d acme -c "DROP SCHEMA IF EXISTS bait CASCADE; CREATE SCHEMA bait" >/dev/null 2>&1
  as acme t -d acme -c "$2"
  adm -d postgres -c "ALTER ROLE sennight_restore PASSWORD 'r'" -c "ALTER ROLE acme NOSUPERUSER"
  adm -d postgres -c "DROP DATABASE IF EXISTS acme__r0f3b2c1daaaa WITH (FORCE)"
  local n; n=$(grep -ac OWNED-3 "$PGLOG" || true)
  dump acme >o 2>&1 || { echo "dump rc=$?"; tail -n 2 o; }
  prepare acme "${3:-restore}" "${4:-}" >o 2>&1 && : >rc || { echo "rc=$?" >rc; grep -a ERROR o | tail -n 2 | cut -c1-300; }
  echo "calls seen in the server's log: $(( $(grep -ac OWNED-3 "$PGLOG" || true) - n )); by whom: $(grep -a OWNED-3 "$PGLOG" | tail -n +$((n+1)) | sed 's/.*OWNED-3/OWNED-3/' | sort | uniq -c | tr '\n' ';')"
  if [ "$(who OWNED-3 "$n")" = held ] && grep -aq "^rc" rc; then outcome "$1" "prepare failed"; else outcome "$1" "$(who OWNED-3 "$n")"; fi
  echo "restore role with the tenant's password reads bcorp: $(as sennight_restore owned -d bcorp -c 'SET ROLE bcorp; TABLE secret' 2>&1 | tail -n1 | cut -c1-140)"
  echo "acme is superuser: $(adm -d postgres -c "SELECT rolsuper FROM pg_roles WHERE rolname='acme'")"
}
CK="public.ck"
try "CHECK constraint" "CREATE TABLE bait.a(i int CHECK (public.ck('check'))); INSERT INTO bait.a VALUES (1)"
try "domain CHECK" "CREATE DOMAIN bait.d AS int CHECK (public.ck('domain')); CREATE TABLE bait.a(i bait.d); INSERT INTO bait.a VALUES (1)"
try "stored generated column" "CREATE TABLE bait.a(i int, g boolean GENERATED ALWAYS AS (public.cki('generated', i)) STORED); INSERT INTO bait.a VALUES (1)"
try "partition key expression" "CREATE FUNCTION bait.k(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN PERFORM public.ckv('partition key'); RETURN i; END \$\$; CREATE TABLE bait.a(i int) PARTITION BY LIST (bait.k(i)); CREATE TABLE bait.a1 PARTITION OF bait.a FOR VALUES IN (1); INSERT INTO bait.a VALUES (1)"
try "index expression" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE INDEX ON bait.a ((public.cki('index', i)))"
try "index predicate" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE INDEX ON bait.a (i) WHERE public.cki('predicate', i)"
try "materialised view" "CREATE MATERIALIZED VIEW bait.m AS SELECT public.ck('matview')"
try "CHECK NOT VALID (post-data), then validated" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); ALTER TABLE bait.a ADD CONSTRAINT c CHECK (public.ck('late check')) NOT VALID; ALTER TABLE bait.a VALIDATE CONSTRAINT c"
try "exclusion constraint" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); ALTER TABLE bait.a ADD EXCLUDE USING btree ((public.cki('exclude', i)) WITH =)"
try "extended statistics on an expression (ANALYZE)" "CREATE TABLE bait.a(i int, j int); INSERT INTO bait.a SELECT g, g FROM generate_series(1,1000) g; CREATE STATISTICS bait.st ON (public.cki('statistics', i)), j FROM bait.a"
try "column DEFAULT" "CREATE TABLE bait.a(i int, b boolean DEFAULT public.ck('default')); INSERT INTO bait.a VALUES (1)"
try "foreign key whose values go through a tenant's implicit cast" "CREATE TYPE bait.e AS ENUM ('a'); CREATE FUNCTION bait.e2i(bait.e) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN PERFORM public.ckv('cast in a foreign key'); RETURN 1; END \$\$; CREATE CAST (bait.e AS int) WITH FUNCTION bait.e2i(bait.e) AS IMPLICIT; CREATE TABLE bait.p(t int PRIMARY KEY); INSERT INTO bait.p VALUES (1); CREATE TABLE bait.a(t bait.e REFERENCES bait.p); INSERT INTO bait.a VALUES ('a')"
try "CHECK on the whole row (pg_dump puts it into post-data)" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE FUNCTION bait.whole(bait.a) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN RETURN public.ck('whole-row check'); END \$\$; ALTER TABLE bait.a ADD CHECK (bait.whole(a.*))"
try "constant CHECK on a partitioned table (runs in pre-data, without a row)" "CREATE TABLE bait.a(i int, CHECK (public.cki('constant', 1))) PARTITION BY LIST (i); CREATE TABLE bait.a1 PARTITION OF bait.a FOR VALUES IN (1)"
mkdir hooks; echo "DELETE FROM bait.a WHERE i = 1" >hooks/10-erased.sql
try "hook + BEFORE DELETE trigger" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1),(2); CREATE FUNCTION bait.t() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM public.ck('trigger'); RETURN NULL; END \$\$; CREATE TRIGGER x BEFORE DELETE ON bait.a FOR EACH ROW EXECUTE FUNCTION bait.t()" restore ',"hooksDir":"'$W/hooks'"'
held "row that a hook erased, beside a trigger" "still there" test "$(adm -d acme__r0f3b2c1daaaa -c 'SELECT count(*) FROM bait.a WHERE i = 1')" = 0
try "hook + RULE DO INSTEAD NOTHING (S-13)" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1),(2); CREATE RULE r AS ON DELETE TO bait.a DO INSTEAD NOTHING" restore ',"hooksDir":"'$W/hooks'"'
held "row that a hook erased, beside a rule" "still there" test "$(adm -d acme__r0f3b2c1daaaa -c 'SELECT count(*) FROM bait.a WHERE i = 1')" = 0
body | as acme t -d acme
adm -d postgres -c "ALTER ROLE sennight_restore SUPERUSER"
try "CHECK, restore role is a superuser" "CREATE TABLE bait.a(i int CHECK (public.ck('check'))); INSERT INTO bait.a VALUES (1)"
adm -d postgres -c "ALTER ROLE acme NOSUPERUSER"
try "index expression, restore role is a superuser" "CREATE TABLE bait.a(i int); INSERT INTO bait.a VALUES (1); CREATE INDEX ON bait.a ((public.cki('index', i)))"
