import { execFileSync, spawnSync } from 'node:child_process'
import t from 'tap'
import { signatureLines, startSignedGate } from './signed-gate.ts'
import { TIMESTAMP, TOKEN, type Vector, VECTORS } from './vectors.ts'

function linesOf({ nonce, signature, contentType }: Vector): string {
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  return `x-cli-signature: ${signature}\r\nx-cli-timestamp: ${TIMESTAMP}\r\nx-cli-nonce: ${nonce}\r\n${type}`
}

t.test('each known request passes once, with the body that was signed', async t => {
  const { proxy, send, token } = await startSignedGate(t)
  for (const vector of VECTORS) {
    const { name, method, target, body } = vector
    const framing = body ?? (method === 'POST' ? '' : undefined)
    const request = {
      method,
      target,
      headers: linesOf(vector),
      ...(framing === undefined ? {} : { body: framing })
    }
    const answer = await send(request)
    t.equal(answer?.status, 200, `${name}: ${answer?.body}`)
    const seen = proxy.upstream.last()
    t.equal(seen.target, target, name)
    const forwarded = Buffer.from(vector.forwarded ?? body ?? '')
    t.same(seen.body, forwarded, name)
    if (body) t.same(seen.all('content-length'), [String(forwarded.length)], name)
    t.same(seen.all('x-ci-signed'), ['true'])
    t.same(seen.all('x-ci-token-id'), [token.id])
    t.same(
      seen.headers.filter(([header]) => header.startsWith('x-cli-')),
      []
    )

    const before = proxy.upstream.begun
    const again = await send(request)
    t.match(again, {
      status: 401,
      json: { error: 'Nonce has already been used', code: 'INVALID_SIGNATURE' }
    })
    t.equal(proxy.upstream.begun, before)
  }
})

t.test('a signature in upper case is the same signature', async t => {
  const { send } = await startSignedGate(t)
  const [vector] = VECTORS
  if (!vector) throw new Error('no vector')
  const headers = linesOf({ ...vector, signature: vector.signature.toUpperCase() })
  t.equal((await send({ headers }))?.status, 200)
})

/** The text that is signed, and the signature that another program gives for it. */
const PYTHON = `
import hashlib, hmac, sys
token, timestamp, nonce, method, path, body = sys.argv[1:]
digest = hashlib.sha256(bytes.fromhex(body)).hexdigest()
text = f"{timestamp}:{nonce}:{method}:{path}:{digest}"
print(hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest())`

const hasPython = spawnSync('python3', ['--version']).status === 0

t.test(
  'Python computes the same signatures',
  { skip: hasPython ? false : 'no python3' },
  async t => {
    for (const { name, method, target, signedPath, nonce, body, forwarded, signature } of VECTORS) {
      const hex = Buffer.from(forwarded ?? body ?? '').toString('hex')
      const args = [TOKEN, TIMESTAMP, nonce, method, signedPath ?? target, hex]
      const printed = execFileSync('python3', ['-c', PYTHON, ...args], { encoding: 'utf8' })
      t.equal(printed.trim(), signature, name)
    }
  }
)

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

t.test(
  'openssl computes the same signatures',
  { skip: hasOpenssl ? false : 'no openssl' },
  async t => {
    const digest = (input: string | Uint8Array, ...args: readonly string[]) =>
      execFileSync('openssl', ['dgst', '-sha256', '-r', ...args], {
        input,
        encoding: 'utf8'
      }).slice(0, 64)
    for (const { name, method, target, signedPath, nonce, body, forwarded, signature } of VECTORS) {
      const hash = digest(forwarded ?? body ?? '')
      const text = `${TIMESTAMP}:${nonce}:${method}:${signedPath ?? target}:${hash}`
      t.equal(digest(text, '-hmac', TOKEN), signature, name)
    }
  }
)

t.test('the guide’s sample, as it is written there, passes', async t => {
  const { send } = await startSignedGate(t)
  // JSON.stringify(undefined) is undefined, so no body is the hash of the empty string.
  const body = JSON.stringify({ ref: 'main' })
  const method = 'POST'
  const path = '/api/scans/trigger/prod'
  const headers = `${signatureLines({ method, path, body })}Content-Type: application/json\r\n`
  t.equal((await send({ method, target: path, headers, body }))?.status, 200)
  t.equal((await send({ headers: signatureLines() }))?.status, 200)
})
