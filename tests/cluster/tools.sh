#!/usr/bin/env bash
# tools.sh services|api|node: makes sure that everything this tier runs is there: Debian's packages are installed (as root),
# Go programs are built from their modules and cached by version.
# tools.sh compile|lint|bench|fresh|helm: the same for what make targets run outside of the tiers.
# tools.sh test: every Debian package of `make test` in one go, and whether Rust and Go are there at all; builds nothing.
# tools.sh path NAME: where a built tool is.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

# SENNIGHT_KUBE_VERSION: the API tier on another Kubernetes than the pinned one, built like that one from its modules.
[ -z "${SENNIGHT_KUBE_VERSION:-}" ] || KUBEBUILDER_ASSETS=$CACHE/tools/kubernetes-$SENNIGHT_KUBE_VERSION

# The all-in-one binary's key holds its sources: another main.go is another tool.
kubebox_key() {
  cat "$CLUSTER_SRC"/kubebox/{main.go,go.mod,go.sum} | sha256sum | cut -c1-12
}

dir_of() {
  case $1 in
    kubebox) printf '%s\n' "$CACHE/tools/kubebox-$KUBERNETES_VERSION-$(kubebox_key)" ;;
    minio) printf '%s\n' "$CACHE/tools/minio-$MINIO_VERSION" ;;
    helm) printf '%s\n' "$CACHE/tools/helm-$HELM_VERSION" ;;
    versitygw) printf '%s\n' "$CACHE/tools/versitygw-$VERSITYGW_VERSION" ;;
    garage) printf '%s\n' "$CACHE/tools/garage-$GARAGE_VERSION" ;;
    coredns) printf '%s\n' "$CACHE/tools/coredns-$COREDNS_VERSION" ;;
    *) die "no such tool: $1" ;;
  esac
}

path_of() {
  case $1 in
    etcd | kube-apiserver | kube-controller-manager | kubectl)
      # The developer's own binaries come first, as with controller-runtime's envtest.
      if [ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/$1" ]; then
        printf '%s\n' "$KUBEBUILDER_ASSETS/$1"
      else
        printf '%s/%s\n' "$(dir_of kubebox)" "$1"
      fi
      ;;
    kubelet | kube-proxy | kube-scheduler) printf '%s/%s\n' "$(dir_of kubebox)" "$1" ;;
    *) printf '%s/%s\n' "$(dir_of "$1")" "$1" ;;
  esac
}

