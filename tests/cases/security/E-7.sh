#!/usr/bin/env bash
# E-7 (S-31, S-32): MariaDB 10.11. Run with SENNIGHT_MYSQL=mariadb-10.11.
# servers: mariadb
# Right: a restore locks no account of another tenant, and ends none of its sessions.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/cases/lib-mysql.sh
. "$(dirname "$0")/../lib-mysql.sh"
msetup
my acme t acme -e "CREATE TABLE t(i int primary key); INSERT INTO t VALUES (1),(2)"
mdump acme >o 2>&1 || { cat o; exit 1; }
say "(a) the fence as a weapon: acme, who has GRANT OPTION on its database, grants it to others"
JOB=pf0 mpreflight acme >o 2>&1 || cat o; echo "before:        $(report pf0 r | python3 -c "import json,sys;d=json.load(sys.stdin);print([w for w in json.dumps(d).split('\"') if 'lock' in w])")"
my acme t -e "GRANT SELECT ON acme.* TO bcorp@'127.0.0.1'" && echo "GRANT to bcorp: allowed"
JOB=pf1 mpreflight acme >o 2>&1 || cat o
report pf1 r >pf1
held "fence of a restore" "has another tenant's account" sh -c "! grep -q 'bcorp@' pf1"; echo "after bcorp:   $(report pf1 r | python3 -c "import json,sys;d=json.load(sys.stdin);print([w for w in json.dumps(d).split('\"') if 'lock' in w])")"
echo "GRANT to PUBLIC by acme, nobody having used PUBLIC before: $(my acme t -e "GRANT SELECT ON acme.* TO PUBLIC" 2>&1 | tail -n1)"
root -e "CREATE USER third@'127.0.0.1' IDENTIFIED BY 'x'; CREATE DATABASE third; GRANT ALL ON third.* TO third@'127.0.0.1'"
root -e "GRANT USAGE ON *.* TO PUBLIC"
echo "GRANT to PUBLIC by acme, after an administrator once granted something to PUBLIC: $(my acme t -e "GRANT SELECT ON acme.* TO PUBLIC" 2>&1 | tail -n1)"
JOB=pf2 mpreflight acme >o 2>&1 || cat o; echo "after PUBLIC:  $(report pf2 r | python3 -c "import json,sys;d=json.load(sys.stdin);print([w for w in json.dumps(d).split('\"') if 'are locked and' in w])")"
mprepare acme >o 2>&1 && echo "prepare rc=0" || { echo "prepare rc=$?"; tail -n1 o | cut -c1-300; }
rm -f stop_probe; : >login.bad; : >login.err
for i in $(seq 20); do (my bcorp b bcorp -e "SELECT SLEEP(20)" >/dev/null 2>"b$i.err") & done
(my sennight_dump d acme -e "SELECT SLEEP(20)" >/dev/null 2>dumpacct.err) &
(for i in $(seq 1 300); do [ -f stop_probe ] && break; my bcorp b bcorp -e "SELECT 1" >/dev/null 2>>login.err || date +%s.%N >>login.bad; done) & pr=$!
sleep 1
mcutover acme >o 2>&1 && echo "cutover rc=0" || { echo "cutover rc=$?"; tail -n1 o | cut -c1-300; }
touch stop_probe; wait $pr || true; wait || true
held "sessions of another tenant" ended sh -c "! grep -q . b1.err"
held "sessions of the dump account" ended sh -c "! grep -q . dumpacct.err"
echo "bcorp's 20 open sessions (working on bcorp only): $(cat b*.err | sort | uniq -c | head -n 3)"
echo "bcorp's logins refused meanwhile: $(wc -l <login.bad); $(sed 's/ at line.*//' login.err | sort | uniq -c | head -n 3)"
echo "a session of the dump account: $(cat dumpacct.err)"
