#!/usr/bin/env bash
# A-7: ALTER ROLE acme SET …: does it reach sessions of the dump or restore role, who act for acme (SET LOCAL ROLE, membership)?
# Right: a role's own settings reach no session of Sennight's.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme <<'SQL'
CREATE TABLE t(i int, f float8, z timestamptz); INSERT INTO t VALUES (1, 0.1, '2026-01-01 00:00+00');
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE FUNCTION trojan.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'OWNED-A7 as %', current_user; RETURN pg_catalog.current_setting($1); END $$;
SQL
for s in "search_path = trojan, pg_catalog" "statement_timeout = 1" "default_transaction_read_only = on" "TimeZone = 'Asia/Kathmandu'" "role = acme" "session_replication_role = replica" "session_preload_libraries = 'x'" "extra_float_digits = -15" "row_security = off"; do
  PGOPTIONS='-c default_transaction_read_only=off -c statement_timeout=0' as acme t -d postgres -c "ALTER ROLE acme SET $s" >/dev/null 2>e && echo "set:     $s" || echo "refused: $s ($(grep -a ERROR e | head -n1 | cut -c1-80))"; done
adm -d postgres -c "ALTER ROLE acme IN DATABASE acme SET search_path = trojan, pg_catalog" -c "ALTER ROLE acme IN DATABASE acme SET default_transaction_read_only = on"
dump acme >o 2>&1 && outcome dump held || { outcome dump failed; tail -n1 o; }; prepare acme >o 2>&1 && outcome prepare held || { echo "prepare rc=$?"; tail -n1 o | cut -c1-300; }
cutover acme >o 2>&1 && outcome cutover held || { echo "cutover rc=$?"; tail -n1 o | cut -c1-300; }
held "code of the tenant" "ran as another" test "$(grep -a 'OWNED-A7' "$PGLOG" | grep -vc 'as acme' || true)" = 0
adm -d acme -c "SELECT i, f, z AT TIME ZONE 'UTC' FROM t"
