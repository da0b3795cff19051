import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { get, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { sendRaw } from '../support/raw.ts'
import { startProxy } from '../support/proxy.ts'

const ROUTES = `
version: 1
scopes: { a:read: { title: a } }
routes:
  GET /pub/{rest...}: public
  GET,POST,PUT,DELETE,PATCH /api/a/{id}: { scope: a:read, repo: upstream }
  GET /api/slow: { scope: a:read, timeoutMs: 200 }
  GET /api/people: jwt
  GET /api/other: { scope: public, upstream: other }
upstreams:
  other: { url: "http://127.0.0.1:9" }
`

const bearer = (text: string) => `Authorization: Bearer ${text}\r\n`

t.test('what was sent is what arrives, with an identity that only the gate can write', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const token = proxy.addToken({ name: 'é 🚀, x', orgId: 'o1', repositories: ['r1', 'r2'] })
  const { answers } = await sendRaw(
    proxy.port,
    'POST /api/a/x%3Ay/?b=2&a=%7e HTTP/1.1\r\nHost: Gate.Example:81\r\n' +
      bearer(token.text) +
      'X-CI-User-Id: root\r\nx_ci_scopes: *\r\nX-Forwarded-For: 1.2.3.4\r\n' +
      'Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy: http://evil.test\r\n' +
      'Content-Type: application/json x\r\nX-Custom: a\r\nX-Custom: b\r\nContent-Length: 5\r\n\r\n' +
      'hello'
  )
  t.equal(answers[0]?.status, 200)
  const seen = proxy.upstream.last()
  t.equal(seen.method, 'POST')
  t.equal(seen.target, '/api/a/x%3Ay/?b=2&a=%7e')
  t.equal(seen.text, 'hello')
  const names = new Map(seen.headers.map(([name]) => [name, seen.all(name).join(' | ')]))
  t.match(Object.fromEntries(names), {
    host: 'Gate.Example:81',
    'content-type': 'application/json x',
    'content-length': '5',
    'x-custom': 'a | b',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'Gate.Example:81',
    'x-ci-auth': 'cli-token',
    'x-ci-user-id': 'u1',
    'x-ci-org-id': 'o1',
    'x-ci-token-id': token.id,
    'x-ci-token-name': encodeURIComponent('é 🚀, x'),
    'x-ci-scopes': 'a:read',
    'x-ci-repositories': 'r1,r2',
    'x-ci-signed': 'false'
  })
  for (const gone of ['authorization', 'x_ci_scopes', 'x-hop', 'te', 'proxy', 'expect']) {
    t.notOk(names.has(gone), gone)
  }
  t.match(names.get('x-request-id'), /^[\w-]{36}$/)
  const line = await proxy.waitForLine()
  t.match(line, {
    route: 'GET,POST,PUT,DELETE,PATCH /api/a/{id}',
    status: 200,
    code: 'OK',
    auth: 'cli-token',
    tokenId: token.id,
    signed: false,
    repositories: 2,
    upstream: 'default',
    bytesIn: 5,
    bytesOut: 11,
    ip: '127.0.0.1'
  })
})

t.test('a refusal has its body, its headers, and reaches nobody', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const cases = [
    ['GET /api/a/1', '', 401, 'NO_TOKEN', 'No token provided'],
    [
      'GET /api/a/1',
      bearer('ci_nonsense'),
      401,
      'INVALID_CLI_TOKEN',
      'Invalid or expired CLI token'
    ],
    ['GET /nothing/here', '', 403, 'ROUTE_DENIED', 'Access denied'],
    ['GET /api/people', bearer('a.b.c'), 401, 'INVALID_TOKEN', 'Invalid token'],
    ['GET /api/%2e%2e/x', '', 400, 'MALFORMED_REQUEST', 'Malformed request'],
    ['PROPFIND /pub/x', '', 403, 'ROUTE_DENIED', 'Access denied'],
    ['GET /pub/%zz', '', 400, 'MALFORMED_REQUEST', 'Malformed request']
  ] as const
  for (const [line, headers, status, code, message] of cases) {
    const { answers } = await sendRaw(proxy.port, `${line} HTTP/1.1\r\nHost: g\r\n${headers}\r\n`)
    const [answer] = answers
    t.equal(answer?.status, status, line)
    t.match(answer?.json, { code, message, requestId: /^[\w.-]+$/ }, line)
    t.equal(answer?.headers['content-type'], 'application/json')
    t.equal(answer?.headers['cache-control'], 'no-store')
    if (status === 401) t.match(answer?.headers['www-authenticate'], /^Bearer realm=/)
  }
  t.equal(proxy.upstream.begun, 0)
  const unruled = proxy.lines.find(({ shape }) => shape !== undefined)
  t.match(unruled, { route: 'none', shape: '/{}/{}' })
})

