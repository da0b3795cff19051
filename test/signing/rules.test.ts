import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import { NOW, signatureLines, startSignedGate, type ToSend } from './signed-gate.ts'
import { TOKEN } from './vectors.ts'

const PATH = '/api/scans/dashboard'
const TRIGGER = '/api/scans/trigger/prod'
const JSON_LINE = 'Content-Type: application/json\r\n'

function refusal(error: string) {
  return {
    status: 401,
    json: { message: 'Request signature verification failed', error, code: 'INVALID_SIGNATURE' }
  }
}

t.test('nothing that is signed can be changed on the way', async t => {
  const { proxy, send, claimed } = await startSignedGate(t)
  const signed = { method: 'POST', path: `${TRIGGER}?dry=1`, body: '{"a":1}', nonce: 'one' }
  const good: ToSend = { method: 'POST', target: `${TRIGGER}?dry=1`, body: '{"a":1}' }
  const lines = signatureLines(signed)
  const wrong = refusal('Signature does not match')
  const other = proxy.addToken({ scopes: ['scans:trigger'] })
  for (const change of [
    { method: 'PUT', target: '/api/runners/r-1' },
    { target: '/api/scans/trigger/prod2?dry=1' },
    { body: '{"a":2}' },
    { body: '{"a":1} ' },
    { token: other.text },
    { headers: signatureLines(signed, { 'x-cli-nonce': 'two' }) },
    { headers: signatureLines(signed, { 'x-cli-timestamp': String(NOW + 1) }) },
    { headers: signatureLines(signed, { 'x-cli-signature': '0'.repeat(64) }) }
  ]) {
    const answer = await send({ ...good, headers: lines, ...change })
    t.match(answer, wrong, JSON.stringify(change).slice(0, 60))
  }
  t.equal(proxy.upstream.begun, 0)
  t.same(claimed, [], 'no nonce was used up')
  t.equal((await send({ ...good, headers: lines }))?.status, 200)
})

t.test(
  'one or two of three headers are a signed request that is refused, not an unsigned one',
  async t => {
    const { proxy, send } = await startSignedGate(t)
    const names = ['x-cli-signature', 'x-cli-timestamp', 'x-cli-nonce']
    for (const name of names) {
      const missing = await send({ headers: signatureLines({}, { [name]: undefined }) })
      t.match(missing, refusal('Incomplete signature headers'), `without ${name}`)
      const alone = await send({ headers: `${name}: \r\n` })
      t.match(alone, refusal('Incomplete signature headers'), `${name} alone and empty`)
      const empty = await send({ headers: signatureLines({}, { [name]: '' }) })
      t.match(empty, { status: 401, json: { error: /^Invalid \w+ format$/ } }, `${name} empty`)
      for (const headers of [
        signatureLines() + signatureLines(),
        `${signatureLines()}${name.replaceAll('-', '_')}: 1\r\n`,
        `${signatureLines()}Connection: ${name}\r\n`
      ]) {
        t.match(await send({ headers }), { status: 400, json: { code: 'MALFORMED_REQUEST' } })
      }
    }
    t.equal(proxy.upstream.begun, 0)
  }
)

t.test('the timestamp is thirteen digits within five minutes, either way', async t => {
  const { send } = await startSignedGate(t)
  for (const off of [300_000, -300_000]) {
    const headers = signatureLines({ timestamp: String(NOW + off) })
    t.equal((await send({ headers }))?.status, 200, `${off}`)
  }
  for (const off of [300_001, -300_001]) {
    const headers = signatureLines({ timestamp: String(NOW + off) })
    t.match(await send({ headers }), refusal('Request timestamp too old or too far in future'))
  }
  const shapes = ['1767225600', '1.7672256e12', '0x19b76c36400', '+1767225600000', '17672256 00000']
  for (const timestamp of [...shapes, '176722560000', '17672256000000', '١٧٦٧٢٢٥٦٠٠٠٠٠']) {
    const latin = Buffer.from(timestamp).toString('latin1')
    const headers = signatureLines({ timestamp: latin })
    t.match(await send({ headers }), refusal('Invalid timestamp format'), timestamp)
  }
})

t.test('a nonce is 1 to 128 characters, and no colon', async t => {
  const { send, claimed } = await startSignedGate(t)
  t.equal((await send({ headers: signatureLines({ nonce: 'n'.repeat(128) }) }))?.status, 200)
  for (const nonce of ['n'.repeat(129), 'a:b', 'a b', 'a,b', 'ä']) {
    const latin = Buffer.from(nonce).toString('latin1')
    const answer = await send({ headers: signatureLines({ nonce: latin }) })
    t.match(answer, refusal('Invalid nonce format'), nonce)
  }
  t.same(claimed.length, 1)
})

