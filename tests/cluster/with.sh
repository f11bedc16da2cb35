#!/usr/bin/env bash
# with.sh services|api|node -- COMMAND…: starts the tier, runs the command with its addresses in the environment, stops the tier, and
# returns the command's exit code. Several of services and api may run at once: each has its own directory and ports.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

tier=${1:-}
if [ "${2:-}" != -- ] || [ $# -lt 3 ]; then die "usage: with.sh services|api|node -- COMMAND…"; fi
shift 2

case $tier in
  services | api)
    reap_stale
    need_room "$RUN_ROOT"
    base=${SENNIGHT_PORT_BASE:-$(free_base)}
    ! alive "$RUN_ROOT/$base/owner" || die "another with.sh has the ports from $base on"
    mkdir -p "$RUN_ROOT"
    chmod 711 "$RUN_ROOT"
    prepare_run "$RUN_ROOT/$base" "$base"
    mark_alive "$RUN/owner" $$
    script=$CLUSTER_SRC/services.sh
    [ "$tier" = services ] || script=$CLUSTER_SRC/api-tier.sh
    ;;
  node)
    RUN=${SENNIGHT_NODE_DIR:-/var/lib/sennight-node}
    need_room "$(dirname "$RUN")"
    script=$CLUSTER_SRC/node-tier.sh
    # There is one node on a machine, and stopping somebody's demo is not for us to do.
    if [ -f "$RUN/owner" ]; then
      ! alive "$RUN/owner" || die "another with.sh runs the node tier (pid $(cut -d' ' -f1 "$RUN/owner"))"
      "$script" down
    elif [ -f "$RUN/ready" ]; then
      die "a node is here already, started by hand or by make demo: end it with make demo-down"
    fi
    ;;
  *) die "no such tier: $tier (services, api or node)" ;;
esac

finish() {
  local code=$?
  trap - EXIT INT TERM HUP
  # SENNIGHT_KEEP_LOGS: the directory where a failed run's server logs go (CI keeps them)
  if [ $code != 0 ] && [ -n "${SENNIGHT_KEEP_LOGS:-}" ] && [ -d "$RUN/log" ]; then
    mkdir -p "$SENNIGHT_KEEP_LOGS"
    cp -r "$RUN/log" "$SENNIGHT_KEEP_LOGS/$tier-$$" || true
  fi
  SENNIGHT_RUN_DIR=$RUN "$script" down || {
    log "could not stop the $tier tier cleanly"
    [ $code != 0 ] || code=1
  }
  exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

SENNIGHT_RUN_DIR=$RUN "$script" up
mark_alive "$RUN/owner" $$
# shellcheck source=/dev/null
. "$RUN/env"
# In the background, because bash runs no trap before a foreground command has ended. (Such a child ignores INT: it gets TERM.)
"$@" <&0 &
child=$!
trap 'kill $child 2>/dev/null || true; exit 130' INT
trap 'kill $child 2>/dev/null || true; exit 143' TERM
wait $child
