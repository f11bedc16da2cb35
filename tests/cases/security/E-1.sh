#!/usr/bin/env bash
# E-1 (S-01): a tenant's search_path decides what the FIRST statement of every Sennight session calls.
# Right: nothing of the tenant runs in any session.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme <<'SQL'
CREATE TABLE t(i int); INSERT INTO t VALUES (1);
CREATE SCHEMA trojan; GRANT USAGE ON SCHEMA trojan TO PUBLIC;
CREATE TABLE trojan.who(at timestamptz DEFAULT now(), w text, ro text); GRANT INSERT ON trojan.who TO PUBLIC;
CREATE FUNCTION trojan.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  IF current_user::text <> 'acme' AND pg_catalog.current_setting('transaction_read_only') = 'off' THEN
    INSERT INTO trojan.who(w, ro) VALUES (current_user, pg_catalog.current_setting('transaction_read_only'));
    EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', current_user, 'owned');
  END IF;
  RETURN pg_catalog.current_setting($1); END $$;
ALTER DATABASE acme SET search_path = trojan, pg_catalog;
SQL
say "dump of acme by sennight_dump"
dump acme || echo "rc=$?"
say "trojan.who, as the tenant sees it"
as acme t -d acme -c 'TABLE trojan.who'
held "tenant code in a dump" "ran as the dump role" test "$(as acme t -d acme -c 'SELECT count(*) FROM trojan.who')" = 0
say "old password of the dump role"
held "password of the dump role" "set by the tenant" as sennight_dump d -d bcorp -c 'TABLE secret'
say "new password, chosen by the tenant; the other tenant's row:"
as sennight_dump owned -d bcorp -c 'TABLE secret' || true

say "every other tenant's backup until somebody mends the Secret"
held "backup of the other tenant" failed dump bcorp