t.test('a colon in a nonce would make one signature good for two requests', async t => {
  const { send, proxy } = await startSignedGate(t)
  // "n" GET "/api/x:POST:/api/y" and "n:GET:/api/x" POST "/api/y" sign one text.
  const target = `/api/repo-configs/x:POST:${TRIGGER}`
  const lines = signatureLines({ path: target, nonce: 'n' })
  const moved = lines.replace('x-cli-nonce: n\r\n', 'x-cli-nonce: n:GET:/api/repo-configs/x\r\n')
  t.match(
    await send({ method: 'POST', target: TRIGGER, headers: moved }),
    refusal('Invalid nonce format')
  )
  t.equal(proxy.upstream.begun, 0)
})

t.test('a nonce is used up once, for its token, whatever else it comes with', async t => {
  const { send, proxy } = await startSignedGate(t)
  const used = refusal('Nonce has already been used')
  const headers = signatureLines({ nonce: 'mine' })
  t.equal((await send({ headers }))?.status, 200)
  t.match(await send({ headers }), used)
  const elsewhere = signatureLines({ path: '/api/drifts', nonce: 'mine' })
  t.match(await send({ target: '/api/drifts', headers: elsewhere }), used, 'with another path')
  const other = proxy.addToken({ scopes: ['scans:read'], expiresAtMs: null })
  const theirs = signatureLines({ nonce: 'mine', token: other.text })
  t.equal((await send({ token: other.text, headers: theirs }))?.status, 200, 'of another token')
  const many = await Promise.all(
    Array.from({ length: 50 }, () => send({ headers: signatureLines({ nonce: 'many' }) }))
  )
  t.equal(many.filter(answer => answer?.status === 200).length, 1)
  t.equal(many.filter(answer => answer?.status === 401).length, 49)
})

t.test('a request that is dated ahead cannot be used again while it is fresh', async t => {
  const { send, advance } = await startSignedGate(t)
  const headers = signatureLines({ timestamp: String(NOW + 299_000), nonce: 'ahead' })
  t.equal((await send({ headers }))?.status, 200)
  const used = refusal('Nonce has already been used')
  advance(301_000)
  t.match(await send({ headers }), used)
  advance(297_000)
  t.match(await send({ headers }), used, '598 s later')
  advance(2000)
  t.match(await send({ headers }), refusal('Request timestamp too old or too far in future'))
})

t.test('a signature counts where it is demanded, and unsigned use is told', async t => {
  const demanding = await startSignedGate(t, { requireSignature: true })
  t.match(await demanding.send({}), refusal('Request signature required'))
  t.equal((await demanding.send({ headers: signatureLines() }))?.status, 200)

  const routes = `
version: 1
scopes: { a:read: { title: a } }
routes:
  GET /api/signed: { scope: a:read, signature: required }
  GET /api/free: a:read
  GET /api/user: any-token
  GET /pub: public
`
  const users = { 'a.b.c': { userId: 'u', orgId: null, expiresAtMs: NOW + 60_000 } }
  const { send, proxy } = await startSignedGate(t, { routes, users })
  const token = proxy.addToken({ scopes: ['a:read'], expiresAtMs: null })
  const bearer = { token: token.text }
  t.match(await send({ ...bearer, target: '/api/signed' }), refusal('Request signature required'))
  const signed = signatureLines({ token: token.text, path: '/api/signed' })
  t.equal((await send({ ...bearer, target: '/api/signed', headers: signed }))?.status, 200)
  t.equal((await send({ ...bearer, target: '/api/free' }))?.status, 200)
  t.match(proxy.lines.at(-1), { signed: false, code: 'OK' })
  t.equal(proxy.counts.get('signatures_total unsigned'), 1)
  t.equal(proxy.counts.get('signatures_total required'), 1)

  for (const target of ['/api/user', '/pub']) {
    const answer = await send({ token: 'a.b.c', target, headers: 'x-cli-signature: bad\r\n' })
    t.equal(answer?.status, 200, `${target} with a JWT and a bad signature`)
    const names = proxy.upstream.last().headers.map(([name]) => name)
    t.notOk(names.some(name => name.startsWith('x-cli-')))
  }
})

