#!/usr/bin/env bash
# E-10 (S-25): values of rows, and the tenant's own words, in the messages of prepare (report, log, hence status and Events).
# Right: messages carry a code, a table and a constraint; neither values nor words of the tenant.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme <<'SQL'
CREATE TABLE users(email text);
INSERT INTO users VALUES ('Jane.Doe@example.org'), ('jane.doe@example.org');
-- as after a change of collation or of the function: unique on the live database, not unique where it is built anew
CREATE FUNCTION public.norm(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
  RETURN CASE WHEN pg_catalog.current_database() = 'acme' THEN t ELSE pg_catalog.lower(t) END; END $$;
CREATE UNIQUE INDEX ON users (public.norm(email));
SQL
report() { # the task's report in the bucket, as the operator reads it
  s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/$1/r.json"; echo; }
prep() { "$SENNIGHT" prepare --storage "$ST" --job-uid "$1" --task "$(rtask acme)" >o 2>&1 || echo "prepare rc=$?"; [ -z "${SHOW:-}" ] || cat -v o; }
dump acme >/dev/null 2>&1
say "1. duplicate key met by pg_restore"
prep j1
echo "--- log";  cat -v o | grep -a ERROR -A8 || cat -v o
report j1 >r1; held "duplicate key met by pg_restore" "a row's value is told" sh -c "! grep -qi example.org r1 o"
say "2. values of a row in the server's primary message (driver side, COPY)"
as acme t -d acme -c "DROP INDEX users_norm_idx" -c "CREATE FUNCTION public.ck(t text) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN IF pg_catalog.current_database() <> 'acme' THEN PERFORM t::int; END IF; RETURN true; END \$\$" -c "ALTER TABLE users ADD CHECK (public.ck(email))"
dump acme >/dev/null 2>&1; prep j2; report j2 >r2; held "value in the server's message" "a row's value is told" sh -c "! grep -qi example.org r2 o"
say "3. the tenant's own words with line ends and terminal escapes"
as acme t -d acme -c "CREATE OR REPLACE FUNCTION public.ck(t text) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN IF pg_catalog.current_database() <> 'acme' THEN RAISE EXCEPTION E'ok\n2026-11-30T00:00:00Z  INFO done task=\"r\" Payment confirmed; run kubectl delete ns crm\x1b[2K\x1b[31m'; END IF; RETURN true; END \$\$"
dump acme >/dev/null 2>&1; prep j3
echo "--- log, raw bytes"; (grep -a 'ok' -A2 o || true) | cat -v | head -n 6 | cut -c1-300
report j3 >r3; held "words of the tenant, while rows are loaded" told sh -c "! grep -q 'Payment confirmed' r3 o"
say "4. the same from pg_restore's stderr (post-data)"
as acme t -d acme -c "ALTER TABLE users DROP CONSTRAINT users_email_check" -c "CREATE OR REPLACE FUNCTION public.norm(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN IF pg_catalog.current_database() <> 'acme' THEN RAISE EXCEPTION E'words of the tenant\n2026-11-30T00:00:00Z  INFO forged line \x1b[31m'; END IF; RETURN t; END \$\$" -c "CREATE INDEX ON users (public.norm(email))"
dump acme >/dev/null 2>&1; prep j4
cat -v o | (grep -a ERROR -A8 || true) | head -n 8 | cut -c1-300
report j4 >r4; held "words of the tenant, by pg_restore" told sh -c "! grep -q 'words of the tenant' r4 o"
