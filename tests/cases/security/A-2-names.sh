#!/usr/bin/env bash
# A-2: names, comments, settings and texts that try to be something else: options, patterns, list entries, SQL, marks.
# Right: names, comments and texts are what they are, and nothing else.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
python3 - >names.sql <<'PY'
q = lambda n: '"' + n.replace('"', '""') + '"'
names = ["--exclude-table=*", "-t", "*", "a*b?c|d", "a.b", "$1", "x; DROP TABLE y; --", "new\nline", "tab\tcr\rx", "\\", "'", '"', '""', "host=evil dbname=x", "217; 1259 16385 TABLE public contacts acme",
         "ACL - SCHEMA x acme", "n" * 63, "\u202egnp.exe", "😀", " lead", "trail ", "%s%n", "${HOME}", "`id`", "\x1b[31m", "pg_class", "..", "../../etc", "con/cat", "manifest.json"]
for i, n in enumerate(names):
    print(f"CREATE TABLE public.{q(n)} ({q(n)} int, {q(chr(10) + 'c')} text DEFAULT E'\\n\\\\restrict x\\n'); INSERT INTO public.{q(n)} VALUES ({i}, E'\\\\.\\n\\\\N');")
    print(f"COMMENT ON TABLE public.{q(n)} IS E'x\\n\\\\! touch owned-a2\\n';")
    if n not in ('pg_class',): print(f"CREATE SCHEMA {q('s' + n[:60])}; CREATE SEQUENCE {q('s' + n[:60])}.{q(n)};")
PY
as acme t -d acme -f names.sql
as acme t -d acme <<'SQL'
CREATE TYPE en AS ENUM (E'a\nb', '''', '"', '\', '-- x');
CREATE TABLE e (e en); INSERT INTO e SELECT unnest(enum_range(NULL::en));
ALTER DATABASE acme SET search_path = '"', 'a""b', '', '$user', E'new\nline', 'a,b';
COMMENT ON DATABASE acme IS E'sennight.dev/restore=0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab';
SQL
# a tenant may not set unknown parameters (15); an administrator may have let it:
adm -d postgres -c "GRANT SET ON PARAMETER \"app.x\", \"app.y.z_1\" TO acme, sennight_restore"
as acme t -d postgres <<'SQL'
ALTER DATABASE acme SET "app.x" = E'new\nline''; DROP DATABASE bcorp; --\\';
ALTER DATABASE acme SET "app.y.z_1" = '';
ALTER ROLE acme IN DATABASE acme SET "app.x" = '$$;\';
SQL
settings() { adm -d postgres -c "SELECT setrole::regrole, unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '$1' ORDER BY 1, 2"; }
image() { PGUSER=$SENNIGHT_TEST_PG_USER PGPASSWORD=$SENNIGHT_TEST_PG_PASSWORD pg_dump --inserts -d "$1" | grep -av restrict; }
settings acme >s0; image acme >i0
dump acme >o 2>&1 && echo "dump rc=0" || { echo "dump rc=$?"; tail -n2 o | cut -c1-400; }
"$SENNIGHT" preflight --storage "$ST" --job-uid pf --task "$(rtask acme)" >o 2>&1 || tail -n1 o; s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/pf/r.json" | cut -c1-900; echo
prepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; grep -a ERROR o | tail -n1 | cut -c1-400; }
cutover acme >o 2>&1 && echo "cutover rc=0" || { echo "cutover rc=$?"; grep -a ERROR o| tail -n1 | cut -c1-300; }
settings acme >s1; image acme >i1
held "odd settings" "other after the restore" diff s0 s1
held "odd names" "other after the restore" diff i0 i1
echo "databases: $(adm -d postgres -c "SELECT string_agg(datname || ' [' || coalesce(shobj_description(oid, 'pg_database'), '') || ']', ', ') FROM pg_database WHERE datname ~ 'corp|acme'")"
held "shell escape in a comment" ran test ! -e owned-a2
say "texts in a function's body that read like pg_restore's own lines (preflight reads them line by line)"
RUID=0f3b2c1d-bbbb-4bbb-8ccc-1234567890ab
adm -d postgres -c "ALTER DATABASE acme__old0f3b2c1daaaa RENAME TO gone" -c "COMMENT ON DATABASE gone IS NULL"
as acme t -d acme <<'SQL'
COMMENT ON DATABASE acme IS NULL; ALTER DATABASE acme RESET ALL;
CREATE FUNCTION public.innocent() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
/*
SET default_tablespace = somewhere;
-- Name: f(); Type: FUNCTION; Schema: public; Owner: acme
    LANGUAGE c
-- Name: p; Type: PUBLICATION; Schema: public; Owner: acme
CREATE PUBLICATION p FOR ALL TABLES
*/ RETURN 'x'; END $f$;
SQL
dump acme >o 2>&1 || tail -n1 o
"$SENNIGHT" preflight --storage "$ST" --job-uid pf2 --task "$(rtask acme)" >o 2>&1 || tail -n1 o; s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/pf2/r.json" -o pf2; held "text in a function that reads like pg_restore's own" "preflight refuses" sh -c "! grep -qE 'ObjectsNeedSuperuser|TablespacesMissing' pf2"
