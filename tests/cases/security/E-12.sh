#!/usr/bin/env bash
# E-12 (S-35): a routine whose text ends in a comment, and the script for the stock client. Run with SENNIGHT_MYSQL=mariadb-10.11.
# servers: mariadb
# Right: load.sh makes the routine and everything after it.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/cases/lib-mysql.sh
. "$(dirname "$0")/../lib-mysql.sh"
msetup
my acme t acme -e "CREATE TABLE t(i int primary key); INSERT INTO t VALUES (1),(2)"
python3 - "$MB" "$MP" "$SENNIGHT_TEST_MYSQL_CA" <<'PY'
import subprocess, sys
# the stock client with --comments and another delimiter keeps the text as a driver would send it
text = "CREATE PROCEDURE p1() SELECT 1 -- a word at the end"
text2 = "CREATE PROCEDURE p2() SELECT 2"
text3 = "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1 # hash comment"
for t in (text, text2, text3):
    r = subprocess.run([sys.argv[1] + '/mariadb', '--no-defaults', '--comments', '-h127.0.0.1', '-P' + sys.argv[2], '--ssl-ca=' + sys.argv[3], '-uacme', '-pt', 'acme', '-e', t], capture_output=True, text=True)
    print(t, '->', r.returncode, r.stderr[-200:])
PY
echo "bodies as the server has them:"; root -e "SELECT name, body FROM mysql.proc WHERE db='acme'" | cat -A | head
mdump acme >o 2>&1 || { cat o; exit 1; }
"$SENNIGHT" restore --bucket "$BUCKET" --endpoint "$SENNIGHT_TEST_S3_ENDPOINT" --path-style --credentials-dir s3 --namespace n --schedule acme --to-directory out >o 2>&1 || cat o
ls out; grep -n 'p1\|p2' out/*.sql | cut -c1-160
cat >my.cnf <<CNF
[client]
host=127.0.0.1
port=$MP
user=root
password=$SENNIGHT_TEST_MYSQL_PASSWORD
ssl-ca=$SENNIGHT_TEST_MYSQL_CA
CNF
root -e "CREATE DATABASE restored"
MYSQL="$MB/mariadb --defaults-extra-file=$W/my.cnf" bash out/load.sh restored >lo 2>&1 && outcome "load.sh" held || { outcome "load.sh" "fails"; tail -n 4 lo; }
echo "routines back by load.sh: $(root -e "SELECT GROUP_CONCAT(name ORDER BY name) FROM mysql.proc WHERE db='restored'"); triggers: $(root -e "SELECT GROUP_CONCAT(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='restored'")"
mprepare acme >o 2>&1 && outcome "prepare" held && echo " routines: $(root -e "SELECT GROUP_CONCAT(name ORDER BY name) FROM mysql.proc WHERE db LIKE 'acme\_\_r%'")" || { outcome "prepare" fails; tail -n1 o; }
