#!/usr/bin/env bash
# From the PostgreSQL review of November 2026, finding F11: a worker that has the tools of 17 only (as the image) dumps a server of 15 without
# a warning. A restore by the same tools says ClientToolsTooNew, one by the tools of 15 ClientToolsTooOld: no image restores that backup.
# Right: the tools of one image are enough for both, or the dump warns. Needs SENNIGHT_PG_MAJORS with 17.
# shellcheck disable=SC2015,SC2034,SC2086
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
if [ ! -d "${SENNIGHT_PG_BIN_ROOT:-/nonexistent}/17" ]; then
  say "left out: the tools of PostgreSQL 17 are not in this run"
  exit 0
fi
all=$SENNIGHT_PG_BIN_ROOT
setup
as acme t -d acme -c "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"
tried() { # NAME TOOLS
  rm -rf bin; mkdir bin; local major
  for major in $2; do
    if [ -d "$all/$major" ]; then ln -s "$all/$major" "bin/$major"; else mkdir -p "bin/$major"; ln -s "$SENNIGHT_TEST_PG_BIN" "bin/$major/bin"; fi
  done
  SENNIGHT_PG_BIN_ROOT=$W/bin "$SENNIGHT" preflight --storage "$ST" --job-uid "pf$1" --task "$(rtask acme)" >o 2>&1 || tail -n 1 o
  s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/pf$1/r.json" -o pf
  outcome "restore by the tools of $2" "$(grep -oE 'ClientTools[A-Za-z]+' pf | sort -u | tr '\n' ' ' | sed 's/ $//' | grep . || echo held)"
}
mkdir only; ln -s "$all/17" only/17
SENNIGHT_PG_BIN_ROOT=$W/only dump acme >o 2>&1 || { cat o; exit 1; }
tried a "17"
tried b "15"
tried c "15 17"
