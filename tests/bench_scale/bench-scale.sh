#!/usr/bin/env bash
# bench-scale.sh: compiles sennight as the image ships it and runs tests/bench_scale on the API tier; see docs/scale.md.
#   SENNIGHT_SCALE_ONLY: some of rest, day, catch-up, cronjobs, k8up; the others' blocks stay on the page.
#   SENNIGHT_SCALE_SCHEDULES (100000; 10000 at rest has a block of its own), _REQUESTS, _DAY and _SECONDS, _AWAY (25000) and _AWAY_SECONDS
#   reduce it: it then prints and writes nothing, unless SENNIGHT_SCALE_WRITE=1. _FLAGS: more flags for the operator of the day.
#   SENNIGHT_K8UP, SENNIGHT_K8UP_CRDS: K8up's binary (go build ./cmd/k8up in its source) and its config/crd/apiextensions.k8s.io/v1.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --workspace --bins
# The operator of the compressed day is the test's own program, with another clock: compiled as the shipped one is.
cargo test --release --locked --package testkit --no-run --test bench_scale
# Tests run in their package's directory.
SENNIGHT_BINARY=$(realpath "${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-target}/release/sennight}")
export SENNIGHT_BINARY
# etcd's default of 2 GiB is for 300,000 BackupSchedules, not for them and the revisions of a night in twenty minutes.
export ETCD_QUOTA_BACKEND_BYTES=8589934592
exec tests/cluster/with.sh api -- cargo test --release --locked --package testkit --quiet --test bench_scale
