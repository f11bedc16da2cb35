#!/usr/bin/env bash
# user.sh NAME [GROUP…]: prints the path of a kubeconfig whose client certificate says NAME and its GROUPs, signed by the CA of
# the tier in $SENNIGHT_CLUSTER_DIR (with.sh exports it; else the node tier's). What the user may do is up to RBAC.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/pki.sh
. "$CLUSTER_SRC/pki.sh"

name=${1:?user.sh NAME [GROUP…]}
shift
RUN=${SENNIGHT_CLUSTER_DIR:-${SENNIGHT_NODE_DIR:-/var/lib/sennight-node}}
[ -f "$RUN/pki/ca.key" ] || die "no cluster in $RUN: start one with api-tier.sh up or node-tier.sh up"
ports_of "$(<"$RUN/base")"
# The same name with other groups is another certificate.
id=user-$(printf '%s\n' "$name" "$@" | sha256sum | cut -c1-12)
subject=/CN=${name//\//\\/}
for group in "$@"; do subject="/O=${group//\//\\/}$subject"; done
cert "$id" "$subject" DNS:user
kubeconfig "$id" "https://127.0.0.1:$PORT_API" >"$RUN/pki/$id.kubeconfig"
chmod 600 "$RUN/pki/$id.kubeconfig"
printf '%s\n' "$RUN/pki/$id.kubeconfig"
