#!/usr/bin/env bash
# demo.sh: the main job, on a node made here, or on the cluster of $KUBECONFIG with the image $SENNIGHT_IMAGE.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/cluster/lib.sh
. tests/cluster/lib.sh

if [ -z "${KUBECONFIG:-}" ]; then
  tests/cluster/tools.sh node
  log "compiling Sennight"
  [ -n "${DEMO_SKIP_BUILD:-}" ] || make --no-print-directory dist
  mapfile -t archives < <(tests/cluster/images.sh sennight minio postgres mariadb)
  tests/cluster/node-tier.sh up
  # shellcheck source=/dev/null
  . <(tests/cluster/node-tier.sh env)
  tests/cluster/node-tier.sh import "${archives[@]}"
  SENNIGHT_IMAGE=${SENNIGHT_IMAGE:-localhost/sennight:dev}
fi
: "${SENNIGHT_IMAGE:?name the image that the cluster of KUBECONFIG can pull}"
# The tag stays, what is in it changes: the annotation makes a second demo roll the operator.
build=()
[ ! -f dist/sennight ] || build=(--set-string "operator.podAnnotations.build=$(sha256sum dist/sennight | cut -c1-12)")
kubectl=${SENNIGHT_TEST_KUBECTL:-kubectl}
helm=${SENNIGHT_TEST_HELM:-helm}
"$kubectl" version >/dev/null || die "the cluster of KUBECONFIG does not answer"
tests/cluster/apps.sh up sennight-demo
log "installing the chart"
"$helm" upgrade --install sennight charts/sennight --namespace sennight-system --create-namespace \
  "${build[@]}" --set "image.repository=${SENNIGHT_IMAGE%:*}" --set "image.tag=${SENNIGHT_IMAGE##*:}" --set image.pullPolicy=IfNotPresent \
  --wait --timeout 120s
tests/demo/story.sh sennight-demo
log "the demo is done; look around with kubectl, then: make demo-down"