have_kubebuilder() {
  local name
  for name in etcd kube-apiserver kubectl kube-controller-manager; do
    [ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/$name" ] || return 1
  done
}

# debian COMMAND=PACKAGE…: installs the packages whose command is missing
debian() {
  local pair missing=()
  for pair in "$@"; do
    # A file stands for the command where PATH does not lead to it, or there is none.
    if [[ $pair == /* ]]; then
      compgen -G "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    else
      command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    fi
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  once packages install_packages "${missing[@]}"
}

install_packages() {
  local missing=("$@")
  [ "$(id -u)" = 0 ] || die "missing Debian packages: install them as root: apt-get install ${missing[*]}"
  log "installing ${missing[*]}"
  # Debian starts a cluster of its own after installing PostgreSQL, and services of containerd: neither is wanted.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get -qq update >&2 || log "apt-get update failed; trying with the lists at hand"
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2
}

# build NAME MODULE@VERSION: one Go program into the cache, whole or not at all
build() {
  [ -x "$(path_of "$1")" ] || once "$1" build_go "$@"
}

build_go() {
  local name=$1 module=$2 dir tmp before=$EPOCHREALTIME
  dir=$(dir_of "$name")
  [ -x "$dir/$name" ] && return
  need_go
  log "building $name (${module##*@}), once; some minutes"
  tmp=$(mktemp -d "$CACHE/tools/.$name.XXXXXX")
  CGO_ENABLED=0 GOBIN=$tmp GOFLAGS=-mod=mod go install -trimpath -ldflags '-s -w' "$module" 2>"$tmp/build.log" ||
    { tail -n 20 "$tmp/build.log" >&2 && die "building $name failed"; }
  rm -f "$tmp/build.log"
  mv -T "$tmp" "$dir"
  built "$name" "$before"
}

# Garage is a Rust program; its own defaults would link the system's libsodium and make a much slower build.
build_garage() {
  local dir tmp before=$EPOCHREALTIME
  dir=$(dir_of garage)
  [ -x "$dir/garage" ] && return
  log "building garage ($GARAGE_VERSION), once; about 15 minutes of CPU"
  tmp=$(mktemp -d "$CACHE/tools/.garage.XXXXXX")
  # Outside of the project, so that its toolchain file does not apply; the fastest build that works.
  (cd / && CARGO_TARGET_DIR=$tmp/target CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo install --quiet --locked --version "$GARAGE_VERSION" --no-default-features --features bundled-libs,sqlite \
    --root "$tmp" garage >"$tmp/build.log" 2>&1) || { tail -n 20 "$tmp/build.log" >&2 && die "building garage failed"; }
  mkdir "$tmp/done"
  mv "$tmp/bin/garage" "$tmp/done/garage"
  mv -T "$tmp/done" "$dir"
  rm -rf "$tmp"
  built garage "$before"
}

build_kubebox() {
  local dir tmp name before=$EPOCHREALTIME stamp=k8s.io/component-base/version
  dir=$(dir_of kubebox)
  [ -x "$dir/kubebox" ] && return
  need_go
  log "building Kubernetes $KUBERNETES_VERSION, every component in one binary, once; about 5 minutes on 2 cores"
  tmp=$(mktemp -d "$CACHE/tools/.kubebox.XXXXXX")
  (cd "$CLUSTER_SRC/kubebox" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$tmp/kubebox" -ldflags "-s -w \
    -X $stamp.gitVersion=v$KUBERNETES_VERSION -X $stamp.gitMajor=1 -X $stamp.gitMinor=${KUBERNETES_VERSION:2:2}" . 2>"$tmp/build.log") ||
    { tail -n 20 "$tmp/build.log" >&2 && die "building Kubernetes failed"; }
  rm -f "$tmp/build.log"
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    ln -s kubebox "$tmp/$name"
  done
  mv -T "$tmp" "$dir"
  built Kubernetes "$before"
}

# build_other VERSION: the control plane and kubectl of another Kubernetes. Its own go.mod says which modules belong to it.
build_other() {
  local version=$1 dir=$CACHE/tools/kubernetes-$1 staging=0.${1#1.} mod tmp name before=$EPOCHREALTIME stamp=k8s.io/component-base/version
  [ -x "$dir/kubebox" ] && return
  need_go
  log "building Kubernetes $version, once; about 5 minutes on 2 cores"
  tmp=$(mktemp -d "$CACHE/tools/.kubernetes.XXXXXX")
  mkdir "$tmp/src" "$tmp/out"
  cp "$CLUSTER_SRC/kubebox/other/main.go" "$tmp/src/"
  (
    cd "$tmp/src"
    mod=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
    {
      printf 'module kubebox\n\n'
      grep -E '^(go|godebug) ' "$mod"
      printf 'require k8s.io/kubernetes v%s\nreplace (\n' "$version"
      sed -nE "s|^[[:space:]]*(k8s\\.io/[a-z-]+) => \\./staging.*|\\1 => \\1 v$staging|p" "$mod"
      printf ')\n'
    } >go.mod
    go mod tidy
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$tmp/out/kubebox" -ldflags "-s -w -X $stamp.gitVersion=v$version \
      -X $stamp.gitMajor=1 -X $stamp.gitMinor=${version:2:2}" .
  ) 2>"$tmp/build.log" || { tail -n 20 "$tmp/build.log" >&2 && die "building Kubernetes $version failed"; }
  for name in etcd kube-apiserver kube-controller-manager kubectl; do
    ln -s kubebox "$tmp/out/$name"
  done
  mv -T "$tmp/out" "$dir"
  rm -rf "$tmp"
  built "Kubernetes $version" "$before"
}

# built NAME STARTED
built() {
  log "built $1"
  part "building $1" "$2"
}

need_go() {
  [[ $(go env GOVERSION 2>/dev/null) =~ ^go1\.(2[1-9]|[3-9][0-9]) ]] ||
    die "Go 1.21 or newer is needed to build the cluster's own programs (it fetches the newer toolchain that they ask for): https://go.dev/dl"
}

# once NAME COMMAND…: two harnesses starting at once must not make the same thing twice; whoever needs another thing does not wait.
once() {
  local name=$1
  shift
  mkdir -p "$CACHE/tools"
  (
    flock -n 8 || { log "waiting for another harness that makes $name" && flock 8; }
    "$@"
  ) 8>"$CACHE/tools/.lock-$name"
}

# What each tier runs of Debian's. procps has sysctl, pgrep and the program kill; gcc brings binutils (strip).
SERVICES=(curl=curl openssl=openssl ss=iproute2 setpriv=util-linux pgrep=procps "/usr/lib/postgresql/*/bin/initdb=postgresql")
MARIADB=(mariadbd=mariadb-server mariadb=mariadb-client)
NODE=(jq=jq containerd=containerd runc=runc iptables=iptables conntrack=conntrack "/usr/lib/cni/bridge=containernetworking-plugins"
  buildah=buildah mmdebstrap=mmdebstrap zstd=zstd python3=python3)
LINT=(shellcheck=shellcheck git=git python3=python3)
# Rust links by the C compiler, and some crates are C. Debian's gcc only recommends the C library's own files.
COMPILE=(cc=gcc /usr/include/stdlib.h=libc6-dev)

compile_tools() {
  need_rust
  debian "${COMPILE[@]}"
}

# rustup brings what rust-toolchain.toml names by itself, when cargo first runs here.
need_rust() {
  command -v cargo >/dev/null || die "Rust is missing: install it by https://rustup.rs"
  local part
  for part in fmt clippy; do
    (cd "$REPO" && cargo "$part" --version >/dev/null) || die "cargo $part does not run: rustup component add rustfmt clippy"
  done
}

services_tools() {
  debian "${SERVICES[@]}"
  build minio "github.com/minio/minio@$MINIO_VERSION"
  store_tools
  # SENNIGHT_MYSQL: servers of the MySQL family; those that are not the host's own are unpacked by mysql-servers.sh, and run as the
  # user that Debian's package makes.
  [ -z "${SENNIGHT_MYSQL:-}" ] || debian "${MARIADB[@]}"
  case " ${SENNIGHT_MYSQL:-} " in *" mariadb-11.8 "* | *" mysql-9 "*) debian mmdebstrap=mmdebstrap ;; esac
  # Of PostgreSQL's majors only the host's own is a package.
  [ -z "${SENNIGHT_PG_MAJORS:-}" ] || debian mmdebstrap=mmdebstrap
}

# SENNIGHT_STORES: S3 servers besides MinIO, for the tests of other dialects
store_tools() {
  local name
  for name in ${SENNIGHT_STORES:-}; do
    case $name in
      minio) ;;
      versitygw) build versitygw "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION" ;;
      garage) once garage build_garage ;;
      *) die "SENNIGHT_STORES names $name: known are minio, versitygw, garage" ;;
    esac
  done
}

