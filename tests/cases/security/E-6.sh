#!/usr/bin/env bash
# E-6 (S-06): a forged, unsigned backup: whoever can write to the bucket has SQL as the restore role; what keys and pins change.
# Right: a forged backup is refused, and nothing in it runs.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
setup
as acme t -d acme -c "CREATE TABLE t(i int); INSERT INTO t VALUES (1),(2)"
dump acme >/dev/null 2>&1
ID=$(newest acme); PRE=daily/n/acme/$ID
get() { s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/$PRE/$1" -o "$2"; }
put() { s3curl -T "$2" "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/$PRE/$1"; }
get manifest.json m0.json; cp m0.json honest.json
PIN=$(sha256sum m0.json | cut -d' ' -f1)
say "the forger: bucket access only; makes an archive anywhere, recomputes every digest"
adm -d postgres -c "CREATE DATABASE forge"
adm -d forge <<'SQL'
CREATE FUNCTION public.ck(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  RAISE LOG 'OWNED-6 as % super=%', current_user, pg_catalog.current_setting('is_superuser');
  RETURN true; END $$;
CREATE TABLE public.t(i int CHECK (public.ck(i)));
ALTER TABLE public.t OWNER TO acme; ALTER FUNCTION public.ck(int) OWNER TO acme;
SQL
PGUSER=$SENNIGHT_TEST_PG_USER PGPASSWORD=$SENNIGHT_TEST_PG_PASSWORD pg_dump -Fc -s -d forge -f forged.pgdump
python3 - <<'PY'
import json, hashlib
raw = open('m0.json','rb').read(); m = json.loads(raw)
a = open('forged.pgdump','rb').read()
old = m['schema']['length']
m['schema']['length'] = len(a); m['schema']['sha256'] = hashlib.sha256(a).hexdigest()
m['totals']['storedBytes'] += len(a) - old
m.pop('sha256'); m.pop('mac')
body = json.dumps(m, separators=(',',':'), ensure_ascii=False).encode()[:-1] + b',"mac":null'
open('forged.json','wb').write(body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}')
PY
put schema.pgdump forged.pgdump; put manifest.json forged.json
try() { # LABEL STORAGE COPYEXTRA VERB
  local st=$ST; ST=$2; local n; n=$(grep -ac OWNED-6 "$PGLOG" || true)
  adm -d postgres -c "DROP DATABASE IF EXISTS acme__r0f3b2c1daaaa WITH (FORCE)" 2>/dev/null
  local task='{"name":"r","requestUid":"'"$RUID"'","identity":'"$(id acme)"',"backup":{"prefix":"'$PRE'/","id":"'$ID'"'"$3"'},"database":'"$(db restore acme)"',"parallelism":2}'
  "$SENNIGHT" "$4" --storage "$ST" --task "$task" >o 2>&1 && rc=0 || rc=$?
  outcome "forged backup, $(echo $1)" "$(who OWNED-6 "$n")"
  echo "$1: $4 rc=$rc; $(grep -a ERROR o | sed 's/.*reason=/reason=/' | cut -c1-170) calls as the restore role: $(( $(grep -ac OWNED-6 "$PGLOG" || true) - n ))"
  ST=$st
}
keys() { echo "${ST%\}},\"manifestKeys\":{\"dir\":\"$W/keys\",\"current\":\"k1\",\"required\":$1}}"; }
mkdir keys; head -c 40 /dev/urandom | base64 -w0 >keys/k1
try "no keys, no pin              " "$ST" "" prepare
try "no keys, pinned manifest" "$ST" ',"manifestSha256":"'$PIN'"' prepare
try "keys required                " "$(keys true)" "" prepare
try "keys, required: false        " "$(keys false)" "" prepare
"$SENNIGHT" verify --storage "$ST" --task '{"name":"v","backup":{"prefix":"'$PRE'/","id":"'$ID'"}}' >o 2>&1 && echo "verify without keys: rc=0 (a forged backup is 'whole')" || { echo "verify rc=$?"; grep -a ERROR o; }
grep -a OWNED-6 "$PGLOG" | tail -n 1 || true
