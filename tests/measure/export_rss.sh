#!/usr/bin/env bash
# export_rss.sh [FACTOR]: peak memory and time of a CRM export of the demo's tenant with FACTOR times its contacts and their
# phones and e-mails (40: a million contacts, three million values).
#   cargo build --workspace --bin sennight && tests/cluster/with.sh services -- tests/measure/export_rss.sh
set -euo pipefail
# shellcheck source=tests/measure/lib.sh
. "$(dirname "$0")/lib.sh"
factor=${1:-40}

"${psql[@]}" -d postgres -c "CREATE DATABASE measured_export"
export PGDATABASE=measured_export
"${psql[@]}" -f "$root/tests/demo/crm/schema.sql" -f "$root/tests/demo/crm/data.sql" >/dev/null
"${psql[@]}" <<SQL
SET statement_timeout = 0;
CREATE TEMP TABLE more AS SELECT * FROM b_crm_contact;
DO \$\$ BEGIN FOR n IN 1 .. $factor - 1 LOOP
  UPDATE more SET id = id + 25000;
  INSERT INTO b_crm_contact SELECT * FROM more;
  INSERT INTO b_crm_field_multi (entity_id, element_id, type_id, value_type, complex_id, value)
    SELECT entity_id, element_id + n * 25000, type_id, value_type, complex_id, value FROM b_crm_field_multi
    WHERE entity_id = 'CONTACT' AND element_id <= 25000;
END LOOP; END \$\$;
SQL
rows=$("${psql[@]}" -c "SELECT (SELECT count(*) FROM b_crm_contact) || ' contacts, ' || (SELECT count(*) FROM b_crm_field_multi) || ' values'")

say() {
  awk -v what="$1" -v rows="$rows" -v s="$seconds" -v p="$peak" \
    'BEGIN { printf "%s of %s: %.1f s, peak RSS %.0f MiB\n", what, rows, s, p / 1024 }'
}

measure dump --storage "$storage" --task "$(dump_task d measured_export 2)"
say dump
# python3-yaml is the one thing here that the harness does not need as well.
profile=$(python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))["spec"]))' \
  "$root/charts/sennight/profiles/bitrix24-crm.yaml")
identity='{"namespace": "measure", "schedule": "d", "tenant": "t", "engine": "PostgreSQL", "database": "measured_export"}'
measure export --storage "$storage" --task "$(jq -nc --argjson c "$(backup_of d)" --argjson i "$identity" --argjson p "$profile" \
  '{name: "e", requestUid: "measure", request: "measure", identity: $i, backup: $c, profile: $p}')"
say export
s3 "results/measure/e.json" | jq -c '.outcome | {bytes, files}'
