#!/usr/bin/env bash
# mysql-servers.sh fetch|mydumper|up: servers of the MySQL family: mariadb-10.11 (the host's own, Debian's package), mariadb-11.8 and
# mysql-9. The last two are unpacked once into the cache from the Debian suites that have them, as postgres-majors.sh does, and run
# from there by their own loader and libraries.
# mydumper: prints the path of Debian bookworm's mydumper (later suites have none), unpacked the same way; for `make bench`.
# up: starts them in $SENNIGHT_RUN_DIR beside the services; services.sh calls it when SENNIGHT_MYSQL names some.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"
# shellcheck source=tests/cluster/unpacked.sh
. "$CLUSTER_SRC/unpacked.sh"

RUN=${SENNIGHT_RUN_DIR:-$RUN_ROOT/services}

# The servers refuse to run as root.
AS_MYSQL=()
if [ "$(id -u)" = 0 ]; then AS_MYSQL=(setpriv --reuid=mysql --regid=mysql --init-groups); fi

# of NAME: "suite packages", or nothing for the host's own
of() {
  case $1 in
    mariadb-10.11) ;;
    mariadb-11.8) printf 'trixie mariadb-server-core,mariadb-client-core\n' ;;
    mysql-9) printf 'sid mysql-server-core,mysql-client-core\n' ;;
    *) die "SENNIGHT_MYSQL names $1: known are mariadb-10.11, mariadb-11.8 and mysql-9" ;;
  esac
}

fetch_all() {
  local name suite packages
  for name in "$@"; do
    read -r suite packages <<<"$(of "$name")"
    [ -z "$suite" ] || unpack "mysql/$name-$suite" "$suite" "$packages" usr/bin usr/sbin
    [ "$name" != mariadb-11.8 ] || fetch_plugins
  done
}

PLUGINS=$CACHE/mysql/mariadb-11.8-plugins

# Authentication plugins of MariaDB 11.8: they are in a package that is three times as large as the server itself.
fetch_plugins() {
  [ ! -d "$PLUGINS" ] || return 0
  local tree=mysql/mariadb-11.8-server-trixie new
  mkdir -p "$CACHE/mysql"
  exec 9>"$CACHE/mysql/.plugins.lock"
  flock 9
  if [ ! -d "$PLUGINS" ]; then
    unpack "$tree" trixie mariadb-server
    new=$(mktemp -d "$CACHE/mysql/.new.XXXXXX")
    cp "$CACHE/$tree/usr/lib/mysql/plugin"/auth_{ed25519,parsec}.so "$new"
    chmod 755 "$new"
    mv -T "$new" "$PLUGINS"
    rm -rf "${CACHE:?}/$tree"
  fi
  exec 9>&-
}

# initialise NAME ROOT DATA: the server's own tables
initialise() {
  case $1 in
    mariadb-*)
      "${AS_MYSQL[@]}" "$2/usr/bin/mariadb-install-db" --no-defaults --basedir="$2/usr" --datadir="$3" --tmpdir="$3/../tmp" \
        --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve
      ;;
    *) "${AS_MYSQL[@]}" "$2/usr/sbin/mysqld" --no-defaults --basedir="$2/usr" --datadir="$3" --tmpdir="$3/../tmp" --secure-file-priv=NULL --initialize-insecure ;;
  esac
}

