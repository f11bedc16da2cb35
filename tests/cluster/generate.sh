#!/usr/bin/env bash
# generate.sh: writes what is generated and committed: crds/ from the Rust types, config/install.yaml and a sample from the
# chart, the table of docs/guards.md from the marks in the code.
# Tests (tests/unit/crds.rs, tests/unit/chart.rs) and `make lint` fail when these lag behind.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$REPO"

cargo run --quiet --locked --bin sennight -- generate --to .
cargo run --quiet --locked --package guards -- page
[ -n "${SENNIGHT_TEST_HELM:-}" ] || "$CLUSTER_SRC/tools.sh" helm
helm=${SENNIGHT_TEST_HELM:-$("$CLUSTER_SRC/tools.sh" path helm)}
mkdir -p config
# install FILE CLUSTERS FLAGS…: the flags are those of tests/unit/chart.rs; without them Helm takes its own idea of a
# cluster's version.
install() {
  local file=$1 clusters=$2
  shift 2
  {
    # shellcheck disable=SC2016  # the backquotes are text
    printf '%s\n' '# Generated from charts/sennight by `make generate`; do not edit. For a cluster of Kubernetes '"$clusters:" \
      "#   kubectl apply --server-side -f $file"
    # Helm makes the namespace itself (--create-namespace). The operator's pod is what `restricted` asks for.
    printf '%s\n' 'apiVersion: v1' 'kind: Namespace' 'metadata:' '  name: sennight-system' '  labels:' \
      '    app.kubernetes.io/name: sennight' '    pod-security.kubernetes.io/enforce: restricted'
    "$helm" template sennight charts/sennight --namespace sennight-system "$@"
  } >"$file.part"
  mv "$file.part" "$file"
}
install config/install.yaml '1.36 or newer' --kube-version 1.36.0 \
  --api-versions admissionregistration.k8s.io/v1/MutatingAdmissionPolicy
install config/install-before-1.36.yaml '1.31 to 1.35' --kube-version 1.33.0
# Samples name nothing that is not among them.
{
  # shellcheck disable=SC2016  # the backquotes are text
  echo '# Generated from charts/sennight/profiles by `make generate`; do not edit.'
  sed 's/^  name: bitrix24-crm$/&\n  namespace: tenants/' charts/sennight/profiles/bitrix24-crm.yaml
} >config/samples/3-exportprofile.yaml
log "generated crds/ and config/"