t.test('the query counts where the setting says so', async t => {
  const target = '/api/drifts/?status=detected'
  const full = () => signatureLines({ path: target })
  const path = () => signatureLines({ path: '/api/drifts/' })
  const either = await startSignedGate(t)
  t.equal((await either.send({ target, headers: full() }))?.status, 200)
  t.equal((await either.send({ target, headers: path() }))?.status, 200)
  t.equal(either.proxy.counts.get('signature_forms_total full none'), 1)
  t.equal(either.proxy.counts.get('signature_forms_total path none'), 1)
  const strict = await startSignedGate(t, { signing: { query: 'required' } })
  const wrong = refusal('Signature does not match')
  t.equal((await strict.send({ target, headers: full() }))?.status, 200)
  t.match(await strict.send({ target, headers: path() }), wrong)
  t.match(await strict.send({ target: '/api/drifts/?status=other', headers: full() }), wrong)
  t.match(await strict.send({ target: `${PATH}?added=1`, headers: signatureLines() }), wrong)
  t.match(
    await strict.send({ target: `${PATH}?`, headers: signatureLines() }),
    wrong,
    'an empty query'
  )
})

t.test('canonical JSON is tried where only one reading is possible', async t => {
  const { send, proxy } = await startSignedGate(t)
  const strict = await startSignedGate(t, { signing: { body: 'raw' } })
  const post = { method: 'POST', target: TRIGGER }
  const canonical = (body: string, headers = JSON_LINE) => {
    let value: unknown = null
    try {
      value = JSON.parse(body.replace('\u{FEFF}', ''))
    } catch {
      // No JSON: whatever is hashed does not match.
    }
    const signed = signatureLines({ ...post, path: TRIGGER, body: JSON.stringify(value) })
    return { ...post, body, headers: signed + headers }
  }
  t.equal((await send(canonical('{ "a": 1 }')))?.status, 200)
  t.equal(proxy.upstream.last().text, '{"a":1}')
  const wrong = refusal('Signature does not match')
  t.match(await strict.send(canonical('{ "a": 1 }')), wrong)
  for (const [body, headers] of [
    ['{ "a": 1, "a": 2 }', JSON_LINE],
    [String.raw`{ "a": 1, "\u0061": 2 }`, JSON_LINE],
    ['\u{FEFF}{ "a": 1 }', JSON_LINE],
    ['{ "__proto__": 1 }', JSON_LINE],
    [`${'['.repeat(65)} ${']'.repeat(65)}`, JSON_LINE],
    ['{ "a": 1 } {}', JSON_LINE],
    ['{ "a": 1 }', 'Content-Type: application/x-www-form-urlencoded\r\n'],
    ['{ "a": 1 }', `${JSON_LINE}Content-Digest: sha-256=:x:\r\n`]
  ] as const) {
    t.match(await send(canonical(body, headers)), wrong, body.slice(0, 40))
    const raw = signatureLines({ ...post, path: TRIGGER, body })
    t.equal((await send({ ...post, body, headers: raw + headers }))?.status, 200, 'signed raw')
    t.equal(proxy.upstream.last().text, body)
  }
})

t.test('GET has no body when it is signed, DELETE may have one', async t => {
  const { send, proxy } = await startSignedGate(t)
  for (const isChunked of [false, true]) {
    const headers = signatureLines({ body: 'null' })
    const answer = await send({ headers, body: 'null', isChunked })
    t.match(answer, { status: 400, json: { code: 'MALFORMED_REQUEST' } })
  }
  const gone = '/api/repo-configs/r1'
  const headers = signatureLines({ method: 'DELETE', path: gone, body: '{"why":"x"}' })
  const answer = await send({ method: 'DELETE', target: gone, headers, body: '{"why":"x"}' })
  t.equal(answer?.status, 200)
  t.equal(proxy.upstream.last().text, '{"why":"x"}')
})

t.test('a signed body has a limit, in itself and with all others', async t => {
  const { send, proxy, claimed } = await startSignedGate(t, { signing: { bodyLimitBytes: 1000 } })
  const post = { method: 'POST', target: TRIGGER }
  const sized = (size: number, isChunked = false) => {
    const body = 'x'.repeat(size)
    return send({
      ...post,
      body,
      isChunked,
      headers: signatureLines({ ...post, path: TRIGGER, body })
    })
  }
  t.equal((await sized(1000))?.status, 200)
  t.equal((await sized(1000, true))?.status, 200)
  for (const isChunked of [false, true]) {
    t.match(await sized(1001, isChunked), { status: 413, json: { code: 'BODY_TOO_LARGE' } })
  }
  const body = 'zipped'
  const headers = `${signatureLines({ ...post, path: TRIGGER, body })}Content-Encoding: gzip\r\n`
  const zipped = await send({ ...post, body, headers })
  t.match(zipped, { status: 415, json: { code: 'UNSUPPORTED_CONTENT_ENCODING' } })
  t.equal(claimed.length, 2)

  // Cut off in the middle: nothing was decided, so nothing is used up.
  const socket = connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  const cut = signatureLines({ ...post, path: TRIGGER, body: 'x'.repeat(100), nonce: 'cut' })
  socket.write(
    `POST ${TRIGGER} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${TOKEN}\r\n${cut}Content-Length: 100\r\n\r\nxxx`
  )
  await new Promise(resolve => setTimeout(resolve, 50))
  socket.destroy()
  await new Promise(resolve => setTimeout(resolve, 50))
  t.notOk(claimed.includes('cut'))
})

