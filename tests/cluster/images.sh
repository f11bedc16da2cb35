#!/usr/bin/env bash
# images.sh NAME…: builds images as archives, cached by what goes into them, and prints the archives' paths. Nothing is pulled:
# the base is made from Debian's packages. Names: pause, sennight (binaries from dist/), minio, postgres, mariadb.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

OUT=$CACHE/images
BASE=docker.io/library/debian:$DEBIAN_SUITE-slim
mkdir -p "$OUT"

# A store of our own: the developer's images are not touched.
buildah_() {
  buildah --root "$CACHE/buildah/root" --runroot "$CACHE/buildah/run" "$@"
}

# key FILE…: a short hash of contents (not of times)
key() { cat "$@" | sha256sum | cut -c1-12; }

# archive NAME KEY: where the finished archive goes
archive() { printf '%s/%s-%s.tar\n' "$OUT" "$1" "$2"; }

# push IMAGE ARCHIVE: whole or not at all. The docker format stays uncompressed: packing and unpacking would be most of the time.
# Older archives of the image are dropped.
push() {
  local name=${2##*/} old
  rm -f "$2.part"
  buildah_ push --quiet "$1" "docker-archive:$2.part:$1"
  for old in "$OUT/${name%-*}"-????????????.tar; do rm -f "$old"; done
  mv "$2.part" "$2"
  # Layers that no image's history needs any more
  buildah_ rmi --prune >/dev/null 2>&1 || true
}

base() {
  buildah_ inspect --type image "$BASE" >/dev/null 2>&1 && return
  local tar container
  tar=$(mktemp "$OUT/.base.XXXXXX")
  log "making the base image $BASE from Debian's packages"
  mmdebstrap --quiet --variant=minbase --format=tar "$DEBIAN_SUITE" "$tar"
  container=$(buildah_ from scratch)
  buildah_ add --quiet "$container" "$tar" / >/dev/null
  buildah_ config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah_ commit --quiet --rm "$container" "$BASE" >/dev/null
  rm -f "$tar"
}

# from_dockerfile IMAGE ARCHIVE CONTEXT [FLAGS…]
from_dockerfile() {
  local image=$1 out=$2 context=$3
  shift 3
  base
  log "building the image $image"
  buildah_ build --isolation chroot --pull-never --layers --quiet --tag "$image" "$@" "$context" >"$OUT/.build.log" 2>&1 ||
    { tail -n 30 "$OUT/.build.log" >&2 && die "building $image failed"; }
  push "$image" "$out"
}

pause() {
  local out container dir
  out=$(archive pause "$(key "$CLUSTER_SRC/images/pause.c")")
  if [ ! -f "$out" ]; then
    dir=$(mktemp -d)
    cc -Os -static -s -o "$dir/pause" "$CLUSTER_SRC/images/pause.c"
    container=$(buildah_ from scratch)
    buildah_ add --quiet "$container" "$dir/pause" /pause >/dev/null
    buildah_ config --entrypoint '["/pause"]' --user 65535:65535 "$container"
    buildah_ commit --quiet --rm "$container" localhost/pause:1 >/dev/null
    rm -rf "$dir"
    push localhost/pause:1 "$out"
  fi
  printf '%s\n' "$out"
}

# The project's own: the real Dockerfile, with binaries that cargo built on this machine.
sennight() {
  local out
  if [ ! -x "$REPO/dist/sennight" ] || [ ! -x "$REPO/dist/kubectl-sennight" ]; then die "dist/ holds no binaries: run make dist first"; fi
  out=$(archive sennight "$(key "$REPO/Dockerfile" "$REPO/.dockerignore" "$REPO"/dist/*)")
  [ -f "$out" ] || from_dockerfile "${SENNIGHT_IMAGE:-localhost/sennight:dev}" "$out" "$REPO" --build-arg BINARIES=prebuilt
  printf '%s\n' "$out"
}

minio() {
  local out context
  out=$(archive minio "$(printf '%s' "$MINIO_VERSION" | key - "$CLUSTER_SRC/images/minio.Dockerfile")")
  if [ ! -f "$out" ]; then
    context=$(mktemp -d)
    cp "$("$CLUSTER_SRC/tools.sh" path minio)" "$context/"
    from_dockerfile localhost/minio:test "$out" "$context" --file "$CLUSTER_SRC/images/minio.Dockerfile"
    rm -rf "$context"
  fi
  printf '%s\n' "$out"
}

# server NAME TAG: a database server, from its directory
server() {
  local out context=$CLUSTER_SRC/images/$1
  out=$(archive "$1" "$(key "$context"/*)")
  [ -f "$out" ] || from_dockerfile "localhost/$1:$2" "$out" "$context"
  printf '%s\n' "$out"
}

# Two builds at once would share one store.
exec 8>"$OUT/.lock"
flock 8
for name in "${@:?images.sh NAME…}"; do
  case $name in
    pause | sennight | minio) "$name" ;;
    postgres) server postgres 17 ;;
    mariadb) server mariadb 11.8 ;;
    *) die "no such image: $name" ;;
  esac
done
