#!/usr/bin/env bash
# guards.sh [lib|servers|api|all]: takes each guard that is marked in the code away in a copy of the source, one at a time, and runs the test that its mark
# names: it must fail. tests/guards finds the marks and makes the copies. lib (the default) needs no server; servers and api run inside with.sh of that
# tier. SENNIGHT_CASES takes some of them, SENNIGHT_GUARD those whose words contain it.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"
cd "$REPO"

target=${CARGO_TARGET_DIR:-$REPO/target}
backup=$target/guards
# A target directory of its own: in ours cargo would take the backup's library, without its guard, for this tree's.
built=$backup/target

# What others wrote is not compiled again: the dependencies' files are linked, nothing of this workspace is.
take_dependencies() {
  local part
  [ ! -d "$built/debug" ] || return 0
  mkdir -p "$built/debug"
  for part in deps build .fingerprint; do
    [ ! -d "$target/debug/$part" ] || cp -al "$target/debug/$part" "$built/debug/"
  done
  find "$built/debug" -mindepth 2 -maxdepth 2 \( -name '*sennight*' -o -name '*testkit*' \) -prune -exec rm -rf {} +
}

make_backup() {
  mkdir -p "$backup"
  take_dependencies
  # Only what differs is written: cargo compiles what is newer.
  local file
  git ls-files -z -- . | while IFS= read -r -d '' file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$backup/$file" || { mkdir -p "$backup/$(dirname "$file")" && cp "$file" "$backup/$file"; }
  done
}

# run SUITE TEST: in the backup
run() {
  local where crate
  if [ "$1" = lib ]; then
    crate=$(grep -lr "fn $2(" src | cut -d / -f 2)
    where=(--package "sennight-$crate" --lib)
    # testkit brings the features that all crates have together, so that no dependency is compiled again. These two have few.
    case $crate in core | protocol) ;; *) where+=(--package testkit) ;; esac
  else
    where=(--package testkit --test "$1")
  fi
  (
    cd "$backup"
    export CARGO_TARGET_DIR=$built CARGO_TERM_COLOR=never
    # Tests refuse binaries that are older than their sources.
    [ "$1" = lib ] || cargo build --locked --quiet --workspace --bins 2>&1 || return
    cargo test --locked --quiet "${where[@]}" -- "$2" 2>&1
  )
}

failed=0
# without_guard NUMBER SUITE TEST FILE WORDS: as tests/guards lists them
without_guard() {
  local out file=$backup/$4
  "$tool" mutate "$1" >"$file.part"
  mv "$file.part" "$file"
  if out=$(run "$2" "$3"); then
    printf 'GUARD  %s: %s passes without it\n' "$5" "$3"
    failed=$((failed + 1))
  elif ! grep -q '^test result: FAILED' <<<"$out"; then
    printf 'GUARD  %s: does not compile without it:\n%s\n' "$5" "$(grep -A 20 '^error' <<<"$out" | head -n 40)"
    failed=$((failed + 1))
  else
    printf 'guard  %s: %s fails without it\n' "$5" "$3"
  fi
  cp "$4" "$file"
}

wanted=${1:-lib}
cargo build --locked --quiet --package guards
tool=$target/debug/guards
"$tool" check
mapfile -t chosen < <("$tool" list | awk -F '\t' -v suite="$wanted" -v words="${SENNIGHT_GUARD:-}" \
  '(suite == "all" || $2 == suite) && (words == "" || index($5, words))')
[ ${#chosen[@]} -gt 0 ] || die "usage: guards.sh lib|servers|api|all; SENNIGHT_GUARD must occur in the words of a guard"
whole=${#chosen[@]}
if [ -n "${SENNIGHT_CASES:-}" ] && [ $((SENNIGHT_CASES / 30)) -lt "$whole" ]; then
  mapfile -t chosen < <(printf '%s\n' "${chosen[@]}" | shuf -n $((SENNIGHT_CASES / 30)))
  echo "guards: ${#chosen[@]} of $whole; left out: $((whole - ${#chosen[@]})) (make guards takes away all)"
fi
make_backup
for line in "${chosen[@]}"; do
  IFS=$'\t' read -r number suite test file words <<<"$line"
  without_guard "$number" "$suite" "$test" "$file" "$words"
done
echo "guards: ${#chosen[@]} taken away one at a time, $((${#chosen[@]} - failed)) missed by their tests, $failed not"
[ $failed = 0 ]
