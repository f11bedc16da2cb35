# shellcheck shell=bash
# What the scripts share. `make cases` runs them; one by hand, in a checkout:
#   SENNIGHT=$PWD/target/debug/sennight tests/cluster/with.sh services -- bash tests/cases/security/E-1.sh
# Two tenants (acme is the hostile one, bcorp the victim), a dump role, and a lesser restore role as docs/full-restore.md asks for.
# A script says how each of its tries ended by `outcome`; `held` is what it should say.
# shellcheck disable=SC2015,SC2034,SC2086,SC2120,SC2119
set -euo pipefail
: "${SENNIGHT:?path of the sennight binary}"
: "${SENNIGHT_TEST_PG_HOST:?run me under tests/cluster/with.sh services}"
RUNDIR=$(dirname "$SENNIGHT_TEST_PG_CA")
PGLOG=$RUNDIR/log/postgres.log
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
W=$(mktemp -d)
chmod 755 "$W"
trap 'rm -rf "$W"' EXIT
cd "$W"
export PATH=$SENNIGHT_TEST_PG_BIN:$PATH RUST_LOG=${RUST_LOG:-warn,sennight=info} NO_COLOR=1
export PGHOST=$SENNIGHT_TEST_PG_HOST PGPORT=$SENNIGHT_TEST_PG_PORT PGSSLMODE=verify-full PGSSLROOTCERT=$SENNIGHT_TEST_PG_CA
as() { PGUSER=$1 PGPASSWORD=$2 psql -X -qAt -v ON_ERROR_STOP=1 "${@:3}"; }
adm() { as "$SENNIGHT_TEST_PG_USER" "$SENNIGHT_TEST_PG_PASSWORD" "$@"; }
s3curl() { curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user "$SENNIGHT_TEST_S3_ACCESS_KEY:$SENNIGHT_TEST_S3_SECRET_KEY" "$@"; }
BUCKET=sec-$RANDOM$RANDOM
s3curl -X PUT "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET"
mkdir s3 dump restore super
printf %s "$SENNIGHT_TEST_S3_ACCESS_KEY" >s3/AWS_ACCESS_KEY_ID
printf %s "$SENNIGHT_TEST_S3_SECRET_KEY" >s3/AWS_SECRET_ACCESS_KEY
for dir in dump restore super; do printf 127.0.0.1 >$dir/host; done
printf sennight_dump >dump/username; printf d >dump/password
printf sennight_restore >restore/username; printf r >restore/password
printf %s "$SENNIGHT_TEST_PG_USER" >super/username; printf %s "$SENNIGHT_TEST_PG_PASSWORD" >super/password
# outcome NAME WORDS: how a try ended
outcome() { printf 'outcome\t%s\t%s\n' "$1" "$2"; }
# held NAME WORDS COMMAND…: held where the command succeeds, WORDS where it does not
held() { if "${@:3}" >/dev/null 2>&1; then outcome "$1" held; else outcome "$1" "$2"; fi; }
# calls MARK: how often the server's log has a word that only the tenant's code writes
calls() { grep -ac "$1" "$PGLOG" || true; }
# who MARK FROM: as whom the tenant's code ran, after so many calls; held where it did not run
who() {
  local lines
  lines=$(grep -a "$1" "$PGLOG" | tail -n "+$(($2 + 1))" || true)
  # a loading role can do what the tenant can, and nothing else
  lines=$(grep -av "as sennight_load_[0-9a-f]*\( super=off\)\?\r\?$" <<<"$lines" || true)
  case $lines in
    '') echo held ;;
    *super=on*) echo "ran as a superuser" ;;
    *"as sennight_restore"*) echo "ran as the restore role" ;;
    *"as sennight_dump"*) echo "ran as the dump role" ;;
    *) echo "ran as somebody else" ;;
  esac
}
# gone DATABASE: drops it, and says why not. Beside the other suites another session may have it for a moment.
gone() {
  local try
  for try in 1 2 3 4 5; do
    adm -d postgres -c "ALTER DATABASE $1 RESET ALL" 2>/dev/null || true
    if adm -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" 2>gone.err; then return; fi
    sleep 1
  done
  cat gone.err
  return 1
}
# clean: what the script before this one left
clean() {
  local name
  for name in $(adm -d postgres -c "SELECT datname FROM pg_database WHERE datname ~ '^(acme|bcorp|forge|gone|sennight_drill)'"); do
    gone "$name"
  done
  for name in acme bcorp sennight_dump sennight_restore sennight_r_acme; do
    adm -d postgres -c "DROP OWNED BY $name" -c "DROP ROLE $name" 2>/dev/null || true
  done
}
setup() {
  clean
  adm -d postgres <<'SQL'
CREATE ROLE acme LOGIN PASSWORD 't';  CREATE DATABASE acme OWNER acme;
CREATE ROLE bcorp LOGIN PASSWORD 'b'; CREATE DATABASE bcorp OWNER bcorp;
CREATE ROLE sennight_dump LOGIN BYPASSRLS PASSWORD 'd' IN ROLE pg_read_all_data;
CREATE ROLE sennight_restore LOGIN CREATEDB PASSWORD 'r';
GRANT pg_signal_backend TO sennight_restore;
GRANT acme, bcorp TO sennight_restore;
SQL
  # from 16 on CREATEROLE, before that the three functions (docs/full-restore.md)
  if [ "$(adm -d postgres -c "SELECT current_setting('server_version_num')::int >= 160000")" = t ]; then
    adm -d postgres -c "ALTER ROLE sennight_restore CREATEROLE" -c "GRANT acme, bcorp TO sennight_restore WITH ADMIN OPTION"
  else
    adm -d postgres -f "$ROOT/config/postgresql/loading-role.sql" -c "GRANT USAGE ON SCHEMA sennight TO sennight_restore" \
      -c "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sennight TO sennight_restore"
  fi
  as bcorp b -d bcorp -c "CREATE TABLE secret(x text); INSERT INTO secret VALUES ('row of another tenant')"
}
ST='{"bucket":"'$BUCKET'","endpoint":"'$SENNIGHT_TEST_S3_ENDPOINT'","forcePathStyle":true,"credentialsDir":"'$W'/s3"}'
# id NAME: identity JSON
id() { echo '{"namespace":"n","schedule":"'"$1"'","tenant":"'"$1"'","engine":"PostgreSQL","database":"'"$1"'"}'; }
# db DIR NAME: database JSON
db() { echo '{"engine":"PostgreSQL","host":"'"$PGHOST"'","port":'"$PGPORT"',"database":"'"$2"'","tls":{"mode":"VerifyFull","caFile":"'"$PGSSLROOTCERT"'"},"credentialsDir":"'"$W/$1"'"}'; }
# dump NAME [CREDS] [EXTRA]
# (backups are named by the second: two in one second could not be told apart by age)
dump() { sleep 1.05; "$SENNIGHT" dump --storage "$ST" --task '{"name":"'"$1"'","identity":'"$(id "$1")"',"database":'"$(db "${2:-dump}" "$1")"',"timeZone":"UTC"'"${3:-}"'}'; }
newest() { "$SENNIGHT" catalogue --bucket "$BUCKET" --endpoint "$SENNIGHT_TEST_S3_ENDPOINT" --path-style --credentials-dir s3 --namespace n --schedule "$1" -o json | grep -oE '[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}' | sort -u | tail -1; }
backupref() { local c; c=$(newest "$1"); echo '{"prefix":"daily/n/'"$1/$c"'/","id":"'"$c"'"}'; }
RUID=${RUID:-0f3b2c1d-aaaa-4bbb-8ccc-1234567890ab}
# restore_verb preflight|prepare NAME [CREDS] [EXTRA]
rtask() { echo '{"name":"r","requestUid":"'"$RUID"'","identity":'"$(id "$1")"',"backup":'"$(backupref "$1")"',"database":'"$(db "${2:-restore}" "$1")"',"parallelism":2'"${3:-}"'}'; }
prepare() { "$SENNIGHT" prepare --storage "$ST" --task "$(rtask "$@")"; }
preflight() { "$SENNIGHT" preflight --storage "$ST" --task "$(rtask "$@")"; }
drill() { "$SENNIGHT" drill --storage "$ST" --task '{"name":"d","identity":'"$(id "$1")"',"backup":'"$(backupref "$1")"',"server":'"$(db "${2:-restore}" "$1")"'}'; }
cutover() { # NAME CREDS
  local live new
  live=$(adm -d postgres -c "select oid from pg_database where datname='$1'")
  new=$(adm -d postgres -c "select oid from pg_database where datname='$1__r0f3b2c1daaaa'")
  "$SENNIGHT" cutover --storage "$ST" --task '{"name":"c","requestUid":"'"$RUID"'","namespace":"n","database":'"$(db "${2:-restore}" "$1")"',"newDatabase":"'"$1"'__r0f3b2c1daaaa","previousDatabase":"'"$1"'__old0f3b2c1daaaa","liveNumber":'"$live"',"newNumber":'"$new"'}'
}
say() { printf '\n### %s\n' "$*"; }
# free_port: a port that nobody listens on
free_port() { python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"; }
end_servers() {
  local dir
  for dir in "${OWN[@]}"; do kill -INT "$(cat "$dir.pid")" 2>/dev/null || true; done
  sleep 1
  for dir in "${OWN[@]}"; do rm -rf "$dir" "$dir.log" "$dir.pid" "$dir.pw"; done
  rm -rf "$W"
}
OWN=() # directories of servers of the script's own
# own_server DIR PORT [SETTING…]: a PostgreSQL of the script's own on loopback, without TLS, with the run's superuser. DIR has its data, or
# is made by initdb with INITDB's options.
own_server() {
  local dir=$1 port=$2 user=() setting options=()
  [ "$(command id -u)" != 0 ] || user=(setpriv --reuid=postgres --regid=postgres --init-groups)
  mkdir -p "$dir"
  printf %s "$SENNIGHT_TEST_PG_PASSWORD" >"$dir.pw"
  chmod 644 "$dir.pw"
  [ "$(command id -u)" != 0 ] || chown -R postgres "$dir"
  for setting in "${@:3}"; do options+=(-c "$setting"); done
  (
    cd /
    [ -e "$dir/data" ] || "${user[@]}" "$SENNIGHT_TEST_PG_BIN/initdb" -D "$dir/data" -U postgres --pwfile "$dir.pw" -A scram-sha-256 -E UTF8 ${INITDB:---locale C.UTF-8} --no-sync >/dev/null
    "${user[@]}" "$SENNIGHT_TEST_PG_BIN/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories="$dir" \
      -c fsync=off "${options[@]}" >"$dir.log" 2>&1 &
    echo $! >"$dir.pid"
  )
  OWN+=("$dir")
  trap end_servers EXIT
  for _ in $(seq 100); do PGSSLMODE=disable pg_isready -q -h 127.0.0.1 -p "$port" && return; sleep 0.2; done
  cat "$dir.log"
  return 1
}
# clear_db PORT: database JSON of the server of one's own: db with another port and without TLS
clear_db() { echo '{"engine":"PostgreSQL","host":"127.0.0.1","port":'"$1"',"database":"'"$3"'","tls":{"mode":"Disable"},"credentialsDir":"'"$W/$2"'"}'; }
