#!/usr/bin/env bash
# suites.sh [--all] TARGET…: runs these targets of the Makefile one after another and ends with one table: suite, minutes.
# It stops at the first that fails; with --all it goes on, and fails at the end.
# SENNIGHT_STOP_BEFORE=TARGET ends a run before that one, and says what was not run (tests/cluster/fresh-root.sh asks for it).
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$REPO"

all=false
if [ "${1:-}" = --all ]; then
  all=true
  shift
fi
if [ -n "${SENNIGHT_STOP_BEFORE:-}" ] && ! grep -qwF -- "$SENNIGHT_STOP_BEFORE" <<<"$*"; then
  die "SENNIGHT_STOP_BEFORE names $SENNIGHT_STOP_BEFORE: this run has $*"
fi

# Parts of a target add rows of their own (lib.sh: part): a test binary, what is compiled or built.
SENNIGHT_MINUTES=$(mktemp)
export SENNIGHT_MINUTES
rows=$(mktemp)
began=$EPOCHREALTIME
left=("$@")
failed=()

table() {
  local code=$?
  trap - EXIT
  printf '\n%-34s %8s\n' suite minutes
  cat "$rows"
  row 'in all' "$began"
  rm -f "$rows" "$SENNIGHT_MINUTES"
  [ ${#left[@]} = 0 ] || printf 'NOT RUN: %s\n' "${left[*]}"
  [ ${#failed[@]} = 0 ] || printf 'FAILED: %s\n' "${failed[*]}"
  exit $code
}
trap table EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for target in "$@"; do
  if [ "$target" = "${SENNIGHT_STOP_BEFORE:-}" ]; then
    log "stopped before $target, because SENNIGHT_STOP_BEFORE says so"
    break
  fi
  : >"$SENNIGHT_MINUTES"
  before=$EPOCHREALTIME note=
  make --no-print-directory "$target" || note=FAILED
  left=("${left[@]:1}")
  row "$target" "$before" "$note" >>"$rows"
  cat "$SENNIGHT_MINUTES" >>"$rows"
  [ -n "$note" ] || continue
  failed+=("$target")
  $all || break
done
[ ${#failed[@]} = 0 ]
