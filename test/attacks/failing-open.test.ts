/** Ways past a decision: remembered ones, half ones, and those that nobody could reach. */
import { createHmac, hash } from 'node:crypto'
import { connect } from 'node:net'
import t from 'tap'
import type { GateDeps } from '../../src/core/gate.ts'
import type { TokenEntry } from '../../src/core/ports.ts'
import { digestToken, makeToken } from '../../src/core/token.ts'
import { eventually } from '../support/gate.ts'
import { loadText } from '../support/routes.ts'
import { sendRaw } from '../support/raw.ts'
import { A, get, J, post, ROUTES, type Row, startRange, tryRows } from './support/rows.ts'

interface Signed {
  readonly token: string
  readonly method: string
  readonly path: string
  readonly body: string
  readonly nonce: string
  readonly timestamp: string
}

function signatureOf({ token, method, path, body, nonce, timestamp }: Signed): string {
  const text = `${timestamp}:${nonce}:${method}:${path}:${hash('sha256', body, 'hex')}`
  return createHmac('sha256', token).update(text).digest('hex')
}

function request(signed: Signed, signature: string): string {
  const { token, method, path, body, nonce, timestamp } = signed
  return (
    `${method} ${path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${token}\r\n` +
    `X-Cli-Timestamp: ${timestamp}\r\nX-Cli-Nonce: ${nonce}\r\nX-Cli-Signature: ${signature}\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`
  )
}

function fresh(token: string, nonce: string, more: Partial<Signed> = {}): Signed {
  const made = { method: 'POST', path: '/api/a/x1?q=x1', body: 'body1', timestamp: `${Date.now()}` }
  return { token, nonce, ...made, ...more }
}

t.test('C1: an allowed request opens no other route', async t => {
  const range = await startRange(t)
  const { proxy, fill } = range
  const allowed = get('/api/a/1', A)
  const other = get('/api/a/special', A)
  for (const send of [[allowed, other], [`${allowed}${other}`]]) {
    const statuses: (number | undefined)[] = []
    for (const part of send) {
      const answered = send.length === 1 ? 2 : 1
      const { answers } = await sendRaw(proxy.port, fill(part), { answers: answered })
      statuses.push(...answers.map(({ status }) => status))
    }
    t.same(statuses, [200, 403], 'CVE-2021-32701 Oathkeeper')
  }
  t.equal(proxy.upstream.begun, 2)
})

/** The text with the lowest bit of one character changed, for each of its characters. */
function flips(text: string): readonly string[] {
  return Array.from(text, (char, i) => {
    const flipped = String.fromCharCode(char.charCodeAt(0) ^ 1)
    return `${text.slice(0, i)}${flipped}${text.slice(i + 1)}`
  })
}

t.test('C11: one bit of a signed request changed is no signed request', async t => {
  const range = await startRange(t)
  const { text: token } = range.a
  const signed = fresh(token, 'abcdefgh0123')
  const signature = signatureOf(signed)
  const change = (part: string, changed: Signed, sent = signature): Row => ({
    name: part,
    send: request(changed, sent),
    status: 401,
    code: 'INVALID_SIGNATURE',
    saw: 0
  })
  const rows: Row[] = [
    ...flips(signed.nonce).map(nonce => change(`nonce ${nonce}`, { ...signed, nonce })),
    ...flips(signed.timestamp)
      .slice(-6)
      .map(timestamp => change(`timestamp ${timestamp}`, { ...signed, timestamp })),
    ...flips(signed.body).map(body => change(`body ${body}`, { ...signed, body })),
    ...flips(signature).map(sent => change(`signature ${sent}`, signed, sent)),
    ...['/api/a/y1?q=x1', '/api/a/x0?q=x1', '/api/a/x1?q=x0', '/api/a/x1?p=x1', '/api/a/x1'].map(
      path => change(path, { ...signed, path })
    ),
    change('a query more', { ...signed, path: `${signed.path}&r` }),
    change('a last slash', { ...signed, path: '/api/a/x1/?q=x1' }),
    change('method', { ...signed, method: 'GET', body: '' })
  ]
  await tryRows(t, range, rows)
  const { answers } = await sendRaw(range.proxy.port, request(signed, signature))
  t.equal(answers[0]?.status, 200, 'none of them has spent the nonce')
})

