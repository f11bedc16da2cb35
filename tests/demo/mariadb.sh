# shellcheck shell=bash disable=SC2034,SC2154 # what it takes and sets is story.sh's
# The main job for a tenant in MariaDB: dump, CSV, full restore. Sourced by story.sh, whose people, keys and words it uses.

# my [ARGS…]: a script from stdin, as the database's superuser, inside the database's pod
my() {
  # shellcheck disable=SC2016  # the pod's shell expands it
  k exec -i deploy/mariadb -- sh -c 'MYSQL_PWD=$(cat /superuser/password) exec mariadb --no-defaults --batch --skip-column-names \
    --default-character-set=utf8mb4 -h 127.0.0.1 -u root "$@"' sh "$@"
}

forget_earlier_mariadb() {
  my <<<"SELECT CONCAT('DROP DATABASE \`', SCHEMA_NAME, '\`;') FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'umbra%'" >"$work/drop"
  my <"$work/drop"
  my <<<"DROP USER IF EXISTS umbra, sennight_dump, sennight_restore"
}

# my_digest: rows, columns, and what stands around the tables; the restore's own mark is not the tenant's
my_digest() {
  local own="TABLE_SCHEMA = 'umbra' AND TABLE_NAME NOT LIKE '\\\\_\\\\_sennight%'" tables
  tables=$(my <<<"SELECT GROUP_CONCAT(CONCAT('umbra.', TABLE_NAME) ORDER BY TABLE_NAME) FROM information_schema.TABLES WHERE $own AND TABLE_TYPE = 'BASE TABLE'")
  my <<SQL
CHECKSUM TABLE $tables EXTENDED;
SELECT TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_KEY, EXTRA FROM information_schema.COLUMNS WHERE $own ORDER BY 1, 2;
SELECT 'view', TABLE_NAME, VIEW_DEFINITION, DEFINER FROM information_schema.VIEWS WHERE $own ORDER BY 2;
SELECT 'trigger', TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'umbra' ORDER BY 2;
SELECT 'routine', ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'umbra' ORDER BY 2;
SELECT 'event', EVENT_NAME, EVENT_DEFINITION, STATUS, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'umbra' ORDER BY 2;
SQL
}

mariadb_world() {
  say "Another tenant: the same kind of CRM in MariaDB 11.8, with a view, a trigger, a function and an event"
  local dump restore
  dump=$(openssl rand -hex 16)
  restore=$(openssl rand -hex 16)
  # The rights that docs/mysql.md names.
  my <<SQL
CREATE DATABASE umbra CHARACTER SET utf8mb4;
CREATE USER umbra IDENTIFIED BY 'tenant';
GRANT ALL ON umbra.* TO umbra;
CREATE USER sennight_dump IDENTIFIED BY '$dump' REQUIRE SSL;
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON umbra.* TO sennight_dump;
GRANT SELECT ON mysql.proc TO sennight_dump;
CREATE USER sennight_restore IDENTIFIED BY '$restore' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER, EVENT,
  LOCK TABLES, CREATE USER, PROCESS, CONNECTION ADMIN, SET USER, BINLOG MONITOR, SLAVE MONITOR ON *.* TO sennight_restore;
SQL
  cat tests/engines/crm.sql tests/demo/crm/mariadb.sql | my umbra
  secret my-dump host "mariadb.$ns.svc" username sennight_dump password "$dump"
  secret my-restore host "mariadb.$ns.svc" username sennight_restore password "$restore"
  k apply -f - <<YAML
apiVersion: sennight.dev/v1alpha1
kind: DatabaseServer
metadata: {name: my-1}
spec:
  engine: MariaDB
  host: mariadb.$ns.svc
  tls: {mode: VerifyFull, caSecretRef: {name: mariadb-tls, key: ca.crt}}
  dumpCredentialsSecretRef: {name: my-dump}
  restoreCredentialsSecretRef: {name: my-restore}
---
apiVersion: sennight.dev/v1alpha1
kind: BackupSchedule
metadata: {name: umbra}
spec:
  tenant: {id: umbra-815, owner: "23", plan: {name: professional, includesRestore: true}}
  database: {serverRef: {name: my-1}, name: umbra}
  storageRef: {name: main}
  timeZone: Asia/Ho_Chi_Minh
  trigger: {manual: demo}
YAML
  await 180 bsched/umbra '{.status.backups[0].id}' '2*'
  k get bsched umbra
  day=$(k get bsched umbra -o 'jsonpath={.status.backups[0].day}')
  note "umbra: backup" "$day, $(k get bsched umbra -o 'jsonpath={.status.backups[0].rows}') rows"
  my_digest >"$work/my"
  my umbra <<'SQL' | tr '\t' '|' >"$work/elements"
SELECT 'companies', COUNT(*) FROM b_crm_company WHERE CATEGORY_ID = 0 AND IS_MY_COMPANY <> 'Y'
UNION ALL SELECT 'contacts', COUNT(*) FROM b_crm_contact WHERE CATEGORY_ID = 0
UNION ALL SELECT 'leads', COUNT(*) FROM b_crm_lead
UNION ALL SELECT 'deals', COUNT(*) FROM b_crm_deal WHERE IS_RECURRING <> 'Y';
SQL
}

mariadb_damage() {
  my umbra <<'SQL'
DELETE FROM b_crm_contact WHERE ID % 3 = 0;
UPDATE b_crm_deal SET TITLE = 'overwritten', OPPORTUNITY = 0;
DROP VIEW pipeline;
DROP TRIGGER stamped;
SQL
  diff -q <(my_digest) "$work/my" >/dev/null && fail "the damage changed nothing"
  return 0
}

mariadb_story() {
  tenant=umbra owner=23
  mariadb_world
  say "The same loss, the same ticket: first the CSV files, then everything back"
  mariadb_damage
  csv_export hd-3 later
  request hd-4 FullRestore
  both_keys hd-4 later
  await 300 rreq/hd-4 '{.status.phase}' Complete
  k get rreq hd-4
  my_digest >"$work/my.after"
  diff "$work/my" "$work/my.after" || fail "what was restored in MariaDB is not that day's"
  my <<<"SELECT User, Host FROM mysql.global_priv WHERE JSON_VALUE(Priv, '\$.account_locked') = '1' AND User LIKE 'umbra%'" >"$work/locked"
  [ ! -s "$work/locked" ] || fail "the tenant's account is still locked: $(<"$work/locked")"
  note "umbra: FullRestore" "rows, columns, view, trigger, function and event equal that day's"
  note "umbra: downtime" "$(k get rreq hd-4 -o 'jsonpath={.status.result.downtimeMillis}') ms"
  note "umbra: kept for undo" "$(k get rreq hd-4 -o 'jsonpath={.status.result.previousDatabase}')"
}