t.test('on public routes nobody is identified and a ci_ token stays here', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  for (const value of ['Bearer ci_abc', 'bearer ci_abc', 'ci_abc']) {
    await sendRaw(proxy.port, `GET /pub/x HTTP/1.1\r\nHost: g\r\nAuthorization: ${value}\r\n\r\n`)
    const seen = proxy.upstream.last()
    t.same(seen.all('authorization'), [], value)
    t.same(
      seen.headers.filter(([name]) => name.startsWith('x-ci-')),
      [['x-ci-auth', 'none']]
    )
  }
  await sendRaw(proxy.port, 'GET /pub/x HTTP/1.1\r\nHost: g\r\nAuthorization: Basic abc\r\n\r\n')
  t.same(proxy.upstream.last().all('authorization'), ['Basic abc'])
})

t.test('a JWT goes on to the upstream, with its user', async t => {
  const users = { 'a.b.c': { userId: 'u7', orgId: null, expiresAtMs: Date.now() + 60_000 } }
  const proxy = await startProxy(t, { routes: ROUTES, users })
  await sendRaw(proxy.port, `GET /api/people HTTP/1.1\r\nHost: g\r\n${bearer('a.b.c')}\r\n`)
  const seen = proxy.upstream.last()
  t.same(seen.all('authorization'), ['Bearer a.b.c'])
  t.same(seen.all('x-ci-user-id'), ['u7'])
  t.same(seen.all('x-ci-scopes'), ['*'])
})

t.test('GET and HEAD go on without the body that some clients send', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const next = 'GET /pub/next HTTP/1.1\r\nHost: g\r\n\r\n'
  for (const body of [
    'Content-Length: 4\r\n\r\nnull',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n0\r\n\r\n'
  ]) {
    const { answers } = await sendRaw(
      proxy.port,
      `GET /pub/x HTTP/1.1\r\nHost: g\r\n${body}${next}`,
      { answers: 2 }
    )
    t.same(
      answers.map(({ status }) => status),
      [200, 200]
    )
    const [first, second] = proxy.upstream.requests
      .slice(-2)
      .toSorted((a, b) => b.target.length - a.target.length)
      .toReversed()
    t.same([first?.target, second?.target], ['/pub/x', '/pub/next'])
    t.same(first?.all('content-length'), [])
    t.same(first?.all('transfer-encoding'), [])
  }
  const large = await sendRaw(
    proxy.port,
    'GET /pub/x HTTP/1.1\r\nHost: g\r\nContent-Length: 65537\r\n\r\n'
  )
  t.equal(large.answers[0]?.status, 413)
})

t.test('an answer arrives as it was given, without hop-by-hop headers', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: {
      respond: (_request, response) => {
        response.writeHead(
          418,
          'I am a teapot',
          [
            ['X-A', '1'],
            ['X-A', '2'],
            ['Connection', 'X-Inner, close'],
            ['X-Inner', 'secret'],
            ['Location', 'http://169.254.169.254/'],
            ['X-Latin', 'caf\u00e9'],
            ['Trailer', 'x-end']
          ].flat()
        )
        response.end('tea')
      }
    }
  })
  const { answers, text } = await sendRaw(proxy.port, 'GET /pub/x HTTP/1.1\r\nHost: g\r\n\r\n')
  t.match(text, /^HTTP\/1\.1 418 I am a teapot\r\n/)
  t.match(text, /X-A: 1\r\nX-A: 2\r\n/)
  t.equal(answers[0]?.headers['x-latin'], 'caf\u00e9')
  t.equal(answers[0]?.headers['location'], 'http://169.254.169.254/')
  t.equal(answers[0]?.body, 'tea')
  t.notMatch(text, /x-inner|secret|trailer/i)
})

