# shellcheck shell=bash disable=SC2034,SC2120,SC2119,SC2015
# Runs after lib.sh, under SENNIGHT_MYSQL=mariadb-10.11 tests/cluster/with.sh services
: "${SENNIGHT_TEST_MARIADB_10_11_PORT:?run me with SENNIGHT_MYSQL=mariadb-10.11}"
MB=$SENNIGHT_TEST_MARIADB_10_11_BIN; MP=$SENNIGHT_TEST_MARIADB_10_11_PORT
export MARIADB_TLS_DISABLE_PEER_VERIFICATION=1
my() { "$MB/mariadb" --no-defaults -h127.0.0.1 -P"$MP" --ssl-ca="$SENNIGHT_TEST_MYSQL_CA" -u"$1" -p"$2" -BN "${@:3}"; }
root() { my root "$SENNIGHT_TEST_MYSQL_PASSWORD" "$@"; }
mid() { echo '{"namespace":"n","schedule":"'"$1"'","tenant":"'"$1"'","engine":"MariaDB","database":"'"$1"'"}'; }
mdb() { echo '{"engine":"MariaDB","host":"127.0.0.1","port":'"$MP"',"database":"'"$2"'","tls":{"mode":"VerifyFull","caFile":"'"$SENNIGHT_TEST_MYSQL_CA"'"},"credentialsDir":"'"$W/$1"'"}'; }
printf root >super/username; printf %s "$SENNIGHT_TEST_MYSQL_PASSWORD" >super/password
# two tenants, the dump and the restore account as docs/mysql.md says
msetup() {
  root -f 2>/dev/null <<'SQL' || true
DROP DATABASE IF EXISTS acme; DROP DATABASE IF EXISTS bcorp; DROP DATABASE IF EXISTS restored;
DROP USER IF EXISTS acme@'127.0.0.1', bcorp@'127.0.0.1', sennight_dump@'127.0.0.1', sennight_restore@'127.0.0.1';
SQL
  root <<'SQL'
SET GLOBAL log_bin_trust_function_creators = 1, GLOBAL local_infile = 1;
CREATE DATABASE acme; CREATE DATABASE bcorp;
CREATE USER acme@'127.0.0.1' IDENTIFIED BY 't'; GRANT ALL ON acme.* TO acme@'127.0.0.1' WITH GRANT OPTION;
CREATE USER bcorp@'127.0.0.1' IDENTIFIED BY 'b'; GRANT ALL ON bcorp.* TO bcorp@'127.0.0.1';
CREATE USER sennight_dump@'127.0.0.1' IDENTIFIED BY 'd';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON acme.* TO sennight_dump@'127.0.0.1'; GRANT SELECT ON mysql.proc TO sennight_dump@'127.0.0.1';
CREATE USER sennight_restore@'127.0.0.1' IDENTIFIED BY 'r';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE,
      EXECUTE, TRIGGER, EVENT, LOCK TABLES, CREATE USER, PROCESS ON *.* TO sennight_restore@'127.0.0.1';
GRANT CONNECTION ADMIN, SET USER, BINLOG MONITOR, SLAVE MONITOR ON *.* TO sennight_restore@'127.0.0.1';
SQL
  my bcorp b bcorp -e "CREATE TABLE secret(x text); INSERT INTO secret VALUES ('row of another tenant')"
}
mdump() { sleep 1.05; "$SENNIGHT" dump --storage "$ST" --task '{"name":"'"$1"'","identity":'"$(mid "$1")"',"database":'"$(mdb "${2:-dump}" "$1")"',"timeZone":"UTC"}'; }
mtask() { echo '{"name":"r","requestUid":"'"$RUID"'","identity":'"$(mid "$1")"',"backup":'"$(backupref "$1")"',"database":'"$(mdb "${2:-restore}" "$1")"',"parallelism":2'"${3:-}"'}'; }
mpreflight() { "$SENNIGHT" preflight --storage "$ST" --job-uid "${JOB:-pf}" --task "$(mtask "$@")"; }
mprepare() { "$SENNIGHT" prepare --storage "$ST" --job-uid "${JOB:-pr}" --task "$(mtask "$@")"; }
report() { s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/$1/$2.json"; echo; }
# mcutover: takes the OIDs and names from prepare's report
mcutover() {
  report pr r >rep.json
  read -r live new name < <(python3 -c "import json;o=json.load(open('rep.json'))['outcome'];d=o.get('done',o);d=d if 'liveNumber' in d else next(v for v in d.values() if isinstance(v,dict) and 'liveNumber' in v);print(d['liveNumber'],d['newNumber'],d['newDatabase'])")
  "$SENNIGHT" cutover --storage "$ST" --job-uid co --task '{"name":"c","requestUid":"'"$RUID"'","namespace":"n","database":'"$(mdb "${2:-restore}" "$1")"',"newDatabase":"'"$name"'","previousDatabase":"'"${name/__r/__old}"'","liveNumber":'"$live"',"newNumber":'"$new"'}'
}
