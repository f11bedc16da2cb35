#!/usr/bin/env bash
# E-13 (S-16) and E-8 (S-08): what a BackupStorage does to what others keep in the bucket. Needs the API tier.
# Objects are made old by MinIO's replication headers (an administrator's right), so that no clock is moved.
# servers: api
# Right: what Sennight did not write stays; one place in a bucket has one owner, whatever its spelling.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
TREE=$(cd "$(dirname "$0")/../../.." && pwd)
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
K=${SENNIGHT_TEST_KUBECTL:?run me under with.sh api}
k() { "$K" "$@"; }
k apply --server-side -f "$TREE/crds" >/dev/null
for ns in a b; do k create namespace $ns >/dev/null; k -n $ns create secret generic s3 --from-literal=AWS_ACCESS_KEY_ID="$SENNIGHT_TEST_S3_ACCESS_KEY" --from-literal=AWS_SECRET_ACCESS_KEY="$SENNIGHT_TEST_S3_SECRET_KEY" >/dev/null; done
PORT=${SENNIGHT_TEST_S3_ENDPOINT##*:}
old() { # KEY DAYS: an object of that age
  echo "x" >obj; curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user "$SENNIGHT_TEST_S3_ACCESS_KEY:$SENNIGHT_TEST_S3_SECRET_KEY" -H "X-Minio-Source-Replication-Request: true" -H "X-Minio-Source-Mtime: $(date -u -d "-$2 days" +%Y-%m-%dT%H:%M:%S.000000000Z)" -T obj "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/$1"; }
keys() { s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET?list-type=2&prefix=$1" | grep -oE '<Key>[^<]*</Key><LastModified>[^<]{10}' | sed 's/<[^>]*>/ /g' | tr '\n' ';'; echo; }
say "E-13: a bucket with other people's folders; a BackupStorage without prefix"
for f in exports/q3-report.csv audit/2024-invoices.pdf results/lab.csv safety/instructions.pdf claims/damage.pdf daily/notes.txt other/x; do old "$f" 500; done
echo "before: $(keys '')"
storage() { # NS NAME JSON
  echo '{"apiVersion":"sennight.dev/v1alpha1","kind":"BackupStorage","metadata":{"name":"'"$2"'","namespace":"'"$1"'"},"spec":'"$3"'}' | k apply -f - ; }
"$SENNIGHT" operator --worker-image=none --metrics-addr=127.0.0.1:0 --namespace=a --watch-namespaces=a,b --identity=t4 --patrol-interval=5s --storage-interval=5s >op.log 2>&1 & OP=$!
trap 'kill $OP 2>/dev/null; rm -rf "$W"' EXIT
storage a main '{"bucket":"'"$BUCKET"'","endpoint":"http://127.0.0.1:'"$PORT"'","forcePathStyle":true,"credentialsSecretRef":{"name":"s3"},"retention":{"days":7}}'
k -n a wait bstore/main --for=condition=Ready --timeout=60s || { k -n a get bstore main -o yaml | tail -n 30; tail -n 5 op.log; }
k -n a get bstore main -o json | python3 -c "import json,sys; s=json.load(sys.stdin)['status']; print('conditions:', [(c['type'], c['status'], c['reason']) for c in s['conditions']]); print({k: v for k, v in s.items() if 'ule' in k})"
s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET?lifecycle=" | python3 -c "
import sys,re
for r in re.findall(r'<Rule>.*?</Rule>', sys.stdin.read()):
    g=lambda t:(re.search(f'<{t}>([^<]*)</{t}>', r) or [None,''])[1]
    print('  rule', g('ID'), 'prefix', repr(g('Prefix')), 'days', g('Days'), 'tag', g('Key'))"
for _ in $(seq 15); do sleep 2; left=$(keys ''); case $left in *exports*|*results*|*audit*|*claims*|*safety*) ;; *) break;; esac; done
held "objects of others in the bucket" "deleted" test "$(keys '' | grep -oE 'exports/q3|audit/2024|results/lab|safety/inst|claims/damage|daily/notes|other/x' | sort -u | wc -l)" = 7
echo "after:  $(keys '')"
k -n a delete bstore main --wait=false >/dev/null

