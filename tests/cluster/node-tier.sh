#!/usr/bin/env bash
# node-tier.sh up|down|env|import ARCHIVE…: one real Kubernetes node on this machine: control plane, containerd, kubelet, kube-proxy,
# CoreDNS. Needs root. One at a time on a machine; all it makes lies in $SENNIGHT_NODE_DIR or is undone by `down`.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"
# shellcheck source=tests/cluster/control-plane.sh
. "$CLUSTER_SRC/control-plane.sh"
# shellcheck source=tests/cluster/network.sh
. "$CLUSTER_SRC/network.sh"

# Not under /tmp: some machines keep it in memory, and images are unpacked here.
RUN=${SENNIGHT_NODE_DIR:-/var/lib/sennight-node}
NODE=sennight-node
SOCKET=$RUN/containerd.sock
SERVERS=(etcd apiserver kcm scheduler containerd kubelet proxy coredns)

tool() { "$CLUSTER_SRC/tools.sh" path "$1"; }
ctr_() { ctr --address "$SOCKET" --namespace k8s.io "$@"; }

start_containerd() {
  cat >"$RUN/containerd.toml" <<T
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"
[grpc]
  address = "$SOCKET"
[ttrpc]
  address = "$SOCKET.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$RUN/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Lowering a score needs CAP_SYS_RESOURCE, which virtual machines and CI runners may lack.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$RUN/runc"
T
  cni_conf
  start containerd containerd --config "$RUN/containerd.toml"
  wait_for 30 containerd ctr_ version
}

start_kubelet() {
  cert kubelet "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
  kubeconfig kubelet "https://127.0.0.1:$PORT_API" >"$RUN/kubelet.kubeconfig"
  mkdir -p "$RUN/kubelet" "$RUN/pod-logs"
  cat >"$RUN/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
port: $PORT_KUBELET
healthzBindAddress: 127.0.0.1
healthzPort: $PORT_KUBELET_HEALTH
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix://$SOCKET
podLogsDir: $RUN/pod-logs
volumePluginDir: $RUN/kubelet/volume-plugins
tlsCertFile: $RUN/pki/kubelet.crt
tlsPrivateKeyFile: $RUN/pki/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$NODE_IP]
clusterDomain: cluster.local
evictionHard: {nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
Y
  start kubelet "$(tool kubelet)" --config "$RUN/kubelet.yaml" --kubeconfig "$RUN/kubelet.kubeconfig" --root-dir "$RUN/kubelet" \
    --cert-dir "$RUN/kubelet/pki" --hostname-override "$NODE" --node-ip "$NODE_IP"
}

start_proxy() {
  start proxy "$(tool kube-proxy)" --kubeconfig "$RUN/admin.kubeconfig" --hostname-override "$NODE" --proxy-mode iptables \
    --cluster-cidr "$POD_CIDR" --metrics-bind-address "127.0.0.1:$PORT_PROXY" --healthz-bind-address "127.0.0.1:$PORT_PROXY_HEALTH" \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0s --conntrack-tcp-timeout-close-wait 0s \
    --iptables-min-sync-period 100ms
}

# CoreDNS runs beside the kubelet, on the bridge's address: the same program and answers as in a pod, up before the first pod.
start_coredns() {
  cat >"$RUN/Corefile" <<C
cluster.local:53 in-addr.arpa:53 {
  bind $NODE_IP
  errors
  health 127.0.0.1:$PORT_DNS_HEALTH
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $RUN/admin.kubeconfig
    ttl 1
  }
}
# Every other name is outside, and nothing in the tests goes there.
.:53 {
  bind $NODE_IP
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
C
  start coredns "$(tool coredns)" -conf "$RUN/Corefile"
}

healthy() {
  running "${SERVERS[@]}" && kube wait --for=condition=Ready "node/$NODE" --timeout=1s >/dev/null 2>&1
}

# only_one: a kubelet or bridge that is not ours is somebody's cluster
only_one() {
  local pid args
  for pid in $(pgrep -x kubelet || true); do
    args=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)
    # Nothing: it has ended, and nobody has waited for it yet.
    [ -z "$args" ] || [[ $args == *"--root-dir $RUN/"* ]] ||
      die "a kubelet already runs on this machine (pid $pid): the node tier would fight with it"
  done
  if [ ! -d "$RUN" ] && ip link show "$BRIDGE" >/dev/null 2>&1; then
    die "the bridge $BRIDGE exists and is not ours: set SENNIGHT_BRIDGE"
  fi
}

up() {
  [ "$(id -u)" = 0 ] || die "the node tier needs root"
  if healthy; then
    log "the node is up already in $RUN"
    return
  fi
  only_one
  clean
  "$CLUSTER_SRC/tools.sh" node
  "$CLUSTER_SRC/images.sh" pause >/dev/null
  prepare_run "$RUN" "${SENNIGHT_PORT_BASE:-26200}"
  record_host
  bridge_up
  start_containerd
  import "$("$CLUSTER_SRC/images.sh" pause)"
  control_plane_pki "$NODE_IP"
  # On all addresses: pods reach it at the bridge's, the harness at 127.0.0.1. Clients are known by certificate or token.
  start_control_plane "$NODE_IP"
  start scheduler "$(tool kube-scheduler)" --kubeconfig "$RUN/admin.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 \
    --secure-port "$PORT_SCHED"
  start_kubelet
  start_proxy
  start_coredns
  put_cluster_env
  put_env SENNIGHT_NODE_DIR "$RUN"
  wait_for 60 "the node" healthy
  wait_for 30 "CoreDNS" curl -fsS -o /dev/null "http://127.0.0.1:$PORT_DNS_HEALTH/health"
  : >"$RUN/ready"
  log "node tier: $NODE is Ready; KUBECONFIG=$RUN/admin.kubeconfig"
}

# import ARCHIVE…: images, with the names they carry
import() {
  local archive
  for archive in "$@"; do
    ctr_ images import "$archive" >/dev/null
  done
}

clean() {
  local name
  [ -d "$RUN" ] || return 0
  # Every step is tried, whatever the one before it met.
  set +e
  # First those who would start pods anew. None gets time to say good-bye: nothing here outlives this function.
  for name in kubelet proxy coredns scheduler kcm; do stop "$name" KILL; done
  kill_pods
  for name in containerd apiserver etcd; do stop "$name" KILL; done
  kill_pods
  unmount_under "$RUN"
  network_down
  cgroups_down
  restore_host
  wipe_run "$RUN"
  set -e
}

# One `up` or `down` at a time.
mkdir -p "$RUN_ROOT"
exec 9>"$RUN_ROOT/node.lock"
flock 9

case ${1:-} in
  up) up ;;
  down)
    clean
    left=$(leftovers)
    [ -z "$left" ] || die "the node tier left on this machine: $left"
    log "node tier: down; nothing is left"
    ;;
  env) cat "$RUN/env" ;;
  import)
    shift
    import "$@"
    ;;
  *) die "usage: node-tier.sh up|down|env|import ARCHIVE…" ;;
esac
