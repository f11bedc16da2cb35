#!/usr/bin/env bash
# A-5: smaller ones, one after the other.
# Right: the policies call nothing as another; no table is missing; the documented dump role is enough.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme -c "CREATE TABLE t(i int); INSERT INTO t VALUES (1),(2); CREATE TABLE hidden(i int); INSERT INTO hidden VALUES (1)"
say "1. RLS policies whose functions would tell on the reader; FORCE; policies on the dump role's path"
as acme t -d acme -c "CREATE FUNCTION pol() RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN RAISE LOG 'OWNED-A5 policy as %', current_user; RETURN true; END \$\$" -c "ALTER TABLE t ENABLE ROW LEVEL SECURITY" -c "ALTER TABLE t FORCE ROW LEVEL SECURITY" -c "CREATE POLICY p ON t USING (public.pol())"
dump acme >o 2>&1 && echo "dump rc=0" || tail -n1 o; prepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; tail -n1 o | cut -c1-300; }
outcome "policy of the tenant" "$(who 'OWNED-A5 policy' 0)"
adm -d postgres -c "ALTER ROLE sennight_dump NOBYPASSRLS"; dump acme >o 2>&1 && echo "dump by a role without BYPASSRLS rc=0 (!)" || { echo "dump by a role without BYPASSRLS rc=$?"; tail -n1 o | cut -c1-250; }; adm -d postgres -c "ALTER ROLE sennight_dump BYPASSRLS"
outcome "policy of the tenant, a dump role without BYPASSRLS" "$(who 'OWNED-A5 policy' 0)"
as acme t -d acme -c "DROP POLICY p ON t; ALTER TABLE t DISABLE ROW LEVEL SECURITY; ALTER TABLE t NO FORCE ROW LEVEL SECURITY"
adm -d postgres -c "DROP DATABASE IF EXISTS acme__r0f3b2c1daaaa WITH (FORCE)"
say "2. S-01 without a trace: the trojan makes a temporary view pg_class in the dump's session; a table is missing from the backup"
as acme t -d acme <<'SQL'
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE FUNCTION trojan.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  IF current_user::text = 'sennight_dump' AND pg_catalog.current_setting('transaction_read_only') = 'off' AND pg_catalog.to_regclass('pg_temp.pg_class') IS NULL THEN
    CREATE TEMP VIEW pg_class AS SELECT * FROM pg_catalog.pg_class WHERE relname <> 'hidden'; END IF;
  RETURN pg_catalog.current_setting($1); END $$;
ALTER DATABASE acme SET search_path = trojan, pg_catalog;
SQL
as acme t -d acme -c "GRANT TEMP ON DATABASE acme TO PUBLIC"
"$SENNIGHT" dump --storage "$ST" --job-uid jh --task '{"name":"acme","identity":'"$(id acme)"',"database":'"$(db dump acme)"',"timeZone":"UTC"}' >o 2>&1 && echo "dump rc=0" || tail -n1 o
s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/jh/acme.json" -o jh
held "table hidden by a temporary pg_class" "missing from the backup" sh -c "grep -q '\"tables\":2' jh"
grep -oE '"(tables|rows)":[0-9]+|"warnings":[^]]*]' jh | tr '\n' ' '; echo "(the database has 2 tables, 3 rows, besides trojan)"
"$SENNIGHT" verify --storage "$ST" --task '{"name":"v","backup":'"$(backupref acme)"'}' >o 2>&1 && echo "verify rc=0" || tail -n1 o
drill acme super >o 2>&1 && echo "drill rc=0" || { echo "drill rc=$?"; grep -a ERROR o | cut -c1-250; }
as acme t -d acme -c "ALTER DATABASE acme RESET ALL"
say "4. ALTER DATABASE acme SET role = acme, dump role a superuser: who is the session?"
as acme t -d acme -c "ALTER DATABASE acme SET role = 'acme'" -c "REVOKE ALL ON t FROM acme"
held "database that sets role, dump by a superuser" "rows are hidden" dump acme super
as acme t -d acme -c "ALTER DATABASE acme RESET ALL" -c "GRANT ALL ON t TO acme"
say "7. large objects and the documented dump role"
as acme t -d acme -c "SELECT lo_from_bytea(7, '\xaa')" >/dev/null; held "large object, dump by the documented role" "the dump is refused" dump acme