t.test('C12: a signature is whole, or the request is refused', async t => {
  const range = await startRange(t)
  const { text: token } = range.a
  const signed = fresh(token, 'n1', { path: '/api/signed' })
  const lines = [
    `X-Cli-Timestamp: ${signed.timestamp}\r\n`,
    `X-Cli-Nonce: ${signed.nonce}\r\n`,
    `X-Cli-Signature: ${signatureOf(signed)}\r\n`
  ]
  const empty = lines.map(line => `${line.slice(0, line.indexOf(':'))}:\r\n`)
  const parts = [1, 2, 3, 4, 5, 6].map(set =>
    lines.filter((_, i) => (set & (1 << i)) !== 0).join('')
  )
  const holed = lines.map((_, i) => lines.map((line, j) => (i === j ? empty[i] : line)).join(''))
  const rows = ['/api/signed', '/api/a/1'].flatMap(path =>
    [...parts, ...holed, ...empty].map((some): Row => ({
      name: `downgrade on ${path}: ${JSON.stringify(some)}`,
      send: post(path, `${A}${some}`, signed.body),
      status: 401,
      code: 'INVALID_SIGNATURE',
      saw: 0
    }))
  )
  await tryRows(t, range, [
    ...rows,
    {
      name: 'no signature at all',
      send: post('/api/signed', A, signed.body),
      status: 401,
      code: 'INVALID_SIGNATURE',
      saw: 0
    },
    {
      name: 'the whole one',
      send: post('/api/signed', `${A}${lines.join('')}`, signed.body),
      status: 200,
      saw: 1,
      isOnce: true,
      has: { 'x-ci-signed': ['true'] }
    }
  ])
})

t.test('C8: one signed request passes once, in turn and at once', async t => {
  const range = await startRange(t)
  const { proxy } = range
  const signed = fresh(range.a.text, 'once')
  const twice = request(signed, signatureOf(signed))
  const statusOf = async (send: string) => (await sendRaw(proxy.port, send)).answers[0]?.status
  t.same([await statusOf(twice), await statusOf(twice)], [200, 401], 'apisix#5784')
  const again = fresh(range.a.text, 'at-once')
  const sent = request(again, signatureOf(again))
  const statuses = await Promise.all(Array.from({ length: 50 }, () => statusOf(sent)))
  t.equal(statuses.filter(status => status === 200).length, 1, 'CVE-2026-73636 httpd')
  t.equal(statuses.filter(status => status === 401).length, 49)
  t.equal(proxy.upstream.begun, 2)
})

t.test('C15: nobody learns why a token is refused', async t => {
  const { proxy } = await startRange(t)
  const expired = proxy.addToken({ expiresAtMs: Date.now() - 1000 })
  const revoked = proxy.addToken()
  proxy.revoke(revoked)
  const texts = {
    malformed: `ci_${'a'.repeat(36)}`,
    short: 'ci_',
    unknown: makeToken(n => crypto.getRandomValues(new Uint8Array(n))),
    revoked: revoked.text,
    expired: expired.text
  }
  const told = new Set<string>()
  for (const [name, text] of Object.entries(texts)) {
    const { answers } = await sendRaw(
      proxy.port,
      get('/api/a/1', `Authorization: Bearer ${text}\r\n`)
    )
    t.equal(answers[0]?.status, 401, name)
    const { json = {}, headers = {} } = answers[0] ?? {}
    const { date: _, ...others } = headers
    told.add(JSON.stringify([{ ...json, requestId: '' }, others]))
  }
  t.equal(told.size, 1, [...told].join('\n'))
  t.equal(proxy.upstream.begun, 0)
})

const HOUR_MS = 3_600_000

/** What the gate is made of, of which one function throws what nobody expected. */
function startBreaking() {
  let broken = ''
  const text = makeToken(n => crypto.getRandomValues(new Uint8Array(n)))
  const digest = digestToken(text)
  const { table } = loadText(ROUTES)
  const entry: TokenEntry = {
    row: {
      id: 't1',
      digest,
      preview: 'ci_test…test',
      userId: 'u1',
      orgId: null,
      name: 'ci',
      scopes: ['a:read'],
      repositories: null,
      requireSignature: false,
      createdAtMs: 0,
      lastUsedAtMs: null,
      expiresAtMs: Date.now() + HOUR_MS,
      revokedAtMs: null
    }
  }
  const tell = (name: string) => {
    if (broken === name) throw new Error(`${name} is broken`)
  }
  const tellLater = async (name: string) => tell(name)
  let isCached = true
  const deps: Partial<GateDeps> = {
    routes: () => {
      tell('routes')
      return {
        ...table,
        match: (method, target) => {
          tell('match')
          return table.match(method, target)
        },
        effectiveScopes: scopes => {
          tell('effectiveScopes')
          return table.effectiveScopes(scopes)
        }
      }
    },
    tokens: {
      peek: given => {
        tell('peek')
        return isCached && given === digest ? entry : undefined
      },
      find: given => {
        tell('find')
        const found = given === digest ? entry : 'unknown'
        return tellLater('find, later').then(() => found)
      },
      lapse: () => {
        tell('lapse')
        return undefined
      }
    },
    users: {
      verify: jwt => {
        tell('verify')
        const user = { userId: 'u7', orgId: null, expiresAtMs: Date.now() + HOUR_MS }
        return tellLater('verify, later').then(() => (jwt.includes('.') ? user : 'invalid'))
      }
    },
    uses: { used: () => tell('used') },
    nonces: {
      claim: () => {
        tell('claim')
        return tellLater('claim, later').then(() => 'new' as const)
      }
    },
    clock: {
      nowMs: () => {
        tell('nowMs')
        return Date.now()
      },
      wallMs: () => {
        tell('wallMs')
        return Date.now()
      },
      isTrusted: () => {
        tell('isTrusted')
        return true
      }
    },
    observer: {
      count: () => tell('count'),
      measure: () => tell('measure'),
      gauge: () => tell('gauge')
    }
  }
  return {
    deps,
    text,
    breakOne(name: string, cached: boolean) {
      broken = name
      isCached = cached
    }
  }
}

