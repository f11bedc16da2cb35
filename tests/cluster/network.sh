# shellcheck shell=bash
# What the node tier changes on the host (bridge, iptables, sysctls, cgroups, a few directories), and how it is all undone.
# Source after lib.sh.

BRIDGE=${SENNIGHT_BRIDGE:-sennight0}
NODE_IP=${SENNIGHT_NODE_IP:-10.244.0.1}
POD_CIDR=${SENNIGHT_POD_CIDR:-10.244.0.0/24}

# Paths that containerd, the kubelet and the CNI plugins have built in: those that were not there before are removed again.
HOST_DIRS=(/run/containerd /run/netns /run/calico /var/lib/cni /var/lib/kubelet /var/lib/containerd /var/log/pods /var/log/containers
  /opt/containerd /opt/cni /usr/libexec/kubernetes /etc/cni /run/kubernetes)
HOST_SYSCTLS=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.netfilter.nf_conntrack_max vm.overcommit_memory kernel.panic
  kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

# record_host: what the host was like; written once, before the first change
record_host() {
  local dir name
  [ ! -f "$RUN/host/recorded" ] || return 0
  mkdir -p "$RUN/host"
  for dir in "${HOST_DIRS[@]}"; do
    [ ! -e "$dir" ] || printf '%s\n' "$dir"
  done >"$RUN/host/dirs"
  for name in "${HOST_SYSCTLS[@]}"; do
    printf '%s=%s\n' "$name" "$(sysctl -n "$name" 2>/dev/null || true)"
  done >"$RUN/host/sysctls"
  : >"$RUN/host/recorded"
}

bridge_up() {
  ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
  ip addr replace "$NODE_IP/${POD_CIDR#*/}" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  sysctl -qw net.ipv4.ip_forward=1
}

# cni_conf: pods on one bridge, no masquerade: they reach each other, the host and the Services, and nothing outside
cni_conf() {
  mkdir -p "$RUN/cni/conf" "$RUN/cni/ipam"
  cat >"$RUN/cni/conf/10-sennight.conflist" <<J
{"cniVersion": "0.4.0", "name": "sennight", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/cni/ipam", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
J
}

# drop_rules COMMAND: takes the chains and rules of kubelet and kube-proxy out of iptables or ip6tables, and leaves the others
drop_rules() {
  local save=$1-save restore=$1-restore rules
  command -v "$save" >/dev/null || return 0
  rules=$("$save" 2>/dev/null) || return 0
  grep -q 'KUBE-' <<<"$rules" || return 0
  grep -v 'KUBE-' <<<"$rules" | "$restore"
}

# unmount_under DIR: pods' secrets, root file systems, network namespaces; the deepest first
unmount_under() {
  local mount
  awk -v dir="$1/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done
}

network_down() {
  local port
  for port in $(ip -o link show master "$BRIDGE" 2>/dev/null | awk -F'[:@ ]+' '{print $2}'); do
    ip link del "$port" 2>/dev/null || true
  done
  ip link del "$BRIDGE" 2>/dev/null || true
  drop_rules iptables
  drop_rules ip6tables
}

# pod_cgroups: the kubelet's own branch in every hierarchy (v1) or in the one (v2)
pod_cgroups() {
  find /sys/fs/cgroup -maxdepth 2 -type d -name kubepods 2>/dev/null || true
}

# kill_pods: whatever still runs in a pod, then the shims that watch over them. (Processes end while they are looked at: silence.)
kill_pods() {
  {
    local root pid
    for root in $(pod_cgroups); do
      find "$root" -name cgroup.procs -exec cat {} + | while read -r pid; do kill -KILL "$pid" || true; done
    done
    # A shim is told apart by the socket of the containerd it belongs to: ours.
    for pid in $(pgrep -xf "[^ ]*containerd-shim[^ ]* -namespace k8s.io -id [^ ]+ -address $SOCKET.*"); do kill -KILL "$pid" || true; done
  } 2>/dev/null
  return 0
}

cgroups_down() {
  local root tries=50
  while [ -n "$(pod_cgroups)" ] && [ $((tries--)) -gt 0 ]; do
    for root in $(pod_cgroups); do
      find "$root" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    [ -z "$(pod_cgroups)" ] || sleep 0.1
  done
}

# restore_host: directories and sysctls as recorded. Dangling links of our pods' logs go even when the directory stays.
restore_host() {
  local dir line name
  [ -f "$RUN/host/recorded" ] || return 0
  find /var/log/containers -lname "$RUN/*" -delete 2>/dev/null || true
  for dir in "${HOST_DIRS[@]}"; do
    [ -e "$dir" ] || continue
    grep -qx "$dir" "$RUN/host/dirs" || { unmount_under "$dir" && rm -rf --one-file-system "$dir"; }
  done
  while IFS= read -r line; do
    name=${line%%=*}
    [ -z "${line#*=}" ] || [ "$(sysctl -n "$name" 2>/dev/null)" = "${line#*=}" ] || sysctl -qw "$line" 2>/dev/null || true
  done <"$RUN/host/sysctls"
}

# leftovers: names what the tier left on the host; silent when there is nothing
leftovers() {
  local name pid
  for name in etcd kube-apiserver kube-controller kube-scheduler kubelet kube-proxy coredns containerd containerd-shim; do
    for pid in $(pgrep -x "$name" || true); do
      # An ended process that nobody has waited for has no arguments any more.
      tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$RUN/" && printf 'process %s (%s)\n' "$pid" "$name"
    done
  done 2>/dev/null
  awk -v dir="$RUN/" 'index($5, dir) == 1 {print "mount " $5}' /proc/self/mountinfo
  ip -o link show "$BRIDGE" 2>/dev/null | awk '{print "link " $2}'
  { iptables-save && ip6tables-save; } 2>/dev/null | awk '/KUBE-/ {print "iptables " $0}'
  pod_cgroups | sed 's/^/cgroup /'
  find /var/lib/cni /run/netns /var/log/containers \( -name '*sennight*' -o -name 'cni-*' -o -lname "$RUN/*" \) 2>/dev/null | sed 's/^/file /'
  [ ! -e "$RUN" ] || printf 'directory %s\n' "$RUN"
}