say "E-8: two namespaces, one place, two spellings"
BUCKET=sec2-$RANDOM$RANDOM; s3curl -X PUT "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET"
setup
as acme t -d acme -c "CREATE TABLE t(i int); INSERT INTO t VALUES (1)"
ST='{"bucket":"'$BUCKET'","prefix":"p","endpoint":"'$SENNIGHT_TEST_S3_ENDPOINT'","forcePathStyle":true,"credentialsDir":"'$W'/s3"}'
"$SENNIGHT" dump --storage "$ST" --task '{"name":"acme","identity":{"namespace":"a","schedule":"acme","tenant":"acme","engine":"PostgreSQL","database":"acme"},"database":'"$(db dump acme)"',"timeZone":"UTC"}' >o 2>&1 || tail -n1 o
# the same backup, three days old: directory name and objects
new=$(keys p%2Fdaily%2F | grep -oE 'acme/[0-9TZ]+-[0-9a-f]+' | head -n1 | cut -d/ -f2); oldid=$(date -u -d '-3 days' +%Y%m%dT021000Z)-${new##*-}
for f in $(s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET?list-type=2&prefix=p%2Fdaily%2F" | grep -oE '<Key>[^<]*' | sed 's/<Key>//'); do
  s3curl "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/$f" -o obj
  if [[ $f = *manifest.json ]]; then python3 - "$new" "$oldid" <<'PY'
import sys,hashlib
b=open('obj','rb').read()[:-77].replace(sys.argv[1].encode(),sys.argv[2].encode())
open('obj','wb').write(b+b',"sha256":"'+hashlib.sha256(b).hexdigest().encode()+b'"}')
PY
  fi
  curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user "$SENNIGHT_TEST_S3_ACCESS_KEY:$SENNIGHT_TEST_S3_SECRET_KEY" -H "X-Minio-Source-Replication-Request: true" -H "X-Minio-Source-Mtime: $(date -u -d "-3 days" +%Y-%m-%dT%H:%M:%S.000000000Z)" -T obj "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/${f/$new/$oldid}"
  echo '<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>retain</Key><Value>daily</Value></Tag></TagSet></Tagging>' >tags; s3curl -T tags "$SENNIGHT_TEST_S3_ENDPOINT/$BUCKET/${f/$new/$oldid}?tagging="
done
storage a prod '{"bucket":"'"$BUCKET"'","prefix":"p","endpoint":"http://127.0.0.1:'"$PORT"'","forcePathStyle":true,"credentialsSecretRef":{"name":"s3"},"retention":{"days":7}}'
k -n a wait bstore/prod --for=condition=Ready --timeout=60s
echo "backups of namespace a: $("$SENNIGHT" catalogue --bucket "$BUCKET" --prefix p --endpoint "$SENNIGHT_TEST_S3_ENDPOINT" --path-style --credentials-dir s3 -o json | grep -oE '"(id|state)": ?"[^"]*"' | tr '\n' ' ')"
sleep 2; storage b same '{"bucket":"'"$BUCKET"'","prefix":"p","endpoint":"http://127.0.0.1:'"$PORT"'","forcePathStyle":true,"credentialsSecretRef":{"name":"s3"},"retention":{"days":1},"lifecycle":{"mode":"Sweep"}}'
sleep 3; k -n b get bstore same -o json | python3 -c "import json,sys; s=json.load(sys.stdin).get('status',{}); print('same spelling:  ', [(c['type'], c['status'], c['reason'], c['message'][:160]) for c in s.get('conditions',[]) if c['type']=='Ready'])"
k -n b delete bstore same >/dev/null; sleep 1; storage b other '{"bucket":"'"$BUCKET"'","prefix":"p","endpoint":"http://localhost:'"$PORT"'","forcePathStyle":true,"credentialsSecretRef":{"name":"s3"},"retention":{"days":1},"lifecycle":{"mode":"Sweep"}}'
sleep 3; k -n b get bstore other -o json | python3 -c "import json,sys; s=json.load(sys.stdin).get('status',{}); print('other spelling: ', [(c['type'], c['status'], c['reason'], c['message'][:160]) for c in s.get('conditions',[]) if c['type']=='Ready'])"
for _ in $(seq 25); do sleep 2; found=$(keys p%2Fdaily%2F); case $found in *$oldid*) ;; *) break;; esac; done
case $found in *$oldid*) outcome "backups of another namespace, by another spelling" held ;; *) outcome "backups of another namespace, by another spelling" "deleted" ;; esac
echo "backups of namespace a after patrols of namespace b's storage: $("$SENNIGHT" catalogue --bucket "$BUCKET" --prefix p --endpoint "$SENNIGHT_TEST_S3_ENDPOINT" --path-style --credentials-dir s3 -o json | grep -oE '"(id|state)": ?"[^"]*"' | tr '\n' ' ')"
grep -aE 'swept|deleted|patrol' op.log | tail -n 3 | cut -c1-250 || true
