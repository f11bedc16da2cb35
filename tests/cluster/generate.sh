#!/usr/bin/env bash
# generate.sh: writes what is generated and committed: crds/ from the Rust types, config/install.yaml from the chart.
# Tests (tests/crds.rs, tests/chart.rs) fail when these lag behind.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$REPO"

cargo run --quiet --locked --bin sennight -- generate --to .
helm=${SENNIGHT_TEST_HELM:-$("$CLUSTER_SRC/tools.sh" path helm)}
[ -x "$helm" ] || helm=$(command -v helm) || die "no helm: run tests/cluster/tools.sh api"
mkdir -p config
"$helm" template sennight charts/sennight --namespace sennight-system >config/install.yaml.part
mv config/install.yaml.part config/install.yaml
log "generated crds/ and config/install.yaml"
