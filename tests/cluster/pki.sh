# shellcheck shell=bash
# One throw-away certificate authority a run directory, for the cluster, the database and their clients. Source after lib.sh.

# new_key FILE
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null && chmod 600 "$1"; }

make_ca() {
  [ -f "$RUN/pki/ca.crt" ] && return
  new_key "$RUN/pki/ca.key"
  openssl req -x509 -new -key "$RUN/pki/ca.key" -out "$RUN/pki/ca.crt" -days 30 -subj /CN=sennight-test-ca \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}

# cert NAME SUBJECT SAN: $RUN/pki/NAME.{key,crt}, for servers and clients alike
cert() {
  local out=$RUN/pki/$1
  [ -f "$out.crt" ] && return
  new_key "$out.key"
  openssl req -new -key "$out.key" -out "$out.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$out.csr" -CA "$RUN/pki/ca.crt" -CAkey "$RUN/pki/ca.key" -set_serial "0x$(openssl rand -hex 12)" -days 30 \
    -out "$out.crt" -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
  rm -f "$out.csr"
}

# kubeconfig CERT_NAME SERVER: prints one, everything embedded
kubeconfig() {
  b64() { base64 -w0 <"$RUN/pki/$1"; }
  cat <<Y
apiVersion: v1
kind: Config
current-context: sennight
clusters:
- name: sennight
  cluster: {server: "$2", certificate-authority-data: "$(b64 ca.crt)"}
contexts:
- name: sennight
  context: {cluster: sennight, user: "$1"}
users:
- name: "$1"
  user: {client-certificate-data: "$(b64 "$1.crt")", client-key-data: "$(b64 "$1.key")"}
Y
}
