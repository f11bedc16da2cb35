#!/usr/bin/env bash
# bench-scale.sh: compiles sennight as the image ships it and runs tests/bench_scale on the API tier; see docs/scale.md.
#   SENNIGHT_SCALE_SCHEDULES (100000), _REQUESTS, _DAY, _SECONDS, _ONLY (rest, day, peers) reduce it: it then prints and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --bins
# The operator of the compressed day is the test's own program, with another clock: compiled as the shipped one is.
cargo test --release --locked --no-run --test bench_scale
export SENNIGHT_BINARY=${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-target}/release/sennight}
# etcd's default of 2 GiB is for 300,000 BackupSchedules, not for them and the revisions of a night in twenty minutes.
export ETCD_QUOTA_BACKEND_BYTES=8589934592
exec tests/cluster/with.sh api -- cargo test --release --locked --quiet --test bench_scale