t.test('an upstream that breaks off breaks the transfer off', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: {
      respond: (_request, response) => {
        response.writeHead(200, { 'content-length': '100' })
        response.write('half', () => response.destroy())
      }
    }
  })
  const { text, closed } = await sendRaw(proxy.port, 'GET /pub/x HTTP/1.1\r\nHost: g\r\n\r\n')
  t.ok(closed)
  t.match(text, /half$/)
  t.match(await proxy.waitForLine(), { aborted: 'upstream' })
})

t.test('a client that leaves takes its upstream request with it', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: { handle: (_request, response) => response.flushHeaders() }
  })
  const request = get(`${proxy.url}/pub/x`)
  request.on('error', () => undefined)
  await once(request, 'response')
  request.destroy()
  for (let i = 0; proxy.upstream.aborted === 0 && i < 100; i++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.equal(proxy.upstream.aborted, 1)
  t.match(await proxy.waitForLine(), { aborted: 'client' })
})

/** A server that treats each connection as it is told. */
async function startSocketServer(t: Tap, serve: (socket: Socket, n: number) => void) {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    serve(socket, (connections += 1))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `http://127.0.0.1:${address.port}`, count: () => connections }
}

interface Tap {
  teardown(run: () => unknown): void
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

t.test('faults of the upstream have their codes, and no request is written twice', async t => {
  const cases = [
    [
      'closes a fresh connection',
      (s: Socket) => s.once('data', () => s.destroy()),
      502,
      'UPSTREAM_RESET'
    ],
    [
      'is no HTTP',
      (s: Socket) => s.once('data', () => s.write('garbage\r\n\r\n')),
      502,
      'UPSTREAM_INVALID'
    ],
    [
      'has a head that is too large',
      (s: Socket) =>
        s.once('data', () => s.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`)),
      502,
      'UPSTREAM_INVALID'
    ],
    [
      'switches unasked',
      (s: Socket) =>
        s.once('data', () =>
          s.write('HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n')
        ),
      502,
      'UPSTREAM_INVALID'
    ],
    [
      'answers two lengths',
      (s: Socket) =>
        s.once('data', () =>
          s.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok')
        ),
      502,
      'UPSTREAM_INVALID'
    ]
  ] as const
  for (const [what, serve, status, code] of cases) {
    for (const method of ['GET', 'POST']) {
      const server = await startSocketServer(t, serve)
      const proxy = await startProxy(t, { routes: ROUTES, upstreamUrl: server.url })
      const token = proxy.addToken()
      const { answers } = await sendRaw(
        proxy.port,
        `${method} /api/a/1 HTTP/1.1\r\nHost: g\r\n${bearer(token.text)}Content-Length: 0\r\n\r\n`
      )
      t.equal(answers[0]?.status, status, what)
      t.match(answers[0]?.json, { code }, what)
      t.equal(server.count(), 1, `${what}: ${method} was written once`)
    }
  }
})

t.test('silence ends at the rule’s time with 504, and a closed port is 502', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: { handle: () => undefined }
  })
  const token = proxy.addToken()
  const slow = await sendRaw(
    proxy.port,
    `GET /api/slow HTTP/1.1\r\nHost: g\r\n${bearer(token.text)}\r\n`
  )
  t.match(slow.answers[0], { status: 504, json: { code: 'UPSTREAM_TIMEOUT' } })
  const closed = await sendRaw(proxy.port, 'GET /api/other HTTP/1.1\r\nHost: g\r\n\r\n')
  t.match(closed.answers[0], { status: 502, json: { code: 'UPSTREAM_UNREACHABLE' } })
  t.equal(proxy.counts.get('upstream_retries_total'), 1, 'a refused connection is tried once more')
})

t.test(
  'a safe request that met a dying idle connection is sent once more, no other is',
  async t => {
    let isDying = false
    const server = await startSocketServer(t, socket => {
      let seen = 0
      socket.on('data', () => {
        seen += 1
        if (seen > 1 && isDying) socket.destroy()
        else socket.write(OK)
      })
    })
    const proxy = await startProxy(t, { routes: ROUTES, upstreamUrl: server.url })
    const token = proxy.addToken()
    const ask = async (method: string) => {
      const { answers } = await sendRaw(
        proxy.port,
        `${method} /api/a/1 HTTP/1.1\r\nHost: g\r\n${bearer(token.text)}Content-Length: 0\r\n\r\n`
      )
      return answers[0]?.status
    }
    t.equal(await ask('GET'), 200)
    isDying = true
    t.equal(await ask('GET'), 200, 'on a fresh connection')
    isDying = false
    t.equal(await ask('GET'), 200)
    isDying = true
    t.equal(await ask('POST'), 502)
  }
)

t.test('unix sockets are upstreams too', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: { at: join(folder, 'up.sock') }
  })
  const { answers } = await sendRaw(proxy.port, 'GET /pub/x?y=1 HTTP/1.1\r\nHost: g\r\n\r\n')
  t.equal(answers[0]?.status, 200)
  t.match(proxy.upstream.last(), { target: '/pub/x?y=1' })
})

t.test('100 Continue comes after the decision, and never before a refusal', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const token = proxy.addToken()
  const head = (auth: string) =>
    `POST /api/a/1 HTTP/1.1\r\nHost: g\r\n${auth}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`
  const refused = await sendRaw(proxy.port, head(''))
  t.same(
    refused.answers.map(({ status }) => status),
    [401]
  )
  const request = httpRequest(`${proxy.url}/api/a/1`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token.text}`,
      expect: '100-continue',
      'content-length': '2'
    }
  })
  request.flushHeaders()
  await once(request, 'continue')
  request.end('ok')
  const [response] = await once(request, 'response')
  t.equal(response.statusCode, 200)
  t.equal(proxy.upstream.last().text, 'ok')
  response.resume()
  const odd = await sendRaw(proxy.port, 'GET /pub/x HTTP/1.1\r\nHost: g\r\nExpect: x\r\n\r\n')
  t.equal(odd.answers[0]?.status, 417)
})

t.test('a permit that lapses before the first byte is decided again, once', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const token = proxy.addToken()
  const ask = (method = 'GET', body = '') =>
    sendRaw(
      proxy.port,
      `${method} /api/a/1 HTTP/1.1\r\nHost: g\r\n${bearer(token.text)}Content-Length: ${body.length}\r\n\r\n${body}`
    )
  proxy.setLapse('lease')
  for (const answer of [await ask(), await ask('POST', 'x')]) {
    t.match(answer.answers[0], { status: 503, json: { code: 'TOKEN_STORE_UNAVAILABLE' } })
    t.equal(answer.answers[0]?.headers['retry-after'], '1')
  }
  t.equal(proxy.upstream.begun, 0, 'not one byte of a request was seen')
  proxy.setLapse(undefined)
  t.equal((await ask()).answers[0]?.status, 200)
})

t.test('no more is under way than may be', async t => {
  const held: (() => void)[] = []
  const proxy = await startProxy(t, {
    routes: ROUTES,
    maxInFlight: 2,
    upstream: { respond: (_request, response) => void held.push(() => response.end('late')) }
  })
  const first = [fetch(`${proxy.url}/pub/1`), fetch(`${proxy.url}/pub/2`)]
  while (held.length < 2) await new Promise(resolve => setTimeout(resolve, 5))
  const { answers } = await sendRaw(proxy.port, 'GET /pub/3 HTTP/1.1\r\nHost: g\r\n\r\n')
  t.match(answers[0], { status: 503, json: { code: 'OVERLOADED' } })
  t.match(answers[0]?.headers['retry-after'], /^[123]$/)
  for (const release of held) release()
  for (const answer of await Promise.all(first)) t.equal(await answer.text(), 'late')
})
