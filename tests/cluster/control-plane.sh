# shellcheck shell=bash
# etcd, kube-apiserver and kube-controller-manager, as both tiers start them. Source after lib.sh and pki.sh.

# control_plane_pki ADVERTISED_IP
control_plane_pki() {
  make_ca
  cert apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  cert admin /O=system:masters/CN=admin DNS:admin
  if [ ! -f "$RUN/pki/sa.key" ]; then
    new_key "$RUN/pki/sa.key"
    openssl ec -in "$RUN/pki/sa.key" -pubout -out "$RUN/pki/sa.pub" 2>/dev/null
  fi
  kubeconfig admin "https://127.0.0.1:$PORT_API" >"$RUN/admin.kubeconfig"
  chmod 600 "$RUN/admin.kubeconfig"
}

# start_control_plane ADVERTISED_IP [APISERVER FLAGS…]
start_control_plane() {
  start_etcd
  start_apiserver "$@"
  start_kcm
  # Its first act is the default account: without it no pod is admitted.
  wait_for 30 "the default service account" kube -n default get serviceaccount default
}

start_etcd() {
  start etcd "$("$CLUSTER_SRC/tools.sh" path etcd)" --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$PORT_ETCD" --advertise-client-urls "http://127.0.0.1:$PORT_ETCD" \
    --listen-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" --initial-advertise-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" \
    --initial-cluster "default=http://127.0.0.1:$PORT_ETCD_PEER"
}

# start_apiserver ADVERTISED_IP [FLAGS…]
start_apiserver() {
  local ip=$1 pki=$RUN/pki
  shift
  start apiserver "$("$CLUSTER_SRC/tools.sh" path kube-apiserver)" --etcd-servers "http://127.0.0.1:$PORT_ETCD" \
    --secure-port "$PORT_API" --advertise-address "$ip" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/sa.pub" \
    --service-account-signing-key-file "$pki/sa.key" --service-cluster-ip-range 10.96.0.0/16 --authorization-mode Node,RBAC \
    --allow-privileged=true --enable-admission-plugins NodeRestriction \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --kubelet-preferred-address-types InternalIP "$@"
  wait_for 60 "the API server" kube get --raw /readyz
}

# SENNIGHT_KCM_QPS, SENNIGHT_KCM_BURST: tests have no time for its own defaults (20 and 30); a measurement of it has.
start_kcm() {
  local pki=$RUN/pki
  start kcm "$("$CLUSTER_SRC/tools.sh" path kube-controller-manager)" --kubeconfig "$RUN/admin.kubeconfig" --leader-elect=false \
    --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" --use-service-account-credentials=true \
    --bind-address 127.0.0.1 --secure-port "$PORT_KCM" --kube-api-qps "${SENNIGHT_KCM_QPS:-200}" --kube-api-burst "${SENNIGHT_KCM_BURST:-400}"
}

kube() {
  "$("$CLUSTER_SRC/tools.sh" path kubectl)" --kubeconfig "$RUN/admin.kubeconfig" "$@"
}

# put_cluster_env: what tests and people need to talk to the cluster
put_cluster_env() {
  put_env KUBECONFIG "$RUN/admin.kubeconfig"
  put_env SENNIGHT_TEST_KUBECTL "$("$CLUSTER_SRC/tools.sh" path kubectl)"
  put_env SENNIGHT_TEST_HELM "$("$CLUSTER_SRC/tools.sh" path helm)"
  put_env SENNIGHT_CLUSTER_DIR "$RUN"
  put_env SENNIGHT_TEST_USER_KUBECONFIG "$CLUSTER_SRC/user.sh"
}
