#!/usr/bin/env bash
# bench-scale.sh: compiles sennight as the image ships it and runs tests/bench_scale on the API tier; see docs/scale.md.
#   SENNIGHT_SCALE_SCHEDULES (100000), _REQUESTS, _DAY, _SECONDS, _ONLY (rest, day, peers) reduce it: it then prints and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --bins
cargo test --locked --no-run --test bench_scale
export SENNIGHT_BINARY=${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-target}/release/sennight}
exec tests/cluster/with.sh api -- cargo test --locked --quiet --test bench_scale
