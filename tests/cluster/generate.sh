#!/usr/bin/env bash
# generate.sh: writes what is generated and committed: crds/ from the Rust types, config/install.yaml from the chart.
# Tests (tests/offline/crds.rs, tests/offline/chart.rs) fail when these lag behind.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$REPO"

cargo run --quiet --locked --bin sennight -- generate --to .
helm=${SENNIGHT_TEST_HELM:-$("$CLUSTER_SRC/tools.sh" path helm)}
[ -x "$helm" ] || helm=$(command -v helm) || die "no helm: run tests/cluster/tools.sh api"
mkdir -p config
# install FILE CLUSTERS FLAGS…: the flags are those of tests/offline/chart.rs; without them Helm takes its own idea of a
# cluster's version.
install() {
  local file=$1 clusters=$2
  shift 2
  {
    # shellcheck disable=SC2016  # the backquotes are text
    printf '%s\n' '# Generated from charts/sennight by `make generate`; do not edit. For a cluster of Kubernetes '"$clusters:" \
      "#   kubectl create namespace sennight-system && kubectl apply --server-side -f $file"
    "$helm" template sennight charts/sennight --namespace sennight-system "$@"
  } >"$file.part"
  mv "$file.part" "$file"
}
install config/install.yaml '1.36 or newer' --kube-version 1.36.0 \
  --api-versions admissionregistration.k8s.io/v1/MutatingAdmissionPolicy
install config/install-before-1.36.yaml '1.31 to 1.35' --kube-version 1.33.0
log "generated crds/ and config/"
