#!/bin/sh
# Makes the server's own tables on the first start; the superuser's password comes by file. Arguments go to the server.
set -eu
data=/data/mysql
if [ ! -d "$data/mysql" ]; then
  mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/tmp/install.log 2>&1 ||
    { cat /tmp/install.log >&2; exit 1; }
fi
(
  umask 077
  cat >/tmp/init.sql <<SQL
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '$(cat "$MARIADB_ROOT_PASSWORD_FILE")';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
DROP USER IF EXISTS 'root'@'localhost';
SQL
)
exec mariadbd --no-defaults --init-file=/tmp/init.sql "$@"
