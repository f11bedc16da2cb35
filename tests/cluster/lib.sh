# shellcheck shell=bash disable=SC2034 # variables are for the scripts that source this
# Shared by every script of the harness: log with elapsed time, run directories, start and stop by pid, wait with a deadline.

CLUSTER_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$CLUSTER_SRC/../.." && pwd)
# shellcheck source=tests/cluster/versions.sh
. "$CLUSTER_SRC/versions.sh"

# Nothing the harness runs may look at the caller's cluster.
CACHE=${SENNIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sennight}
RUN_ROOT=${SENNIGHT_RUN_ROOT:-${TMPDIR:-/tmp}/sennight-run-$(id -u)}
export SENNIGHT_STARTED=${SENNIGHT_STARTED:-$EPOCHREALTIME}

# log WORDS…: a line on stderr with the seconds since the outermost script began.
log() {
  local ms=$(((${EPOCHREALTIME/[.,]/} - ${SENNIGHT_STARTED/[.,]/}) / 1000))
  printf '[%4d.%ds] %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*" >&2
}

# row NAME STARTED [NOTE]: a line of the table of suites.sh: minutes since STARTED, a value of EPOCHREALTIME.
row() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${2/[.,]/} + 3000000) / 6000000))
  printf '%-34s %8s%s\n' "$1" "$((tenths / 10)).$((tenths % 10))" "${3:+  $3}"
}

# part NAME STARTED: the same below the row of the target that runs; outside of suites.sh nobody asks.
part() {
  [ -z "${SENNIGHT_MINUTES:-}" ] || row "  $1" "$2" >>"$SENNIGHT_MINUTES"
}

die() {
  log "ERROR: $*"
  exit 1
}

# started_at PID: the kernel's start time of a process; with the pid it names one process for ever (pids are reused).
started_at() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split on purpose: field 22 of the file is the 20th after the name
  set -- $stat
  [ "$1" != Z ] || return 1
  printf '%s\n' "${20}"
}

# alive PIDFILE: is the very process that wrote this file still there?
alive() {
  local pid at
  [ -f "$1" ] && read -r pid at <"$1" && [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ]
}

# mark_alive PIDFILE PID
mark_alive() {
  printf '%s %s\n' "$2" "$(started_at "$2" || true)" >"$1"
}

# start NAME COMMAND…: in the background, in its own session; log and pid file under $RUN.
start() {
  local name=$1
  shift
  # 9 is the harness's lock: a server that inherited it would hold it for its whole life.
  setsid "$@" >"$RUN/log/$name.log" 2>&1 </dev/null 9>&- &
  mark_alive "$RUN/pid/$name" $!
}

# stop NAME [SIGNAL]: TERM (or SIGNAL), up to 10 s of patience, then KILL.
stop() {
  local file=$RUN/pid/$1 pid
  if alive "$file"; then
    read -r pid _ <"$file"
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    local tries=100
    while alive "$file" && [ $((tries--)) -gt 0 ]; do sleep 0.1; done
    if alive "$file"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$file"
}

# running NAME…: are all of them alive?
running() {
  local name
  for name in "$@"; do alive "$RUN/pid/$name" || return 1; done
}

# wait_for SECONDS WHAT COMMAND…: polls until the command succeeds; a dead server is told at once, with the end of its log.
wait_for() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1)) file
  shift 2
  until "$@" >/dev/null 2>&1; do
    for file in "$RUN"/pid/*; do
      [ -e "$file" ] || continue
      alive "$file" && continue
      tail -n 20 "$RUN/log/${file##*/}.log" >&2 || true
      die "${file##*/} ended while waiting for $what; its log: $RUN/log/${file##*/}.log"
    done
    [ "$SECONDS" -lt "$deadline" ] || die "$what: not there after $seconds s; logs: $RUN/log"
    sleep 0.1
  done
}

# need_room DIR: dies where servers would soon be told that the disk is full, long before a test says something else about it.
need_room() {
  local free size need
  mkdir -p "$1"
  read -r free size < <(df --output=avail,size -BM "$1" | tail -n 1 | tr -d M)
  # MinIO takes nothing more when 1 % of its disk is left.
  need=$((size / 100 + 4096))
  [ "$free" -ge "$need" ] ||
    die "$1: $free MiB are free, the servers and the tests need $need there (TMPDIR and SENNIGHT_RUN_ROOT choose another place)"
}

