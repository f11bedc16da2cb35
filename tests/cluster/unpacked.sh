# shellcheck shell=bash
# Debian's packages of another suite, unpacked into the cache and run from there by their own loader and libraries: nothing is
# installed, and only unpacking needs what mmdebstrap needs (root, or user namespaces). Source after lib.sh.

# wrap ROOT DIR: every program of ROOT/DIR becomes a script that runs it by the unpacked loader: the host's C library may be older.
# A program that looks for others in its own directory finds scripts. No path is fixed: the tree may be moved.
wrap() {
  local file up
  up=${2//[!\/]/}
  up=../${up//\//../}.
  for file in "$1/$2"/*; do
    if [ -L "$file" ] || [ "$(head -c 4 "$file" | tr -d '\0')" != $'\x7fELF' ]; then continue; fi
    mv "$file" "$file.elf"
    cat >"$file" <<SCRIPT
#!/bin/sh
root=\${0%/*}/$up
exec "\$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "\$root/usr/lib/x86_64-linux-gnu" "\$0.elf" "\$@"
SCRIPT
    chmod 755 "$file"
  done
}

# unpack NAME SUITE PACKAGES DIR…: into $CACHE/NAME, once; the programs of each DIR run from there. A suite's Release file may have
# expired where the mirror is a snapshot of an earlier day: its signature is checked, its age not.
unpack() {
  local name=$1 final=$CACHE/$1 suite=$2 packages=$3 parent tmp dir
  shift 3
  [ ! -d "$final" ] || return 0
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
  parent=$(dirname "$final")
  mkdir -p "$parent"
  exec 8>"$parent/.lock"
  flock 8
  if [ ! -d "$final" ]; then
    log "unpacking $name of Debian $suite, once; half a minute"
    tmp=$(mktemp -d "$parent/.new.XXXXXX")
    mmdebstrap --quiet --variant=extract --include="$packages" --aptopt='Acquire::Check-Valid-Until "false"' \
      --skip=output/dev "$suite" "$tmp/tree" >&2
    # The compiler of queries is most of the size of some, and the servers as good without it.
    rm -rf "$tmp/tree/usr/lib/postgresql"/*/lib/{bitcode,llvmjit*} "$tmp/tree/usr/lib/x86_64-linux-gnu"/lib{LLVM,z3}* \
      "$tmp/tree/usr/share"/{doc,man,locale} "$tmp/tree/var"
    # Suites before trixie keep the loader and its libraries outside of /usr.
    if [ ! -e "$tmp/tree/usr/lib64/ld-linux-x86-64.so.2" ]; then
      mkdir -p "$tmp/tree/usr/lib64"
      cp -a "$tmp/tree/lib/." "$tmp/tree/usr/lib/"
      ln -sfn ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$tmp/tree/usr/lib64/ld-linux-x86-64.so.2"
    fi
    for dir in "$@"; do wrap "$tmp/tree" "$dir"; done
    chmod 755 "$tmp/tree"
    mv -T "$tmp/tree" "$final"
    rmdir "$tmp"
  fi
  exec 8>&-
}

# link_unpacked NAME DIR: the unpacked tree where a server's own user can see it; root's cache is closed to it.
link_unpacked() {
  if ! cp -al "$CACHE/$1" "$2" 2>/dev/null; then
    rm -rf "$2"
    cp -a "$CACHE/$1" "$2"
  fi
}
