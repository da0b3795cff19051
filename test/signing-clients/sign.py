# python3 sign.py POST /api/scans/trigger/prod '{"ref":"main"}'
import hashlib, hmac, os, secrets, sys, time
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

gate, token = urlsplit(os.environ["GATE_URL"]), os.environ["CONTROLINFRA_TOKEN"]
method, path = sys.argv[1:3]  # the path with its query, percent-encoded: it is sent as it stands
body = sys.argv[3].encode() if len(sys.argv) > 3 else b""

timestamp = str(int(time.time() * 1000))  # milliseconds
nonce = secrets.token_hex(16)  # new for every attempt
body_hash = hashlib.sha256(body).hexdigest()  # of the bytes that are sent
text = f"{timestamp}:{nonce}:{method}:{path}:{body_hash}"
signature = hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()

headers = {
    "Authorization": f"Bearer {token}",
    "x-cli-signature": signature,
    "x-cli-timestamp": timestamp,
    "x-cli-nonce": nonce,
}
if body:
    headers["Content-Type"] = "application/json"
connect = HTTPSConnection if gate.scheme == "https" else HTTPConnection
connection = connect(gate.hostname, gate.port)
connection.request(method, path, body or None, headers)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
