#!/usr/bin/env bash
# bench-scale.sh: compiles sennight optimised as the image ships it and runs tests/bench_scale on the API tier; see docs/scale.md.
#   SENNIGHT_SCALE_SCHEDULES (100000), _REQUESTS, _DAY, _SECONDS, _ONLY (rest, day, peers) reduce it: it then prints and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo test --release --locked --no-run --test bench_scale
exec tests/cluster/with.sh api -- cargo test --release --locked --quiet --test bench_scale
