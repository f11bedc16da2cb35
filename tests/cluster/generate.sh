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
# The flags are those of tests/offline/chart.rs; without them Helm takes its own idea of a cluster's version.
{
  # shellcheck disable=SC2016  # the backquotes are text
  printf '%s\n' '# Generated from charts/sennight by `make generate`; do not edit. For a cluster of Kubernetes 1.36 or newer:' \
    '#   kubectl create namespace sennight-system && kubectl apply --server-side -f config/install.yaml'
  "$helm" template sennight charts/sennight --namespace sennight-system --kube-version 1.36.0 \
    --api-versions admissionregistration.k8s.io/v1/MutatingAdmissionPolicy
} >config/install.yaml.part
mv config/install.yaml.part config/install.yaml
log "generated crds/ and config/install.yaml"
