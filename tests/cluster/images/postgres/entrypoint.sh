#!/bin/sh
# Makes the cluster on the first start; the superuser's password comes by file. Arguments go to the server.
set -eu
if [ ! -f "$PGDATA/PG_VERSION" ]; then
  initdb --pgdata "$PGDATA" --username postgres --pwfile "$POSTGRES_PASSWORD_FILE" --auth scram-sha-256 --encoding UTF8 \
    --locale C.UTF-8 --no-sync --no-instructions
  printf '%s\n' 'local all all scram-sha-256' 'host all all all scram-sha-256' >"$PGDATA/pg_hba.conf"
fi
exec postgres -D "$PGDATA" "$@"
