#!/usr/bin/env bash
# story.sh NAMESPACE: the main job, told as it happens, on a cluster where Sennight is installed and apps.sh has put MinIO,
# PostgreSQL and MariaDB into NAMESPACE. Ends with a table; exits non-zero at the first line that is not as it should be.
# With SENNIGHT_CLUSTER_DIR (or the harness's node) people have client certificates, else they are impersonated.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/cluster/lib.sh
. tests/cluster/lib.sh

ns=${1:?story.sh NAMESPACE}
kubectl=${SENNIGHT_TEST_KUBECTL:-kubectl}
plugin=${SENNIGHT_PLUGIN:-dist/kubectl-sennight}
bucket=sennight-demo-$RANDOM
rows=()
# Whose story it is: the BackupSchedule's name, and the owner of the tenant.
tenant=acme owner=17
work=$(mktemp -d)
forward=
finish() {
  [ -z "$forward" ] || kill "$forward" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

k() { "$kubectl" --namespace "$ns" "$@"; }
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; }
note() { rows+=("$1|$2"); }
fail() {
  printf 'the demo stops: %s\n' "$*" >&2
  k get bstore,dbserver,bsched,rreq,jobs,pods >&2 || true
  k get events --sort-by=.lastTimestamp >&2 | tail -n 20 || true
  exit 1
}

# person NAME GROUP ARGS…: kubectl as that person
person() {
  local name=$1 group=$2
  shift 2
  if [ -n "${SENNIGHT_TEST_USER_KUBECONFIG:-}" ]; then
    "$kubectl" --kubeconfig "$("$SENNIGHT_TEST_USER_KUBECONFIG" "$name" "$group")" --namespace "$ns" "$@"
  else
    k --as "$name" --as-group "$group" --as-group system:authenticated "$@"
  fi
}

# sql DATABASE: a script from stdin, as the database's superuser, inside the database's pod
sql() { in_postgres psql -qAt -v ON_ERROR_STOP=1 -d "$1"; }
# in_postgres PROGRAM ARGS…: there, with the password from the Secret's file
in_postgres() {
  # shellcheck disable=SC2016  # the pod's shell expands it
  k exec -i deploy/postgres -- sh -c 'PGPASSWORD=$(cat /superuser/password) exec "$@" -h 127.0.0.1 -U postgres' sh "$@"
}