# free_base: a port number with 24 unused ports from it on, below the kernel's own choice for clients (32768).
free_base() {
  local base port used tries=200
  used=$(ss -Hltn | awk '{sub(/.*:/, "", $4); print $4}')
  while [ $((tries--)) -gt 0 ]; do
    base=$((20000 + RANDOM % 500 * 24))
    # The fixed places of tiers started by hand
    [ "$base" -lt 25976 ] || [ "$base" -ge 26400 ] || continue
    for ((port = base; port < base + 24; port++)); do
      grep -qx "$port" <<<"$used" && continue 2
    done
    # The directory is the reservation: mkdir has one winner.
    mkdir -p "$RUN_ROOT"
    chmod 711 "$RUN_ROOT"
    mkdir "$RUN_ROOT/$base" 2>/dev/null || continue
    printf '%s\n' "$base"
    return
  done
  die "no 24 free ports in a row between 20000 and 32000"
}

# prepare_run DIR BASE: makes the run directory with its port layout; every server's port is BASE + something below.
prepare_run() {
  RUN=$1
  mkdir -p "$RUN/pid" "$RUN/log" "$RUN/pki"
  chmod 711 "$RUN" # the database's own user passes through, and reads nothing
  chmod 700 "$RUN/log" "$RUN/pki"
  printf '%s\n' "$2" >"$RUN/base"
  ports_of "$2"
}

ports_of() {
  PORT_S3=$1 PORT_S3_CONSOLE=$(($1 + 1)) PORT_PG=$(($1 + 2))
  PORT_ETCD=$(($1 + 3)) PORT_ETCD_PEER=$(($1 + 4)) PORT_API=$(($1 + 5))
  PORT_KCM=$(($1 + 6)) PORT_SCHED=$(($1 + 7)) PORT_KUBELET=$(($1 + 8)) PORT_KUBELET_HEALTH=$(($1 + 9))
  PORT_PROXY=$(($1 + 10)) PORT_PROXY_HEALTH=$(($1 + 11)) PORT_DNS_HEALTH=$(($1 + 12))
  PORT_VERSITYGW=$(($1 + 13)) PORT_GARAGE=$(($1 + 14)) PORT_GARAGE_RPC=$(($1 + 15))
  # From + 17 on PostgreSQL's other majors, from + 20 on the MySQL family
  PORT_MYSQL=$(($1 + 20))
  export PORT_S3 PORT_S3_CONSOLE PORT_PG PORT_ETCD PORT_ETCD_PEER PORT_API PORT_KCM PORT_SCHED PORT_KUBELET \
    PORT_KUBELET_HEALTH PORT_PROXY PORT_PROXY_HEALTH PORT_DNS_HEALTH PORT_VERSITYGW PORT_GARAGE PORT_GARAGE_RPC PORT_MYSQL
}

# put_env NAME VALUE: what a test may read; with.sh sources the file, and so can you.
put_env() {
  printf 'export %s=%q\n' "$1" "$2" >>"$RUN/env"
}

# reap_stale: a harness killed with -9 leaves its servers; the next one to start ends them.
reap_stale() {
  local dir
  for dir in "$RUN_ROOT"/[0-9]*; do
    # No owner file yet: it is just being made, unless it is minutes old.
    if [ -f "$dir/owner" ]; then
      alive "$dir/owner" && continue
    else
      [ -n "$(find "$dir" -maxdepth 0 -mmin +5 2>/dev/null)" ] || continue
    fi
    log "clearing what a killed harness left in $dir"
    wipe_run "$dir"
  done
}

# wipe_run DIR: ends every process of a run directory, the newest first, and removes it.
wipe_run() {
  local RUN=$1 file
  [ -d "$RUN" ] || return 0
  if [ -d "$RUN/pid" ]; then
    # shellcheck disable=SC2012,SC2045 # names are ours: no odd characters
    for file in $(ls -t "$RUN/pid"); do
      case $file in
        # INT is "fast": sessions are ended, and its shared memory is given back.
        postgres*) stop "$file" INT ;;
        # Nobody reads their data again.
        *) stop "$file" KILL ;;
      esac
    done
  fi
  rm -rf "$RUN"
}
