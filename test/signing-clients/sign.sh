#!/usr/bin/env bash
# ./sign.sh POST /api/scans/trigger/prod '{"ref":"main"}'
# While openssl and curl run, other users of the machine may see the token in the process list.
set -euo pipefail
method=$1 path=$2 body=${3-} # the path with its query, percent-encoded: it is sent as it stands

timestamp=$(date +%s)000       # milliseconds
nonce=$(openssl rand -hex 16)  # new for every attempt
body_hash=$(printf %s "$body" | openssl dgst -sha256 -r | cut -d' ' -f1)
signature=$(printf %s "$timestamp:$nonce:$method:$path:$body_hash" |
  openssl dgst -sha256 -hmac "$CONTROLINFRA_TOKEN" -r | cut -d' ' -f1)

content=()
[ -z "$body" ] || content=(-H 'Content-Type: application/json' --data-binary "$body")
curl -sS --globoff --path-as-is -w '\n%{http_code}\n' -X "$method" "$GATE_URL$path" \
  -H "Authorization: Bearer $CONTROLINFRA_TOKEN" \
  -H "x-cli-signature: $signature" -H "x-cli-timestamp: $timestamp" -H "x-cli-nonce: $nonce" \
  ${content[@]+"${content[@]}"}
