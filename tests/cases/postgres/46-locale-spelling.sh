#!/usr/bin/env bash
# From the PostgreSQL review of November 2026, finding F10: a backup of a database with LC_COLLATE 'C.UTF-8', restored on a server that was
# set up by `initdb --locale=C` (as CloudNativePG does). pg_collation spells it 'C.utf8' there, and preflight says LocaleMissing, though
# CREATE DATABASE … LC_COLLATE 'C.UTF-8' works.
# Right: no refusal.
# shellcheck disable=SC2015,SC2034,SC2086
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
adm -d postgres -c "DROP DATABASE acme" -c "CREATE DATABASE acme OWNER acme TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
as acme t -d acme -c "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"
dump acme >o 2>&1 || { cat o; exit 1; }
D=$(mktemp -d /tmp/sennight-46.XXXXXX) P=$(free_port)
INITDB='--locale C' own_server "$D" "$P"
export PGPORT=$P PGSSLMODE=disable
setup
db() { clear_db "$P" "$1" "$2"; }
"$SENNIGHT" preflight --storage "$ST" --job-uid pf --task "$(rtask acme)" >o 2>&1 || tail -n 1 o
s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/pf/r.json" -o pf
refused=$(python3 -c "import json, re; print(' '.join(sorted(set(re.findall(r'\"reason\": \"(\w+)\"', json.dumps(json.load(open('pf'))))))))")
outcome "locale of another spelling" "${refused:-held}"
