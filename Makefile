# Two commands matter: `make demo` shows the main job, `make test` passes the tests. `make help` lists the others.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-fast test-part test-node test-fresh nightly integrity attack tenants engines cases guards restore-faults bench bench-scale \
  generate lint lint-text clippy build dist tools-test tools-lint tools-compile

WITH := tests/cluster/with.sh
CARGO := cargo
# Test targets that no plain `cargo test` runs; --all-targets leaves them out as well.
BY_NAME := --test node --test integrity --test attack --test tenants --test engines --test globals --test cases --test restore_faults --test bench --test bench_scale

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## show the main job on a real node made here (or on the cluster of KUBECONFIG, with the image SENNIGHT_IMAGE)
	@tests/demo/demo.sh

demo-down: ## end the demo and its cluster; nothing stays behind
	@tests/demo/down.sh

test: ## everything: lint, tests without a node, a part of the long suites, tests on a real node; ends with the minutes of each
	@tests/cluster/suites.sh tools-test lint-text clippy test-fast test-part test-node

nightly: ## the long suites one after another, on after a failure; hours; ends with the minutes of each (docs/testing.md)
	@tests/cluster/suites.sh --all test-fresh guards attack tenants restore-faults engines cases integrity

# What a target runs it installs, or says what is missing; a moment where all is there.
tools-test tools-lint tools-compile:
	@tests/cluster/tools.sh $(@:tools-%=%)

test-fresh: ## make test on a fresh Debian 12 with what README lists, up to where it would compile; SENNIGHT_STOP_BEFORE=test-fast goes on to the servers
	@tests/cluster/fresh-root.sh

test-fast: tools-compile ## the tests that need no node and no patience, with real S3, PostgreSQL and Kubernetes API servers; about 2 minutes warm
	@tests/cluster/run-tests.sh fast

test-part: tools-compile ## the long tests on the API server, and some cases of each long suite; says what it left out
	@tests/cluster/run-tests.sh part

test-node: dist ## the tests on a real node: containerd, kubelet, the image of the Dockerfile
	@tests/cluster/run-tests.sh node

integrity: tools-compile ## the long suites: 1,000 damaged backups and more; SENNIGHT_CASES and SENNIGHT_SEED choose fewer, or the same again
	@tests/cluster/run-tests.sh integrity

engines: tools-compile ## dumps, loads and comparisons on MariaDB 10.11, MariaDB 11.8 and MySQL 9
	@tests/cluster/run-tests.sh engines

cases: tools-compile ## what the reviews found, as it ends today; SENNIGHT_CASE chooses by path, SENNIGHT_PG_MAJORS and SENNIGHT_MYSQL add servers
	@tests/cluster/run-tests.sh cases

attack: tools-compile ## the gate under attack: forgeries, weakened policies, crashes; SENNIGHT_CASES and SENNIGHT_SEED choose fewer, or the same again
	@tests/cluster/run-tests.sh attack

tenants: tools-compile ## hostile databases from dump to drill on PostgreSQL 15, 17 and 18; SENNIGHT_CASES chooses fewer, SENNIGHT_CASE one
	@tests/cluster/run-tests.sh tenants

guards: tools-lint ## take each marked guard (docs/guards.md) away in a copy of the source: its test must fail; half an hour
	@$(WITH) services -- tests/attack/guards.sh all

restore-faults: tools-compile ## restores under kill -9 of the worker and of the server, at every statement; SENNIGHT_CASES chooses fewer
	@tests/cluster/run-tests.sh restore-faults

bench: tools-compile ## speed and memory against the machine's ceiling and other tools; writes docs/benchmarks.md; half an hour
	@tests/bench/bench.sh

bench-scale: tools-compile ## 100,000 schedules on a real API server, a compressed day, native CronJobs beside it; writes docs/scale.md; two hours, or SENNIGHT_SCALE_ONLY a part
	@tests/bench_scale/bench-scale.sh

generate: tools-compile ## write crds/, the chart's copies, config/install.yaml and the table of docs/guards.md anew
	@tests/cluster/generate.sh

lint: lint-text clippy ## formatting, shellcheck, sentences of the pages, the marks of the guards (docs/guards.md); clippy

lint-text: tools-lint
	@$(CARGO) fmt --all --check
	@$(CARGO) run --locked --quiet --package guards -- check
	@cd tests/prose && python3 -B check_test.py --quiet
	@python3 -B tests/prose/check.py
	@shellcheck -x .ci/run $$(find tests -name '*.sh')

clippy: tools-compile
	@$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --quiet --locked --workspace $(BY_NAME) -- -D warnings

build: tools-compile ## compile both binaries; tests of the operator's processes refuse older ones
	@$(CARGO) build --locked --workspace --bins

# With --workspace, cargo unifies features with the tests' own: kube is not compiled a second time for them.
dist: build ## put stripped binaries where the Dockerfile's `prebuilt` stage takes them
	@mkdir -p dist
	@target=$${CARGO_TARGET_DIR:-target}; for name in sennight kubectl-sennight; do \
	  strip --strip-all -o "dist/.$$name" "$$target/debug/$$name"; \
	  if cmp -s "dist/.$$name" "dist/$$name"; then rm "dist/.$$name"; else mv "dist/.$$name" "dist/$$name"; fi; done
