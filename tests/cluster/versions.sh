# shellcheck shell=bash disable=SC2034
# The pins of everything the harness runs. A cached tool's key holds its pin: change a pin, and it is built anew.

KUBERNETES_VERSION=1.36.3 # kubebox/go.mod pins the same
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
HELM_VERSION=v3.22.0
COREDNS_VERSION=v1.15.0
VERSITYGW_VERSION=v1.8.0
GARAGE_VERSION=2.5.0
DEBIAN_SUITE=trixie