t.test(
  'C18: whatever is broken, nothing goes on and nobody is told that his token is bad',
  async t => {
    const breaking = startBreaking()
    const range = await startRange(t, { deps: breaking.deps })
    const { proxy } = range
    const auth = `Authorization: Bearer ${breaking.text}\r\n`
    let nonces = 0
    const plain = () => get('/api/a/1', auth)
    const byUser = () => range.fill(get('/api/people', J))
    const signed = (timestamp = Date.now()) => {
      const made = fresh(breaking.text, `n${nonces++}`, { timestamp: `${timestamp}` })
      return request(made, signatureOf(made))
    }
    const stale = () => signed(Date.now() - HOUR_MS)
    const cases = [
      ['routes', plain],
      ['match', plain],
      ['effectiveScopes', plain],
      ['peek', plain],
      ['find', plain],
      ['find, later', plain],
      ['lapse', plain],
      ['lapse', signed],
      ['used', plain],
      ['nowMs', plain],
      ['nowMs', byUser],
      ['nowMs', signed],
      ['count', plain],
      ['count', signed],
      ['measure', signed],
      ['claim', signed],
      ['claim, later', signed],
      ['isTrusted', stale],
      ['verify', byUser],
      ['verify, later', byUser]
    ] as const
    for (const [name, make] of cases) {
      for (const isCached of name.startsWith('find') ? [false] : [true, false]) {
        const { begun } = proxy.upstream
        const bytes = proxy.upstream.raw().join('').length
        breaking.breakOne(name, isCached)
        const { answers } = await sendRaw(proxy.port, make())
        breaking.breakOne('', isCached)
        const what = `CVE-2023-27488 Envoy, ${name}, ${isCached ? 'cached' : 'not cached'}`
        t.match(answers[0], { status: 503, json: { code: 'INTERNAL_ERROR' } }, what)
        t.match(answers[0]?.headers['retry-after'], /^\d+$/, what)
        t.equal(proxy.upstream.begun, begun, `${what}: nothing went on`)
        t.equal(proxy.upstream.raw().join('').length, bytes, `${what}: not one byte`)
        const good = await sendRaw(proxy.port, make === stale ? signed() : make())
        t.equal(good.answers[0]?.status, 200, `${what}: and then it is whole`)
      }
    }
    const own = await sendRaw(proxy.port, range.fill(get('/api/auth/cli-tokens', J)))
    t.match(own.answers[0], { status: 503, json: { code: 'INTERNAL_ERROR' } }, 'our own routes')
  }
)

/** Sends the head, waits until the upstream has it, then what `next` gives. */
async function sendInTwo(port: number, head: string, next: () => Promise<string>) {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  let text = ''
  socket.on('data', chunk => (text += chunk.toString('latin1')))
  socket.write(head)
  socket.write(await next())
  return { socket, text: () => text }
}

t.test('a body or a stream that is under way does not go on unasked', async t => {
  const breaking = startBreaking()
  const send: ((text: string) => void)[] = []
  const { proxy } = await startRange(t, {
    deps: breaking.deps,
    upstream: {
      handle: (request, response) => {
        request.resume()
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        send.push(chunk => response.write(chunk))
      }
    }
  })
  const auth = `Authorization: Bearer ${breaking.text}\r\n`
  const upload = `POST /api/a/1 HTTP/1.1\r\nHost: g\r\n${auth}Content-Length: 4\r\n\r\n`
  const uploaded = await sendInTwo(proxy.port, upload, async () => {
    await new Promise(resolve => setTimeout(resolve, 100))
    breaking.breakOne('lapse', true)
    return 'body'
  })
  await eventually('the upload is refused', () => uploaded.text().startsWith('HTTP/1.1 503 '), 1000)
  t.notMatch(proxy.upstream.raw().join(''), 'body')
  breaking.breakOne('', true)
  uploaded.socket.destroy()

  const events = await sendInTwo(proxy.port, get('/api/a/1', auth), async () => {
    await eventually('it has begun', () => send.length > 0, 1000)
    return ''
  })
  for (const [broken, chunk] of [
    ['', 'one'],
    ['lapse', 'two']
  ] as const) {
    breaking.breakOne(broken, true)
    send.at(-1)?.(chunk)
    // Longer than a second, in which idle streams are looked at.
    await new Promise(resolve => setTimeout(resolve, 1200))
  }
  t.match(events.text(), 'one')
  t.notMatch(events.text(), 'two', 'it rests')
  breaking.breakOne('', true)
  await eventually('it goes on', () => events.text().includes('two'), 2000)
  events.socket.destroy()
})
