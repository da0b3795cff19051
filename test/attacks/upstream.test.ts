/** What an upstream says is input, too: it is broken, slow, or somebody else. */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { makeCertificate } from '../support/certificate.ts'
import { sendRaw } from '../support/raw.ts'
import { eventually } from '../support/gate.ts'
import { startUpstream } from '../support/upstream.ts'
import { A, get, post, ROUTES, startRange } from './support/rows.ts'
import { listen, startSockets } from './support/sockets.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

t.test('S1: an upstream that does not prove who it is gets not one byte', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const cases = [
    { name: 'good', san: 'IP:127.0.0.1', days: 1, isKnown: true },
    { name: 'othername', san: 'DNS:other.test', days: 1, isKnown: true },
    { name: 'unknown', san: 'IP:127.0.0.1', days: 1, isKnown: false },
    { name: 'expired', san: 'IP:127.0.0.1', days: -1, isKnown: true }
  ]
  const received = new Map<string, string>()
  const rules: string[] = []
  const upstreams: string[] = []
  for (const { name, san, days, isKnown } of cases) {
    const { key, cert, file } = await makeCertificate(folder, { name, san, days })
    const sockets = new Set<TLSSocket>()
    const server = createServer({ key, cert }, socket => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', chunk => {
        received.set(name, `${received.get(name) ?? ''}${chunk.toString()}`)
        socket.write(OK)
      })
    })
    server.on('tlsClientError', () => undefined)
    const port = await listen(server)
    t.teardown(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    rules.push(`  GET,POST /tls/${name}:  { scope: public, upstream: ${name} }`)
    const ca = isKnown ? `, caFile: "${file}"` : ''
    upstreams.push(`  ${name}: { url: "https://127.0.0.1:${port}"${ca} }`)
  }
  const range = await startRange(t, {
    routes: [ROUTES + rules.join('\n'), 'upstreams:', ...upstreams].join('\n')
  })
  const { proxy } = range
  t.equal((await sendRaw(proxy.port, get('/tls/good'))).answers[0]?.status, 200)
  for (const name of ['othername', 'unknown', 'expired']) {
    for (const send of [
      get(`/tls/${name}`),
      post(`/tls/${name}`, '', 'body'),
      `GET /tls/${name} HTTP/1.1\r\nHost: other.test\r\n\r\n`
    ]) {
      const { answers } = await sendRaw(proxy.port, send)
      t.match(answers[0], { status: 502, json: { code: 'UPSTREAM_TLS' } }, name)
    }
    t.equal(received.get(name), undefined, `CVE-2026-107318 reply-from, ${name}`)
  }
  const { answers } = await sendRaw(proxy.port, range.fill(get('/api/a/1', A)))
  t.equal(answers[0]?.status, 200)
})

t.test('S2, S4, S9: an answer is passed on once, whatever it asks for', async t => {
  const { proxy, fill } = await startRange(t, {
    upstream: {
      respond: ({ target }, response) => {
        if (target === '/api/a/busy') response.writeHead(503, { 'retry-after': '1' })
        else if (target === '/api/a/moved') {
          response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' })
        } else response.writeHead(401, { 'www-authenticate': 'Custom realm="inner"' })
        response.end('as it was')
      }
    }
  })
  const cases = [
    ['its own retry', 'busy', 503, { 'retry-after': '1' }],
    ['redirect SSRF', 'moved', 302, { location: 'http://169.254.169.254/latest/meta-data/' }],
    ['its own 401', 'inner', 401, { 'www-authenticate': 'Custom realm="inner"' }]
  ] as const
  for (const [name, id, status, headers] of cases) {
    const { answers } = await sendRaw(proxy.port, fill(get(`/api/a/${id}`, A)))
    t.match(answers[0], { status, headers, body: 'as it was' }, name)
    t.equal(answers[0]?.body, 'as it was', name)
  }
  await new Promise(resolve => setTimeout(resolve, 1300))
  t.equal(proxy.upstream.begun, 3, 'nothing was asked twice')
  t.equal(proxy.upstream.raw().length, 1, 'on one connection')
})

t.test('S3: what was written is not written again', async t => {
  let isDying = true
  const server = await startSockets(t, socket => {
    if (isDying) socket.destroy()
    return isDying ? undefined : OK
  })
  const { proxy, fill } = await startRange(t, { upstreamUrl: server.url })
  const ask = async (send: string) => {
    const before = server.seen.reads
    const { answers } = await sendRaw(proxy.port, fill(send))
    return [answers[0]?.status, answers[0]?.json['code'], server.seen.reads - before]
  }
  const lost = [502, 'UPSTREAM_RESET', 1]
  t.same(await ask(get('/api/a/1', A)), lost, 'GET, a fresh connection')
  t.same(await ask(post('/api/a/1', A, '')), lost, 'POST, a fresh connection')
  t.same(await ask(post('/api/a/1', A, 'body')), lost, 'POST with a body, a fresh connection')
  for (const body of ['', 'body']) {
    isDying = false
    t.same(await ask(get('/api/a/1', A)), [200, undefined, 1])
    isDying = true
    t.same(await ask(post('/api/a/1', A, body)), lost, 'POST, a reused connection')
  }
})

