#!/usr/bin/env bash
# down.sh: ends the demo. Its own node goes whole; from the cluster of $KUBECONFIG the chart and the demo's namespaces are removed, and
# the CRDs stay (other namespaces may use them).
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  exec tests/cluster/node-tier.sh down
fi
helm uninstall sennight --namespace sennight-system --ignore-not-found
kubectl delete namespace sennight-demo sennight-system --ignore-not-found