t.test('all held bodies of a process are at most 32 MiB', async t => {
  const { send, proxy } = await startSignedGate(t)
  const half = connect(proxy.port, '127.0.0.1')
  const sockets = [half]
  const claim = (socket: typeof half) =>
    socket.write(
      `POST ${TRIGGER} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${TOKEN}\r\n${signatureLines({ method: 'POST', path: TRIGGER })}Content-Length: 1048576\r\n\r\nx`
    )
  claim(half)
  for (let i = 1; i < 32; i++) {
    const socket = connect(proxy.port, '127.0.0.1')
    sockets.push(socket)
    claim(socket)
  }
  await new Promise(resolve => setTimeout(resolve, 300))
  const headers = signatureLines({ method: 'POST', path: TRIGGER, body: 'x' })
  const request = { method: 'POST', target: TRIGGER, body: 'x', headers }
  const refused = await send(request)
  t.match(refused, { status: 503, json: { code: 'OVERLOADED' } })
  t.match(refused?.headers['retry-after'], /^[123]$/)
  t.equal((await send({ method: 'POST', target: TRIGGER, body: 'x' }))?.status, 200, 'unsigned')
  for (const socket of sockets) socket.destroy()
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal((await send(request))?.status, 200, 'there is room again')
})

t.test('a stale request is refused before its body is asked for', async t => {
  const { send } = await startSignedGate(t)
  const headers = signatureLines({
    method: 'POST',
    path: TRIGGER,
    timestamp: String(NOW - 400_000)
  })
  const answer = await send({
    method: 'POST',
    target: TRIGGER,
    headers: `${headers}Expect: 100-continue\r\n`,
    body: 'x'
  })
  t.match(answer, refusal('Request timestamp too old or too far in future'), 'and no 100 before it')
})

t.test('a version that nobody knows is refused', async t => {
  const { send, proxy } = await startSignedGate(t)
  const version = (text: string) => `${signatureLines()}x-cli-signature-version: ${text}\r\n`
  t.match(await send({ headers: version('2') }), refusal('Unsupported signature version'))
  t.equal((await send({ headers: version('1') }))?.status, 200)
  t.same(proxy.upstream.last().all('x-cli-signature-version'), [])
})

t.test('while the clock cannot be trusted a late request is our fault', async t => {
  const { send } = await startSignedGate(t, { isTrusted: false })
  const headers = signatureLines({ timestamp: String(NOW - 300_001) })
  t.match(await send({ headers }), { status: 503, json: { code: 'CLOCK_UNSYNCHRONISED' } })
  t.equal((await send({ headers: signatureLines() }))?.status, 200, 'a fresh one passes')
})

t.test('a nonce store that cannot be asked is 503, and only for signed requests', async t => {
  const code = 'NONCE_STORE_UNAVAILABLE'
  const nonces = { claim: () => Promise.reject(new Fault(code)) }
  const { send, proxy } = await startSignedGate(t, { nonces })
  const answer = await send({ headers: signatureLines() })
  t.match(answer, { status: 503, json: { code } })
  t.equal(answer?.headers['retry-after'], '2')
  t.equal(proxy.upstream.begun, 0)
  t.equal((await send({}))?.status, 200)
})

t.test('a nonce stays used up when the upstream fails', async t => {
  const { send } = await startSignedGate(t, { upstreamUrl: 'http://127.0.0.1:9' })
  const headers = signatureLines({ nonce: 'spent' })
  t.equal((await send({ headers }))?.status, 502)
  t.match(await send({ headers }), refusal('Nonce has already been used'))
  t.equal((await send({ headers: signatureLines({ nonce: 'fresh' }) }))?.status, 502)
})

t.test('a token that is revoked while its signed body is read reaches nobody', async t => {
  const { proxy, token } = await startSignedGate(t)
  const body = 'x'.repeat(100)
  const headers = signatureLines({ method: 'POST', path: TRIGGER, body })
  const socket = connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    `POST ${TRIGGER} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${TOKEN}\r\n${headers}Content-Length: 100\r\n\r\nxxx`
  )
  await new Promise(resolve => setTimeout(resolve, 50))
  proxy.revoke(token)
  socket.write(body.slice(3))
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 401 /)
  t.equal(proxy.upstream.begun, 0)
  socket.destroy()
})
