#!/usr/bin/env bash
# api-tier.sh up|down: a real API server and controller manager, without a node, beside the services, on loopback.
# api-tier.sh restart-apiserver|restart-kcm: kills that one and starts it again.
# api-tier.sh snapshot|rollback: keeps what etcd has now; later makes that what it has, as a restored backup of a cluster does.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"
# shellcheck source=tests/cluster/control-plane.sh
. "$CLUSTER_SRC/control-plane.sh"

RUN=${SENNIGHT_RUN_DIR:-$RUN_ROOT/api}
APISERVER=(127.0.0.1 --bind-address 127.0.0.1 --endpoint-reconciler-type none)

up() {
  if running etcd apiserver kcm minio postgres && kube get --raw /readyz >/dev/null 2>&1; then
    log "the API tier is up already in $RUN"
    return
  fi
  "$CLUSTER_SRC/tools.sh" api
  # A half-dead one is not mended: its state is of no worth.
  [ ! -d "$RUN/etcd" ] || wipe_run "$RUN"
  [ -f "$RUN/base" ] || prepare_run "$RUN" "${SENNIGHT_PORT_BASE:-26100}"
  ports_of "$(<"$RUN/base")"
  SENNIGHT_RUN_DIR=$RUN "$CLUSTER_SRC/services.sh" up
  control_plane_pki 127.0.0.1
  # Nobody reaches this API server through the kubernetes Service: no endpoints are written for it.
  start_control_plane "${APISERVER[@]}"
  put_cluster_env
  log "API tier: https://127.0.0.1:$PORT_API ($(kube version -o json | sed -n '/serverVersion/,$ s/.*"gitVersion": "\(.*\)",/\1/p'))"
}

# The files of an etcd that does not run are a snapshot. The API server does without it for a moment.
snapshot() {
  ports_of "$(<"$RUN/base")"
  stop etcd
  rm -rf "$RUN/etcd.snapshot"
  cp -a "$RUN/etcd" "$RUN/etcd.snapshot"
  start_etcd
  wait_for 30 "the API server" kube get --raw /readyz
}

rollback() {
  ports_of "$(<"$RUN/base")"
  stop kcm KILL
  stop apiserver KILL
  stop etcd KILL
  rm -rf "$RUN/etcd"
  cp -a "$RUN/etcd.snapshot" "$RUN/etcd"
  start_etcd
  start_apiserver "${APISERVER[@]}"
  start_kcm
}

restart() {
  ports_of "$(<"$RUN/base")"
  stop "$1" KILL
  # A big process is a zombie for a moment while its threads, and with them its ports, are still there.
  local port=$PORT_API tries=100
  [ "$1" = apiserver ] || port=$PORT_KCM
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && [ $((tries--)) -gt 0 ]; do sleep 0.1; done
  case $1 in
    apiserver) start_apiserver "${APISERVER[@]}" ;;
    kcm) start_kcm ;;
  esac
}

case ${1:-} in
  up) up ;;
  down) wipe_run "$RUN" ;;
  restart-apiserver | restart-kcm) restart "${1#restart-}" ;;
  snapshot) snapshot ;;
  rollback) rollback ;;
  *) die "usage: api-tier.sh up|down|restart-apiserver|restart-kcm|snapshot|rollback" ;;
esac
