// node sign.mjs POST /api/scans/trigger/prod '{"ref":"main"}'
import { createHash, createHmac, randomBytes } from 'node:crypto'

const { GATE_URL, CONTROLINFRA_TOKEN: token } = process.env
const [method, target, body = ''] = process.argv.slice(2)
const url = new URL(target, GATE_URL)

const timestamp = String(Date.now()) // milliseconds
const nonce = randomBytes(16).toString('hex') // new for every attempt
const path = url.pathname + url.search // exactly what goes on the request line
const bodyHash = createHash('sha256').update(body).digest('hex') // of the bytes that are sent
const signature = createHmac('sha256', token)
  .update(`${timestamp}:${nonce}:${method}:${path}:${bodyHash}`)
  .digest('hex')

const answer = await fetch(url, {
  method,
  body: body || undefined,
  headers: {
    authorization: `Bearer ${token}`,
    'x-cli-signature': signature,
    'x-cli-timestamp': timestamp,
    'x-cli-nonce': nonce,
    ...(body && { 'content-type': 'application/json' })
  }
})
console.log(answer.status, await answer.text())
