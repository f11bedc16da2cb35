#!/usr/bin/env bash
# E-14 (S-09, S-17): a "server" that asks for the password in clear gets it.
# Right: a server that asks for the password in clear does not get it.
# shellcheck disable=SC2002,SC2005,SC2010,SC2015,SC2028,SC2034,SC2086,SC2094,SC2116,SC2155,SC1010
# shellcheck source=tests/cases/lib.sh
. "$(dirname "$0")/../lib.sh"
openssl req -x509 -newkey rsa:2048 -nodes -keyout cak.pem -out ca.pem -days 1 -subj /CN=thief-ca 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout k.pem -out c.csr -subj /CN=localhost 2>/dev/null
openssl x509 -req -in c.csr -CA ca.pem -CAkey cak.pem -CAcreateserial -days 1 -out c.pem -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") 2>/dev/null
cat >thief.py <<'PY'
import socket, ssl, struct, sys
tls = sys.argv[1] == 'tls'
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 0)); s.listen(5)
print('listening', s.getsockname()[1], flush=True)
def read(c, n):
    b = b''
    while len(b) < n:
        d = c.recv(n - len(b))
        if not d: raise EOFError
        b += d
    return b
while True:
    c, _ = s.accept()
    try:
        n, code = struct.unpack('>II', read(c, 8))
        if code == 80877103:               # SSLRequest
            if not tls: c.sendall(b'N'); c.close(); print('asked for TLS, said no', flush=True); continue
            c.sendall(b'S'); ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain('c.pem', 'k.pem'); c = ctx.wrap_socket(c, server_side=True)
            n, code = struct.unpack('>II', read(c, 8))
        startup = read(c, n - 8)
        print('startup', startup.replace(b'\0', b' ')[:80], flush=True)
        c.sendall(b'R' + struct.pack('>II', 8, 3))            # AuthenticationCleartextPassword
        t = read(c, 1); n = struct.unpack('>I', read(c, 4))[0]
        print('PASSWORD', read(c, n - 4).rstrip(b'\0').decode(), flush=True); c.close()
    except Exception as e: print('end', type(e).__name__, e, flush=True); c.close()
PY
# the Secret is another application's: it says for which host, and the DatabaseServer's author cannot change that
printf db.other-application.svc >dump/host
printf app >dump/username; printf 'hunter2-of-another-application' >dump/password
try() { # LABEL plain|tls TLSJSON
  local port
  say "$1"; python3 thief.py "$2" >thief.out 2>&1 & t=$!; for _ in $(seq 100); do grep -q listening thief.out && break; sleep 0.1; done; port=$(awk '/listening/ { print $2 }' thief.out)
  "$SENNIGHT" dump --storage "$ST" --task '{"name":"acme","identity":'"$(id acme)"',"database":{"engine":"PostgreSQL","host":"127.0.0.1","port":'"$port"',"database":"acme","tls":'"$3"',"credentialsDir":"'"$W"'/dump"},"timeZone":"UTC"}' >o 2>&1 || true
  kill $t; wait $t 2>/dev/null || true
  held "$1" "the password was told" sh -c "! grep -q PASSWORD thief.out"
  cat thief.out; grep -a ERROR o | cut -c1-220
}
try "tls.mode Disable" plain '{"mode":"Disable"}'
try "tls.mode Require, any certificate" tls '{"mode":"Require"}'
try "tls.mode VerifyFull, the attacker's own CA in caFile" tls '{"mode":"VerifyFull","caFile":"'"$W"'/ca.pem"}'
try "tls.mode VerifyFull, the right CA" tls '{"mode":"VerifyFull","caFile":"'"$PGSSLROOTCERT"'"}'
# the Secret is for this very host, and somebody else answers there
printf 127.0.0.1 >dump/host
try "tls.mode Disable, a Secret for this host" plain '{"mode":"Disable"}'
try "tls.mode Require, a Secret for this host" tls '{"mode":"Require"}'
