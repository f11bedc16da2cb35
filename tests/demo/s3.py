#!/usr/bin/env python3
"""s3.py METHOD PATH[?QUERY] < body > answer: one signed request to the S3 server of $S3_ENDPOINT, with the keys of $S3_KEY and
$S3_SECRET. Python's own library only: the demo must not need an AWS client, and Debian 12's curl signs queries wrongly."""
import base64
import datetime
import hashlib
import hmac
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

method, target = sys.argv[1:3]
path, _, query = target.partition("?")
body = b"" if sys.stdin.isatty() or method == "GET" else sys.stdin.buffer.read()
endpoint = os.environ["S3_ENDPOINT"]
now = datetime.datetime.now(datetime.timezone.utc)
day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
digest = hashlib.sha256(body).hexdigest()
pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
query = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in pairs)
headers = {"host": endpoint.split("//")[1], "x-amz-content-sha256": digest, "x-amz-date": stamp}
names = ";".join(sorted(headers))
path = "/" + urllib.parse.quote(path)
canonical = "\n".join([method, path, query, *(f"{k}:{headers[k]}" for k in sorted(headers)), "", names, digest])
scope = f"{day}/us-east-1/s3/aws4_request"
text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
key = ("AWS4" + os.environ["S3_SECRET"]).encode()
for part in scope.split("/"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={os.environ['S3_KEY']}/{scope}, SignedHeaders={names}, Signature={signature}"
headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
request = urllib.request.Request(f"{endpoint}{path}{'?' + query if query else ''}", data=body or None, method=method, headers=headers)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(request, timeout=60) as answer:
        sys.stdout.buffer.write(answer.read())
except urllib.error.HTTPError as error:
    sys.exit(f"{method} {target}: {error.code} {error.read().decode(errors='replace')}")
