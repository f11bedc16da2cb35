#!/usr/bin/env bash
# batches.sh [TENANTS [SINGLES]]: real small tenants (500) dumped by real Jobs on the node tier, many in a Job, beside a Job a tenant
# for SINGLES of them (60) in the same run, under the same budgets; then every backup is read back and checked.
#   make dist && tests/cluster/with.sh node -- tests/measure/batches.sh
# Prints tenants a minute, both ways, and the ratio. The time is from the first Job's creation to the last outcome that was read.
# With 500 tenants or more, or SENNIGHT_SCALE_WRITE=1, docs/scale.md gets its block. MEASURE_DUMPS (8): dumps at once, for both ways.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/cluster/lib.sh
. tests/cluster/lib.sh
tenants=${1:-500} singles=${2:-60}
dumps=${MEASURE_DUMPS:-8}
ns=sennight-measure
: "${KUBECONFIG:?run this by tests/cluster/with.sh node -- $0}"
kubectl=${SENNIGHT_TEST_KUBECTL:-kubectl} helm=${SENNIGHT_TEST_HELM:-helm}
binary=${SENNIGHT_BINARY:-dist/sennight}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

k() { "$kubectl" --namespace "$ns" "$@"; }
# sql DATABASE: a script from stdin, inside the database's pod, with the password from the Secret's file
sql() {
  # shellcheck disable=SC2016  # the pod's shell expands it
  k exec -i deploy/postgres -- sh -c 'PGPASSWORD=$(cat /superuser/password) exec psql -qAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d "$1"' sh "$1"
}

world() {
  mapfile -t archives < <(tests/cluster/images.sh sennight minio postgres mariadb)
  tests/cluster/node-tier.sh import "${archives[@]}"
  tests/cluster/apps.sh up "$ns"
  # shellcheck source=/dev/null
  . <(tests/cluster/apps.sh env "$ns")
  bucket=measure-$RANDOM
  printf 'user = "%s:%s"\n' "$SENNIGHT_TEST_S3_ACCESS_KEY" "$SENNIGHT_TEST_S3_SECRET_KEY" |
    curl -fsS --config - --aws-sigv4 aws:amz:us-east-1:s3 -X PUT "$SENNIGHT_TEST_S3_ENDPOINT/$bucket" >/dev/null
  log "making $tenants databases"
  sql postgres <<<'CREATE DATABASE small'
  sql small <<'SQL'
CREATE TABLE contacts (id int PRIMARY KEY, name text, email text);
INSERT INTO contacts SELECT n, 'Contact ' || n, 'c' || n || '@example.org' FROM generate_series(1, 500) n;
CREATE TABLE deals AS SELECT n AS id, n % 500 AS contact, md5(n::text) AS title, n * 3 AS amount FROM generate_series(1, 1000) n;
CREATE TABLE companies AS SELECT n AS id, 'Company ' || n AS name FROM generate_series(1, 50) n;
CREATE TABLE stages (id int PRIMARY KEY, name text);
CREATE VIEW open_deals AS SELECT * FROM deals WHERE amount > 10;
SQL
  for n in $(seq "$tenants"); do echo "CREATE DATABASE tenant_$n TEMPLATE small STRATEGY file_copy;"; done | sql postgres
  operator 1 50
  secrets
  objects | k apply -f - >/dev/null
  k wait bstore/main --for=condition=Ready --timeout=60s >/dev/null
}

# The Secrets that the storage and the server name; values go by stdin.
secrets() {
  printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: s3}\nstringData: {AWS_ACCESS_KEY_ID: "%s", AWS_SECRET_ACCESS_KEY: "%s"}\n' \
    "$SENNIGHT_TEST_S3_ACCESS_KEY" "$SENNIGHT_TEST_S3_SECRET_KEY" | k apply -f - >/dev/null
}

objects() {
  cat <<YAML
apiVersion: sennight.dev/v1alpha1
kind: BackupStorage
metadata: {name: main}
spec:
  bucket: $bucket
  endpoint: http://minio.$ns.svc:9000
  forcePathStyle: true
  credentialsSecretRef: {name: s3}
---
apiVersion: sennight.dev/v1alpha1
kind: DatabaseServer
metadata: {name: pg}
spec:
  engine: PostgreSQL
  host: postgres.$ns.svc
  tls: {mode: VerifyFull, caSecretRef: {name: postgres-tls, key: ca.crt}}
  dumpCredentialsSecretRef: {name: postgres-superuser}
  maxConcurrentDumps: $dumps
YAML
}

# schedules FROM TO TOKEN: one a tenant; only what the token starts runs
schedules() {
  for n in $(seq "$1" "$2"); do
    printf -- '---\n{apiVersion: sennight.dev/v1alpha1, kind: BackupSchedule, metadata: {name: tenant-%s}, spec: {tenant: {id: "t%s", owner: "1", plan: {name: free}}, database: {serverRef: {name: pg}, name: tenant_%s}, storageRef: {name: main}, suspend: true, trigger: {manual: "%s"}}}\n' \
      "$n" "$n" "$n" "$3"
  done
}

# operator REPLICAS PER-JOB
operator() {
  "$helm" upgrade --install sennight charts/sennight --namespace sennight-system --create-namespace --set "replicas=$1" \
    --set image.repository=localhost/sennight,image.tag=dev,image.pullPolicy=Never --set "operator.maxDumps=$dumps" \
    --set "operator.extraArgs={--jobs-per-minute=2000,--job-burst=50,--batch-tenants=$2}" --wait --timeout 120s >/dev/null
}