# s3 METHOD PATH: a signed request, its body from stdin; the keys go by environment, never by argv
s3() { S3_ENDPOINT=http://127.0.0.1:$S3_PORT S3_KEY=$S3_KEY S3_SECRET=$S3_SECRET tests/demo/s3.py "$@"; }

value() { k get secret "$1" -o "go-template={{index .data \"$2\" | base64decode}}"; }

# await SECONDS WHAT JSONPATH WANTED: until the object's field is as wanted
await() {
  local deadline=$((SECONDS + $1)) got=
  # shellcheck disable=SC2053  # the wanted value is a pattern
  until got=$(k get "$2" -o "jsonpath=$3" 2>/dev/null) && [[ $got == $4 ]]; do
    [ $SECONDS -lt $deadline ] || fail "$2 $3 is \"$got\", expected \"$4\", within $1 s"
    sleep 0.5
  done
}

# digest DATABASE: one line a table: rows and a hash over the rows' texts, in an order that does not depend on the table
digest() {
  sql "$1" <<'SQL'
SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(h, '''' ORDER BY h), '''')) FROM (SELECT md5(t::text) h FROM %I.%I t) x;',
              nspname || '.' || relname, nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 \gexec
SELECT 'sequence ' || schemaname || '.' || sequencename, last_value FROM pg_sequences ORDER BY 1;
SQL
}

# structure DATABASE: everything that is not rows, as pg_dump writes it
structure() {
  in_postgres pg_dump --schema-only --dbname "$1" </dev/null | grep -v '^\\\(un\)\?restrict'
  sql postgres <<SQL
SELECT pg_get_userbyid(datdba), datacl, datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '$1';
SELECT setrole::regrole, (SELECT array_agg(c ORDER BY c) FROM unnest(setconfig) c) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '$1' ORDER BY 1;
SQL
}

prepare_world() {
  say "A SaaS tenant: a CRM in PostgreSQL 17, a bucket with a rule of somebody else's"
  "$kubectl" --namespace "$ns" port-forward svc/minio :9000 >"$work/forward" 2>&1 &
  forward=$!
  until S3_PORT=$(sed -n 's/.*127.0.0.1:\([0-9]*\) ->.*/\1/p' "$work/forward" | head -n 1) && [ -n "$S3_PORT" ]; do sleep 0.1; done
  S3_KEY=$(value minio-root accessKey)
  S3_SECRET=$(value minio-root secretKey)
  s3 PUT "$bucket" </dev/null >/dev/null
  foreign_rule | s3 PUT "$bucket?lifecycle" >/dev/null
  forget_earlier_demo
  restore_password=$(openssl rand -hex 16)
  dump_password=$(openssl rand -hex 16)
  sql postgres <<SQL
CREATE ROLE acme LOGIN CREATEROLE PASSWORD 'tenant';
CREATE DATABASE acme OWNER acme CONNECTION LIMIT 50;
CREATE ROLE sennight_dump LOGIN BYPASSRLS PASSWORD '$dump_password' IN ROLE pg_read_all_data;
CREATE ROLE sennight_restore LOGIN CREATEDB CREATEROLE PASSWORD '$restore_password' IN ROLE pg_signal_backend;
GRANT acme TO sennight_restore WITH ADMIN OPTION;
SQL
  sed '1i SET ROLE acme;' tests/demo/crm/schema.sql | sql acme >/dev/null
  sed '1i SET ROLE acme;' tests/demo/crm/data.sql | sql acme >/dev/null
  sql postgres <<'SQL'
SELECT format('GRANT %I TO sennight_restore WITH ADMIN OPTION;', rolname) FROM pg_roles WHERE rolname LIKE 'crm\_%' \gexec
SQL
  local total
  total=$(digest acme | awk -F '|' 'NF == 3 {n += $2} END {print n}')
  printf 'tenant acme: %s rows in %s tables\n' "$total" "$(digest acme | awk -F '|' 'NF == 3' | wc -l)"
  [ "$total" -ge 100000 ] || fail "the tenant has $total rows, at least 100,000 are wanted"
  note "acme: rows" "$total"
}

forget_earlier_demo() {
  k delete rreq,bsched,dbserver,bstore,jobs --all --wait >/dev/null
  forget_earlier_mariadb
  sql postgres <<'SQL'
SELECT format('DROP DATABASE %I WITH (FORCE);', datname) FROM pg_database WHERE datname LIKE 'acme%' \gexec
SELECT format('DROP ROLE %I;', rolname) FROM pg_roles WHERE rolname IN ('acme', 'sennight_dump', 'sennight_restore') OR rolname LIKE 'crm\_%' \gexec
SQL
}

foreign_rule() {
  printf '<LifecycleConfiguration><Rule><ID>somebody-else</ID><Status>Enabled</Status><Filter><Prefix>invoices/</Prefix></Filter><Expiration><Days>3650</Days></Expiration></Rule></LifecycleConfiguration>'
}

# secret NAME KEY VALUE…: values by stdin
secret() {
  local name=$1
  shift
  {
    printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\nstringData:\n' "$name"
    while [ $# -gt 0 ]; do
      printf '  %s: "%s"\n' "$1" "$2"
      shift 2
    done
  } | k apply -f - >/dev/null
}

platform_team() {
  say "The platform team: one BackupStorage, one DatabaseServer, one BackupSchedule a tenant"
  secret s3 AWS_ACCESS_KEY_ID "$S3_KEY" AWS_SECRET_ACCESS_KEY "$S3_SECRET"
  secret pg-dump host "postgres.$ns.svc" username sennight_dump password "$dump_password"
  secret pg-restore host "postgres.$ns.svc" username sennight_restore password "$restore_password"
  k apply -f charts/sennight/profiles/bitrix24-crm.yaml >/dev/null
  k apply -f - <<YAML
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
metadata: {name: pg-1}
spec:
  engine: PostgreSQL
  host: postgres.$ns.svc
  tls: {mode: VerifyFull, caSecretRef: {name: postgres-tls, key: ca.crt}}
  dumpCredentialsSecretRef: {name: pg-dump}
  restoreCredentialsSecretRef: {name: pg-restore}
---
apiVersion: sennight.dev/v1alpha1
kind: BackupSchedule
metadata: {name: acme}
spec:
  tenant: {id: acme-4711, owner: "17", plan: {name: professional, includesRestore: true}}
  database: {serverRef: {name: pg-1}, name: acme}
  storageRef: {name: main}
  timeZone: Europe/Berlin
YAML
  for role in helpdesk billing; do
    k create rolebinding "demo-$role" --clusterrole "sennight-$role" --group "$role" --dry-run=client -o yaml | k apply -f - >/dev/null
  done
  await 60 bstore/main '{.status.conditions[?(@.type=="RetentionEnforced")].status}' True
  say "The bucket's lifecycle rules, as the bucket holds them"
  show "GET /$bucket?lifecycle"
  s3 GET "$bucket?lifecycle" | sed 's/<Rule>/\n<Rule>/g' | sed -n 's/.*<Rule>/  /p' | sed 's/<[/][A-Za-z]*>//g; s/<\([A-Za-z]*\)>/ \1=/g; s/  */ /g'
  local rules
  rules=$(s3 GET "$bucket?lifecycle")
  [[ $rules == *somebody-else* ]] || fail "the foreign lifecycle rule is gone"
  [[ $rules == *"<Days>7</Days>"* ]] || fail "there is no seven-day rule"
  note "lifecycle" "7 days on daily backups; the foreign rule survived"
}

first_dump() {
  say "A dump now (the schedule gives every tenant its own second of the day; this is the manual trigger)"
  show "kubectl patch bsched acme --type=merge -p '{\"spec\":{\"trigger\":{\"manual\":\"demo\"}}}'"
  k patch bsched acme --type=merge -p '{"spec":{"trigger":{"manual":"demo"}}}' >/dev/null
  await 180 bsched/acme '{.status.backups[0].id}' '2*'
  show "kubectl get bstore,dbserver,bsched"
  k get bstore,dbserver,bsched
  day=$(k get bsched acme -o 'jsonpath={.status.backups[0].day}')
  printf 'backup of %s: %s rows, %s bytes, sha256 %.12s…, gone on %s\n' "$day" \
    "$(k get bsched acme -o 'jsonpath={.status.backups[0].rows}')" "$(k get bsched acme -o 'jsonpath={.status.backups[0].bytes}')" \
    "$(k get bsched acme -o 'jsonpath={.status.backups[0].manifestSha256}')" "$(k get bsched acme -o 'jsonpath={.status.backups[0].expiresAt}')"
  digest acme >"$work/digest"
  structure acme >"$work/structure"
  # The CRM elements of that day, as the profile counts them: without the account's own company and without templates of deals.
  sql acme >"$work/elements" <<'SQL'
SELECT 'companies', count(*) FROM b_crm_company WHERE category_id = 0 AND is_my_company <> 'Y'
UNION ALL SELECT 'contacts', count(*) FROM b_crm_contact WHERE category_id = 0
UNION ALL SELECT 'leads', count(*) FROM b_crm_lead
UNION ALL SELECT 'deals', count(*) FROM b_crm_deal WHERE is_recurring <> 'Y';
SQL
  note "acme: backup" "$day, $(k get bsched acme -o 'jsonpath={.status.backups[0].bytes}') bytes"
}

damage() {
  say "The tenant loses data: an integration deletes contacts and overwrites deals"
  sql acme <<'SQL'
DELETE FROM b_crm_field_multi WHERE entity_id = 'CONTACT' AND element_id % 3 = 0;
DELETE FROM b_crm_deal WHERE id % 5 = 0;
UPDATE b_crm_deal SET opportunity = 0, title = 'overwritten';
UPDATE b_crm_company SET title = 'lost ' || id;
SQL
  diff -q <(digest acme) "$work/digest" >/dev/null && fail "the damage changed nothing"
  return 0
}

# request NAME MODE: the helpdesk writes down the owner's ticket
request() {
  show "kubectl create -f ticket.yaml    # RestoreRequest $1, $2, $day, asked for by the owner"
  person anna helpdesk create -f - <<YAML
apiVersion: sennight.dev/v1alpha1
kind: RestoreRequest
metadata: {name: $1}
spec:
  scheduleRef: {name: $tenant}
  mode: $2
  date: "$day"
  requester: {userId: "$owner"}
  ticket: {id: ${1^^}}
  reason: an integration deleted contacts and overwrote deals
  acknowledgeDataLoss: $([ "$2" = FullRestore ] && echo true || echo false)
YAML
  await 120 "rreq/$1" '{.status.phase}' AwaitingApproval
  k get rreq
}

# forge NAME: the approver tries to pay
forge() {
  printf '%s tries to set Paid herself:\n' anna
  if paid "$1" | person anna helpdesk apply --server-side --subresource=status --field-manager=anna -f - 2>"$work/refused"; then
    fail "the helpdesk could set Paid"
  fi
  sed 's/^/  /' "$work/refused"
}

paid() {
  cat <<YAML
apiVersion: sennight.dev/v1alpha1
kind: RestoreRequest
metadata: {name: $1}
status:
  payment: {reference: INV-$1, amount: "49.00", currency: EUR}
  conditions: [{type: Paid, status: "True", reason: PaymentRecorded}]
YAML
}

both_keys() {
  say "The helpdesk approves $1"
  show "kubectl patch rreq $1 --subresource=status --type=merge -p '{\"status\":{\"approval\":{\"decision\":\"Approved\"}}}'"
  person anna helpdesk patch rreq "$1" --subresource=status --type=merge -p '{"status":{"approval":{"decision":"Approved"}}}'
  await 60 "rreq/$1" '{.status.phase}' AwaitingPayment
  [ "$(k get rreq "$1" -o 'jsonpath={.status.approval.by}')" = anna ] || fail "admission did not stamp who approved"
  forge "$1"
  [ -z "$(k get jobs -o name | grep -E 'prepare|cutover|export|live-ids' || true)" ] || [ "${2:-}" = later ] || fail "a restore Job exists before the payment"
  say "Billing records the payment of $1; now, and only now, a Job runs"
  paid "$1" | person biller billing apply --server-side --subresource=status --field-manager=billing -f -
}

# csv_export NAME [later]: what was counted on that day is in elements
csv_export() {
  request "$1" CrmExport
  both_keys "$1" "${2:-}"
  await 180 "rreq/$1" '{.status.phase}' Complete
  k get rreq "$1"
  local key
  key=$(k get rreq "$1" -o 'jsonpath={.status.result.key}')
  s3 GET "$bucket/$key" >"$work/export.zip"
  rm -rf "$work/csv"
  (cd "$work" && python3 -m zipfile -l export.zip && python3 -m zipfile -e export.zip csv)
  local entity want got day_rows
  for entity in companies contacts leads deals; do
    want=$(k get rreq "$1" -o "jsonpath={.status.result.files[?(@.name==\"$entity.csv\")].rows}")
    got=$(python3 -c 'import csv, sys; print(sum(1 for _ in csv.reader(open(sys.argv[1], encoding="utf-8-sig"), delimiter=";")) - 1)' "$work/csv/$entity.csv")
    day_rows=$(awk -F '|' -v e="$entity" '$1 == e {print $2}' "$work/elements")
    printf '%-10s %7s rows in the CSV, %7s that day\n' "$entity" "$got" "$day_rows"
    if [ "$got" != "$want" ] || [ "$got" != "$day_rows" ]; then fail "$entity.csv has $got rows, status says $want, the day had $day_rows"; fi
    note "$tenant: CSV $entity" "$got rows, as on $day"
  done
  ! grep -rqi 'timeline\|activit' <(ls "$work/csv") || fail "the export holds what it must not"
}

full_restore() {
  request hd-2 FullRestore
  both_keys hd-2 later
  await 300 rreq/hd-2 '{.status.phase}' Complete
  show "kubectl get rreq"
  k get rreq
  digest acme >"$work/digest.after"
  structure acme >"$work/structure.after"
  diff "$work/digest" "$work/digest.after" || fail "the restored rows are not that day's"
  diff "$work/structure" "$work/structure.after" || fail "the restored structure is not that day's"
  note "acme: FullRestore" "all $(wc -l <"$work/digest") tables and sequences equal that day's; structure, grants, settings equal"
  local kept
  kept=$(k get rreq hd-2 -o 'jsonpath={.status.result.previousDatabase}')
  [ "$(sql postgres <<<"SELECT count(*) FROM pg_database WHERE datname = '$kept'")" = 1 ] || fail "the old database is not kept"
  note "acme: downtime" "$(k get rreq hd-2 -o 'jsonpath={.status.result.downtimeMillis}') ms"
  note "acme: kept for undo" "$kept"
}

# shellcheck source=tests/demo/mariadb.sh
. tests/demo/mariadb.sh

prepare_world
platform_team
first_dump
damage
say "The owner's ticket becomes a RestoreRequest: CSV files of all CRM elements as of that day"
csv_export hd-1
say "The owner wants everything back: a FullRestore, the same way"
full_restore
if [ -x "$plugin" ]; then
  say "What the helpdesk puts into the ticket"
  show "kubectl sennight explain hd-2"
  "$plugin" --namespace "$ns" explain hd-2 || fail "kubectl sennight explain failed"
fi
mariadb_story
note "set Paid as helpdesk" "refused by admission"
say "The story in a table"
for row in "${rows[@]}"; do printf '  %-24s %s\n' "${row%%|*}" "${row#*|}"; done
