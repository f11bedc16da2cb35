#!/usr/bin/env bash
# A-8: the trojan of E-1, that only notes its caller: which verbs open a session in which the tenant's path rules?
# Right: in no verb does a session look at the path of the tenant.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme <<'SQL'
CREATE TABLE big AS SELECT g, repeat(md5(g::text), 40) p FROM generate_series(1, 20000) g;
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE FUNCTION trojan.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  IF current_user::text <> 'acme' THEN RAISE LOG 'OWNED-A8 as % in % by % read_only=%', current_user, pg_catalog.current_database(), pg_catalog.current_setting('application_name'), pg_catalog.current_setting('transaction_read_only'); END IF;
  RETURN pg_catalog.current_setting($1); END $$;
ALTER DATABASE acme SET search_path = trojan, pg_catalog;
SQL
see() { local n; n=$(grep -ac OWNED-A8 "$PGLOG" || true); "${@:2}" >o 2>&1 && rc=0 || rc=$?
  outcome "$(echo $1)" "$(who OWNED-A8 "$n")$([ $rc = 0 ] || echo ", and failed")"
  echo "$1: rc=$rc; calls: $(grep -a OWNED-A8 "$PGLOG" | tail -n +$((n+1)) | sed 's/.*OWNED-A8 //; s/0f3b2c1d-[0-9a-f-]*/<uid>/' | sort | uniq -c | tr '\n' ';')"; [ $rc = 0 ] || { grep -a -oE 'reason="?[A-Za-z]+"?[^,]{0,150}' o | head -n 1 || cut -c1-300 o; }; }
see "dump      " dump acme
see "verify    " "$SENNIGHT" verify --storage "$ST" --task '{"name":"v","backup":'"$(backupref acme)"'}'
see "preflight " preflight acme
see "live-ids  " "$SENNIGHT" live-ids --storage "$ST" --task '{"name":"l","requestUid":"'$RUID'","identity":'"$(id acme)"',"database":'"$(db dump acme)"',"entities":[{"name":"e","table":{"schema":"public","name":"big"},"key":"g"}]}'
see "prepare   " prepare acme
see "cutover   " cutover acme
live=$(adm -d postgres -c "SELECT oid FROM pg_database WHERE datname='acme'"); kept=$(adm -d postgres -c "SELECT oid FROM pg_database WHERE datname='acme__old0f3b2c1daaaa'")
see "preflight-undo" "$SENNIGHT" preflight-undo --storage "$ST" --task '{"name":"u","requestUid":"11111111-cccc-4bbb-8ccc-1234567890ab","namespace":"n","database":'"$(db restore acme)"',"newDatabase":"acme__old0f3b2c1daaaa","previousDatabase":"acme__old11111111cccc","liveNumber":'"$live"',"newNumber":'"$kept"',"undoOf":"'$RUID'"}'
see "safety-backup" "$SENNIGHT" safety-backup --storage "$ST" --task '{"name":"s","requestUid":"'$RUID'","previousNumber":'"$kept"',"restoreCredentialsDir":"'$W'/restore","dump":{"name":"acme","identity":'"$(id acme)"',"database":'"$(db dump acme__old0f3b2c1daaaa)"',"timeZone":"UTC"}}'
see "dump again" dump acme
see "drill     " drill acme restore
