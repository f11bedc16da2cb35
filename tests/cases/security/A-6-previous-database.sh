#!/usr/bin/env bash
# A-6: the previous database after a swap is still the tenant's: its marks, its rows, its existence; Undo and drop-database.
# Right: the previous database belongs to the restore role until the time for an Undo is over.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme -c "CREATE TABLE t(i int); INSERT INTO t VALUES (1)"
dump acme >/dev/null 2>&1; prepare acme >o 2>&1 && cutover acme >o 2>&1 && echo "restored" || tail -n1 o
K=acme__old0f3b2c1daaaa
live=$(adm -d postgres -c "SELECT oid FROM pg_database WHERE datname='acme'"); kept=$(adm -d postgres -c "SELECT oid FROM pg_database WHERE datname='$K'")
undo() { "$SENNIGHT" preflight-undo --storage "$ST" --job-uid "$1" --task '{"name":"u","requestUid":"11111111-cccc-4bbb-8ccc-1234567890ab","namespace":"n","database":'"$(db restore acme)"',"newDatabase":"'$K'","previousDatabase":"acme__old11111111cccc","liveNumber":'"$live"',"newNumber":'"$kept"',"undoOf":"'$RUID'"}' >o 2>&1 || tail -n1 o; s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/results/$1/u.json" | grep -oE '"refusals":.*\],"w' | cut -c1-300; }
echo "undoable, before: $(undo u0)"
if as acme t -d $K -c "UPDATE t SET i = 666" >/dev/null 2>&1; then outcome "rows of the previous database" "changed by the tenant"; else outcome "rows of the previous database" held; fi
if as acme t -d acme -c "COMMENT ON DATABASE $K IS NULL" >/dev/null 2>&1; then outcome "mark of the previous database" "taken off by the tenant"; else outcome "mark of the previous database" held; fi
echo "undoable, without the mark: $(undo u1)"
"$SENNIGHT" drop-database --storage "$ST" --job-uid cl --task '{"name":"c","requestUid":"'$RUID'","database":'"$(db restore acme)"',"databaseToDrop":{"name":"'$K'","number":'"$kept"',"mark":"Previous"},"safetyBackup":'"$(backupref acme)"'}' >o 2>&1 && echo "clear rc=0" || { echo "clear rc=$?"; grep -a -o '"reason".*' o | cut -c1-300; }
echo "the tenant says that it is dropped by somebody else: $(as acme t -d acme -c "COMMENT ON DATABASE $K IS 'sennight.dev/kept=$RUID not-by=11111111-cccc-4bbb-8ccc-1234567890ab'" 2>&1 && echo done)"
echo "undoable, with a forged not-by: $(undo u2)"
if as acme t -d acme -c "DROP DATABASE $K" >/dev/null 2>&1; then outcome "previous database" "dropped by the tenant"; else outcome "previous database" held; fi
echo "undoable: $(undo u3)"
