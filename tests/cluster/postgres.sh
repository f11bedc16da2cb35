# shellcheck shell=bash
# One PostgreSQL server of a run, whatever its major. Source after lib.sh and pki.sh.

# The server's own user: PostgreSQL refuses to run as root.
AS_POSTGRES=()
if [ "$(id -u)" = 0 ]; then AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups); fi

# start_server NAME BIN PORT PASSWORD [OPTIONS…]: initdb and start, TLS on; its files are in $RUN/NAME.
start_server() {
  local name=$1 bin=$2 port=$3 password=$4 data=$RUN/$1
  shift 4
  make_ca
  cert postgres /CN=localhost "DNS:localhost,IP:127.0.0.1"
  rm -rf "$data"
  install -d -m 700 "$data"
  install -m 600 "$RUN/pki/postgres.crt" "$data/server.crt"
  install -m 600 "$RUN/pki/postgres.key" "$data/server.key"
  install -m 600 "$RUN/pki/ca.crt" "$data/ca.crt"
  (umask 077 && printf '%s\n' "$password" >"$data/password")
  install -m 600 /dev/null "$data/hba.conf"
  printf '%s\n' 'local all all scram-sha-256' 'host all all 127.0.0.1/32 scram-sha-256' >"$data/hba.conf"
  [ "$(id -u)" != 0 ] || chown -R postgres:postgres "$data"
  "${AS_POSTGRES[@]}" "$bin/initdb" --pgdata "$data/data" --username postgres --pwfile "$data/password" --auth scram-sha-256 \
    --encoding UTF8 --locale C.UTF-8 --no-sync --no-instructions >"$RUN/log/initdb-$name.log" 2>&1 ||
    die "initdb failed: $(tail -n 3 "$RUN/log/initdb-$name.log")"
  # Logical slots and prepared transactions are on: preflight must be able to find them in the way.
  start "$name" "${AS_POSTGRES[@]}" "$bin/postgres" -D "$data/data" \
    -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories="$data" -c hba_file="$data/hba.conf" \
    -c ssl=on -c ssl_cert_file="$data/server.crt" -c ssl_key_file="$data/server.key" -c ssl_ca_file="$data/ca.crt" \
    -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=128MB -c max_connections=300 \
    -c wal_level=logical -c max_prepared_transactions=20 -c max_wal_size=4GB -c log_line_prefix='%m [%p] %q%u@%d ' "$@"
}