const HEAD = 'HTTP/1.1 200 OK\r\n'
const UNREADABLE = [
  [
    'both lengths',
    `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`
  ],
  [
    'both, reversed',
    `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n`
  ],
  ['two different lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`],
  ['two equal lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`],
  ['a list of lengths', `${HEAD}Content-Length: 2, 2\r\n\r\nok`],
  ['a signed length', `${HEAD}Content-Length: +2\r\n\r\nok`],
  ['LF line ends', OK.replaceAll('\r\n', '\n')],
  ['one LF line end', `${HEAD}X-A: b\nContent-Length: 2\r\n\r\nok`],
  ['a folded header', `${HEAD}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok`],
  ['a space before a colon', `${HEAD}Content-Length : 2\r\n\r\nok`],
  ['a NUL', `${HEAD}X-A: b\0c\r\nContent-Length: 2\r\n\r\nok`],
  ['a bare CR', `${HEAD}X-A: b\rX-C: d\r\nContent-Length: 2\r\n\r\nok`],
  ['another coding', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
  ['chunked in the middle', `${HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
  ['garbage', 'garbage\r\n\r\n'],
  ['HTTP/0.9', '<html>ok</html>'],
  ['a head over 16 KiB', `${HEAD}X-A: ${'x'.repeat(17_000)}\r\nContent-Length: 2\r\n\r\nok`]
] as const

t.test('S5: an answer that has two readings reaches nobody', async t => {
  for (const [name, text] of UNREADABLE) {
    const server = await startSockets(t, () => text)
    const { proxy } = await startRange(t, { upstreamUrl: server.url })
    const result = await sendRaw(proxy.port, get('/pub/x'))
    t.match(result.answers[0], { status: 502, json: { code: 'UPSTREAM_INVALID' } }, name)
    t.equal(result.answers.length, 1, name)
    t.equal(server.seen.reads, 1, `${name}: asked once`)
    await eventually(`${name}: its connection is closed`, () => server.seen.closed === 1, 1000)
  }
})

t.test('S6: a second answer to one request reaches no client', async t => {
  const first = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst'
  const second = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond'
  for (const isLate of [false, true]) {
    const server = await startSockets(t, socket => {
      if (!isLate) return `${first}${second}`
      setTimeout(() => socket.write(second), 20)
      return first
    })
    const { proxy } = await startRange(t, { upstreamUrl: server.url })
    for (let i = 0; i < 5; i++) {
      const { answers } = await sendRaw(proxy.port, get(`/pub/${i}`))
      t.match(answers[0], { status: 200, body: 'first' }, `response queue poisoning, ${i}`)
      await new Promise(resolve => setTimeout(resolve, 40))
    }
    // A late one could only be told from an asked one on a connection that nobody uses.
    const parallel = isLate ? 1 : 50
    const many = await Promise.all(
      Array.from({ length: parallel }, (_, i) => sendRaw(proxy.port, get(`/pub/x${i}`)))
    )
    t.notOk(
      many.some(({ text }) => text.includes('second')),
      'nor with many at once'
    )
  }
})

t.test('S7: an answer that ends too early is not ended cleanly', async t => {
  const cut = [
    ['a length', `${HEAD}Content-Length: 10\r\n\r\nhalf`],
    ['chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`],
    ['a chunk', `${HEAD}Transfer-Encoding: chunked\r\n\r\n8\r\nhalf`]
  ] as const
  for (const [name, text] of cut) {
    const server = await startSockets(t, socket => {
      setImmediate(() => socket.end())
      return text
    })
    const { proxy } = await startRange(t, { upstreamUrl: server.url })
    const result = await sendRaw(proxy.port, get('/pub/x'))
    t.match(result.text, /half(?:\r\n)?$/, name)
    t.equal(result.answers.length, 0, `${name}: no complete answer`)
    t.ok(result.closed, name)
    t.equal(server.seen.reads, 1, name)
  }
})

t.test('S8: a request that nobody waits for is given up', async t => {
  const { proxy, fill } = await startRange(t, {
    routes: `${ROUTES}  GET /api/slow:           { scope: a:read, timeoutMs: 200 }\n`,
    upstream: { handle: () => undefined }
  })
  const slow = await sendRaw(proxy.port, fill(get('/api/slow', A)))
  t.match(slow.answers[0], { status: 504, json: { code: 'UPSTREAM_TIMEOUT' } })
  await eventually('the late one is aborted', () => proxy.upstream.aborted === 1, 1000)
  for (const send of [get('/api/a/1', A), post('/api/a/1', A, 'body')]) {
    const { begun, aborted } = proxy.upstream
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(fill(send))
    await eventually('it has begun', () => proxy.upstream.begun === begun + 1, 1000)
    socket.destroy()
    await eventually('it is aborted', () => proxy.upstream.aborted === aborted + 1, 1000)
  }
  t.equal(proxy.upstream.begun, 3)
})

t.test(
  'S10: each upstream gets its own requests, whatever the addresses look like together',
  async t => {
    const [one, two] = [await startUpstream(), await startUpstream()]
    t.teardown(async () => {
      await one.close()
      await two.close()
    })
    const { proxy } = await startRange(t, {
      routes: [
        `${ROUTES}  GET /one/{rest...}: { scope: public, upstream: a }`,
        '  GET /x/one/{rest...}: { scope: public, upstream: ax }',
        'upstreams:',
        `  a: { url: "${one.url}" }`,
        `  ax: { url: "${two.url}/" }`
      ].join('\n')
    })
    for (let i = 0; i < 3; i++) {
      for (const target of ['/one/two', '/x/one/two']) {
        t.equal((await sendRaw(proxy.port, get(target))).answers[0]?.status, 200)
      }
    }
    t.same(
      one.requests.map(({ target }) => target),
      Array(3).fill('/one/two')
    )
    t.same(
      two.requests.map(({ target }) => target),
      Array(3).fill('/x/one/two')
    )
    t.equal(proxy.upstream.begun, 0)
  }
)
