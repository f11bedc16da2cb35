#!/usr/bin/env bash
# From the PostgreSQL review of November 2026, finding F12: a dump from a hot standby of a database with an unlogged table.
# pg_dump leaves those rows out; the worker ends with "could not open file", and there is no backup.
# Right: a backup, and a warning that names the table.
# shellcheck disable=SC2015,SC2034,SC2086
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
D=$(mktemp -d /tmp/sennight-45.XXXXXX) E=$(mktemp -d /tmp/sennight-45.XXXXXX)
P=$(free_port) S=$(free_port)
own_server "$D" "$P" max_wal_senders=4 wal_level=replica
export PGPORT=$P PGSSLMODE=disable
setup
adm -d acme -c "CREATE TABLE logged (a int); INSERT INTO logged VALUES (1); CREATE UNLOGGED TABLE u (a int); INSERT INTO u VALUES (1)"
PGUSER=postgres PGPASSWORD=$SENNIGHT_TEST_PG_PASSWORD pg_basebackup -D "$E/data" -R -X stream -c fast
chmod 755 "$E"; chmod 700 "$E/data"
own_server "$E" "$S" hot_standby=on
db() { clear_db "$S" "$1" "$2"; }
dump acme >o 2>&1 && outcome "dump from a standby" held || { outcome "dump from a standby" "$(grep -aoE 'reason="?[A-Za-z]+' o | head -n 1 | sed 's|reason="*||')"; tail -n 2 o; }