# start_one NAME ROOT PORT PASSWORD
start_one() {
  local name=$1 root=$2 port=$3 password=$4 dir=$RUN/$1 binary=$2/usr/sbin/mariadbd extra=()
  make_ca
  cert mysql /CN=localhost "DNS:localhost,IP:127.0.0.1"
  rm -rf "$dir"
  install -d -m 700 "$dir" "$dir/tmp"
  install -m 600 "$RUN/pki/mysql.crt" "$dir/server.crt"
  install -m 600 "$RUN/pki/mysql.key" "$dir/server.key"
  install -m 600 "$RUN/pki/ca.crt" "$dir/ca.crt"
  (umask 077 && cat >"$dir/init.sql" <<SQL
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
DROP USER IF EXISTS 'root'@'localhost';
SQL
  )
  [ "$(id -u)" != 0 ] || chown -R mysql:mysql "$dir"
  install -d -m 700 "$dir/data"
  [ "$(id -u)" != 0 ] || chown mysql:mysql "$dir/data"
  initialise "$name" "$root" "$dir/data" >"$RUN/log/init-$name.log" 2>&1 ||
    die "$name: its first start failed: $(tail -n 5 "$RUN/log/init-$name.log")"
  case $name in
    mysql-*) binary=$root/usr/sbin/mysqld extra=(--mysqlx=OFF --log-error-verbosity=2 --secure-file-priv=NULL) ;;
  esac
  # Nobody waits for a disk here; a binary log is there, because rights to make functions depend on it.
  start "$name" "${AS_MYSQL[@]}" "$binary" --no-defaults --basedir="$root/usr" --datadir="$dir/data" --tmpdir="$dir/tmp" \
    --bind-address=127.0.0.1 --port="$port" --socket="$dir/socket" --pid-file="$dir/pid" --skip-name-resolve \
    --init-file="$dir/init.sql" --ssl-ca="$dir/ca.crt" --ssl-cert="$dir/server.crt" --ssl-key="$dir/server.key" \
    --log-bin="$dir/data/binlog" --server-id=1 --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 --innodb-doublewrite=0 \
    --innodb-buffer-pool-size=128M --max-connections=200 --max-allowed-packet=64M "${extra[@]}"
}

answers() {
  (exec 7<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# up NAME…: all of them share one password and the run's CA.
up() {
  local name suite packages root port=$PORT_MYSQL password variable
  fetch_all "$@"
  password=$(openssl rand -hex 16)
  make_ca
  install -m 644 "$RUN/pki/ca.crt" "$RUN/mysql-ca.pem"
  put_env SENNIGHT_TEST_MYSQL_HOST 127.0.0.1
  put_env SENNIGHT_TEST_MYSQL_USER root
  put_env SENNIGHT_TEST_MYSQL_PASSWORD "$password"
  put_env SENNIGHT_TEST_MYSQL_CA "$RUN/mysql-ca.pem"
  put_env SENNIGHT_TEST_MYSQL "$*"
  for name in "$@"; do
    read -r suite packages <<<"$(of "$name")"
    root=
    if [ -n "$suite" ]; then
      root=$RUN/$name-root
      link_unpacked "mysql/$name-$suite" "$root"
    fi
    if [ "$name" = mariadb-11.8 ]; then
      install -d -m 755 "$root/usr/lib/mysql/plugin"
      install -m 644 "$PLUGINS"/*.so "$root/usr/lib/mysql/plugin"
    fi
    start_one "$name" "$root" "$port" "$password"
    variable=${name^^}
    put_env "SENNIGHT_TEST_${variable//[-.]/_}_PORT" "$port"
    put_env "SENNIGHT_TEST_${variable//[-.]/_}_BIN" "$root/usr/bin"
    port=$((port + 1))
  done
  port=$PORT_MYSQL
  for name in "$@"; do
    wait_for 60 "$name" answers "$port"
    log "$name: 127.0.0.1:$port (TLS)"
    port=$((port + 1))
  done
}

verb=${1:-}
[ $# -eq 0 ] || shift
read -ra names <<<"${SENNIGHT_MYSQL:-mariadb-10.11 mariadb-11.8 mysql-9}"
case $verb in
  fetch) fetch_all "${names[@]}" ;;
  mydumper)
    unpack mysql/mydumper-bookworm bookworm mydumper usr/bin
    printf '%s\n' "$CACHE/mysql/mydumper-bookworm/usr/bin/mydumper"
    ;;
  up)
    ports_of "$(<"$RUN/base")"
    up "${names[@]}"
    ;;
  *) die "usage: mysql-servers.sh fetch|mydumper|up" ;;
esac
