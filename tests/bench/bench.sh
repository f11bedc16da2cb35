#!/usr/bin/env bash
# bench.sh: compiles sennight as the image ships it and runs tests/bench on the services; see docs/benchmarks.md.
#   SENNIGHT_BENCH_ROUNDS, _MB, _TENANTS reduce it: it then prints and writes nothing. _ONLY (wide, small, tables, mariadb) runs some
#   parts; the others' figures stay on the page.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/cluster/tools.sh bench
cargo build --release --locked --package sennight --bin sennight
cargo test --locked --package testkit --no-run --test bench
# Tests run in their package's directory.
SENNIGHT_BINARY=$(realpath "${SENNIGHT_BINARY:-${CARGO_TARGET_DIR:-target}/release/sennight}")
export SENNIGHT_BINARY
case ",${SENNIGHT_BENCH_ONLY:-mariadb}," in
  *,mariadb,*)
    export SENNIGHT_MYSQL=mariadb-10.11
    SENNIGHT_MYDUMPER=$(tests/cluster/mysql-servers.sh mydumper) || echo "bench: mydumper cannot be had here; it is left out" >&2
    export SENNIGHT_MYDUMPER
    ;;
esac
exec tests/cluster/with.sh services -- cargo test --locked --package testkit --quiet --test bench