# round NAME TENANTS PER-JOB: all are asked for while no operator runs; then one starts. Sets rate and jobs.
round() {
  local name=$1 number=$2 each=$3 first last
  operator 0 "$each"
  "$kubectl" --namespace sennight-system wait --for=delete pod -l app.kubernetes.io/name=sennight --timeout=60s >/dev/null
  k delete jobs --all --wait >/dev/null
  schedules 1 "$number" "$name" | k apply --server-side -f - >/dev/null
  operator 1 "$each"
  log "$name: $number tenants, at most $each in a Job, $dumps dumps at once"
  local deadline=$((SECONDS + 1500)) done_=0
  while [ "$done_" -lt "$number" ]; do
    [ $SECONDS -lt $deadline ] || die "$name: only $done_ of $number are done"
    sleep 3
    done_=$(k get bsched -o json | jq --arg t "manual-$name" '[.items[] | select(.status.lastRun.key == $t and .status.lastRun.outcome != null)] | length')
  done
  k get bsched -o json >"$work/bsched.json"
  local failed
  failed=$(jq -r --arg t "manual-$name" '[.items[] | select(.status.lastRun.key == $t and .status.lastRun.outcome != "Succeeded")] | length' "$work/bsched.json")
  [ "$failed" = 0 ] || die "$name: $failed tenants failed: $(jq -c '[.items[].status.lastFailure | values | {reason, message}] | unique' "$work/bsched.json")"
  k get jobs -o json >"$work/jobs.json"
  first=$(jq -r '[.items[].metadata.creationTimestamp] | min | fromdate' "$work/jobs.json")
  last=$(jq -r --arg t "manual-$name" '[.items[] | select(.status.lastRun.key == $t) | .status.lastRun.finishedAt | sub("\\.[0-9]+"; "") | fromdate] | max' "$work/bsched.json")
  jobs=$(jq '.items | length' "$work/jobs.json")
  rate=$(awk -v n="$number" -v s="$((last - first + 1))" 'BEGIN { printf "%.1f", n * 60 / s }')
  log "$name: $jobs Jobs, $((last - first + 1)) s, $rate tenants a minute"
}

# Every backup that a schedule lists, read back and checked by the worker.
verify() {
  mkdir "$work/s3"
  printf %s "$SENNIGHT_TEST_S3_ACCESS_KEY" >"$work/s3/AWS_ACCESS_KEY_ID"
  printf %s "$SENNIGHT_TEST_S3_SECRET_KEY" >"$work/s3/AWS_SECRET_ACCESS_KEY"
  storage=$(jq -nc --arg b "$bucket" --arg e "$SENNIGHT_TEST_S3_ENDPOINT" --arg d "$work/s3" \
    '{bucket: $b, endpoint: $e, forcePathStyle: true, credentialsDir: $d}')
  jq -c '.items[] | .metadata.name as $n | .status.backups[] | {name: ($n + "-" + .id), backup: {prefix, id, manifestSha256}}' \
    "$work/bsched.json" >"$work/tasks"
  local tasks=() task
  # A hundred a time: all of them would be too long a command.
  while mapfile -t -n 100 tasks && [ ${#tasks[@]} -gt 0 ]; do
    local arguments=()
    for task in "${tasks[@]}"; do arguments+=(--task "$task"); done
    "$binary" verify --storage "$storage" --job-uid measure "${arguments[@]}" >"$work/verify.log" 2>&1 ||
      { tail -n 5 "$work/verify.log"; die "a backup is not whole"; }
  done <"$work/tasks"
  backups=$(wc -l <"$work/tasks")
}

# page: the block of docs/scale.md, as tests/bench_scale/report.rs makes those of the other parts
page() {
  local mib
  mib=$(awk '/^MemTotal/ {print int($2 / 1048576)}' /proc/meminfo)
  {
    printf '<!-- real -->\n\n%s on %s cores, %s GiB; load at the start %s.\n\n| bar | wanted | measured | |\n|---|---|---|---|\n' \
      "$began" "$(nproc)" "$mib" "$load"
    printf '| real tenants whose backups were not verified | none | %s | holds |\n' "$((tenants + singles - backups))"
    awk -v a="$one" -v b="$rate" 'BEGIN { r = b / a; printf "| times the tenants a minute of a Job a tenant | ≥ 5 | %.2f | %s |\n\n", r, r >= 5 ? "holds" : "**FALLS SHORT**" }'
    printf '**Real runs.** %s\n\n<!-- end of real -->\n' "$words"
  } >"$work/block"
  awk -v block="$work/block" '
    function put(  line) { while ((getline line < block) > 0) print line; there = 1 }
    $0 == "<!-- real -->" { put(); skip = 1 }
    $0 == "<!-- to here -->" && !there { put(); print "" }
    !skip { print }
    $0 == "<!-- end of real -->" { skip = 0 }' docs/scale.md >"$work/scale.md"
  cp "$work/scale.md" docs/scale.md
}

began=$(date -u '+%Y-%m-%d %H:%M') load=$(cut -d' ' -f1 /proc/loadavg)
world
round singly "$singles" 1
one=$rate one_jobs=$jobs
round together "$tenants" 50
verify
[ "$backups" = $((tenants + singles)) ] || die "$backups backups of $((tenants + singles))"
words=$(awk -v t="$tenants" -v s="$singles" -v a="$one" -v b="$rate" -v j="$jobs" -v i="$one_jobs" -v c="$backups" -v d="$dumps" 'BEGIN {
  printf "%d dumps at once: a Job a tenant (%d tenants, %d Jobs) %.0f tenants a minute; together (%d tenants, %d Jobs) %.0f tenants a minute, %.1f times; all %d backups verified",
    d, s, i, a, t, j, b, b / a, c }')
echo "$words"
if [ "$tenants" -ge 500 ] || [ -n "${SENNIGHT_SCALE_WRITE:-}" ]; then page; fi
