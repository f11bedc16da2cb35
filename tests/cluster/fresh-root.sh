#!/usr/bin/env bash
# fresh-root.sh: README says that its commands install what they need on a fresh Debian 12 with what it lists. Here is one: made by
# mmdebstrap, with make, this machine's Rust and Go and nothing else, and in it .ci/run: README's test command in an empty environment.
# It goes on to where it would compile, some minutes; with SENNIGHT_STOP_BEFORE=test-fast to where servers would be built, which
# compiles the project once more. Needs root. Nothing stays, mounts neither: they are in a namespace that ends with its processes.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

stop_before=${SENNIGHT_STOP_BEFORE:-clippy}
# Root's home in a Debian.
home=/root

# The part inside of the namespaces: this script again.
# Rust, Go and how package clients reach their registries are this machine's; its packages, programs and caches are not.
enter() {
  local root=$1 from to
  mount --make-rprivate /
  mount -t proc proc "$root/proc"
  for from in "${RUSTUP_HOME:-$HOME/.rustup}=$home/.rustup" "${CARGO_HOME:-$HOME/.cargo}/bin=$home/.cargo/bin" "$(go env GOROOT)=/usr/local/go"; do
    to=$root${from#*=}
    mkdir -p "$to"
    mount --bind "${from%%=*}" "$to"
    mount -o remount,bind,ro "$to"
  done
  exec chroot "$root" /usr/bin/env -u RUSTUP_HOME -u CARGO_HOME -u GOPATH -u GOMODCACHE -u GOCACHE -u GOENV -u SENNIGHT_CACHE -u TMPDIR \
    -u XDG_CACHE_HOME HOME=$home PATH=$home/.cargo/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /src/.ci/run "SENNIGHT_STOP_BEFORE=$stop_before"
}

if [ "${1:-}" = inside ]; then
  enter "$2"
fi

[ "$(id -u)" = 0 ] || die "a fresh root needs root: it is entered by chroot, and packages are installed in it"
"$CLUSTER_SRC/tools.sh" fresh
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/sennight-fresh.XXXXXX")
root=$dir/root
# --one-file-system: whatever went wrong, it is not this machine's Rust that is removed.
trap 'rm -rf --one-file-system "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

log "a fresh Debian 12 in $root"
# A mirror may be a snapshot of an earlier day, whose Release file has expired: its signature is checked, its age is not.
mmdebstrap --quiet --variant=minbase --include=ca-certificates,make --aptopt='Acquire::Check-Valid-Until "false"' bookworm "$root" >&2

# The working tree as it is, without what git ignores (target/, dist/).
mkdir "$root/src"
(cd "$REPO" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --create --null --files-from=-) | tar --extract --directory="$root/src" --no-same-owner

for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt "$HOME/.cargo/config.toml" "$HOME/.config/go/env"; do
  [ -f "$file" ] || continue
  to=$root/${file#/}
  case $file in "$HOME"/*) to=$root$home/${file#"$HOME"/} ;; esac
  mkdir -p "$(dirname "$to")"
  cp --dereference "$file" "$to"
done
for name in shellcheck cc git curl psql containerd; do
  ! chroot "$root" sh -c "command -v $name" >/dev/null || die "$name is there already: this root proves nothing of it"
done

log "in it: .ci/run, up to $stop_before"
# In the background, because bash runs no trap before a foreground command has ended; --kill-child ends all that runs inside.
unshare --mount --pid --fork --kill-child "$CLUSTER_SRC/fresh-root.sh" inside "$root" &
child=$!
trap 'kill $child 2>/dev/null || true; wait $child || true; exit 130' INT
trap 'kill $child 2>/dev/null || true; wait $child || true; exit 143' TERM
wait $child
log "README's command installed what it needs, up to $stop_before"