api_tools() {
  services_tools
  [ -z "${SENNIGHT_KUBE_VERSION:-}" ] || once "kubernetes-$SENNIGHT_KUBE_VERSION" build_other "$SENNIGHT_KUBE_VERSION"
  have_kubebuilder || once kubernetes build_kubebox
  build helm "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
}

lint_tools() {
  need_rust
  debian "${COMPILE[@]}" "${LINT[@]}"
}

# One apt for all of it, before anything long begins: who lacks Go or root is told now, and not after the first tests.
test_tools() {
  need_rust
  need_go
  debian "${COMPILE[@]}" "${LINT[@]}" "${SERVICES[@]}" "${MARIADB[@]}" "${NODE[@]}"
}

node_tools() {
  need_rust
  debian "${COMPILE[@]}" "${SERVICES[@]}" "${NODE[@]}"
  [ "$(id -u)" = 0 ] || die "the node tier needs root: it makes network namespaces, mounts and cgroups"
  once kubernetes build_kubebox
  build minio "github.com/minio/minio@$MINIO_VERSION"
  build coredns "github.com/coredns/coredns@$COREDNS_VERSION"
  build helm "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
}

case ${1:-} in
  services) services_tools ;;
  api) api_tools ;;
  node) node_tools ;;
  compile) compile_tools ;;
  lint) lint_tools ;;
  test) test_tools ;;
  bench) debian "${SERVICES[@]}" "${MARIADB[@]}" rclone=rclone restic=restic zstd=zstd mmdebstrap=mmdebstrap ;;
  helm) build helm "helm.sh/helm/v3/cmd/helm@$HELM_VERSION" ;;
  fresh) debian mmdebstrap=mmdebstrap unshare=util-linux git=git ;;
  path) path_of "${2:?tools.sh path NAME}" ;;
  *) die "usage: tools.sh services|api|node|compile|lint|test|bench|fresh|helm | path NAME" ;;
esac
