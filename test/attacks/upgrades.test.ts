/** Upgrades and tunnels: a connection leaves HTTP only where a rule says so. */
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { eventually } from '../support/gate.ts'
import { sendRaw } from '../support/raw.ts'
import { A, ask, get, type Row, ROUTES, startRange, tryGood, tryRows } from './support/rows.ts'
import { startSockets } from './support/sockets.ts'

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const VERSION = 'Sec-WebSocket-Version: 13\r\n'
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
const HANDSHAKE = `${UPGRADE}${KEY}${VERSION}`

t.test('U1, U2, U3, U4: where no rule names a tunnel, an upgrade is a plain request', async t => {
  const range = await startRange(t)
  const paths = ['/pub/../admin/x', '//admin/x', '/pub/%2e%2e/admin']
  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'
  const plain = { status: 200, saw: 1, lacks: ['upgrade', 'http2-settings'] } as const
  await tryRows(t, range, [
    { name: 'no token', send: get('/api/a/1', HANDSHAKE), status: 401, code: 'NO_TOKEN', saw: 0 },
    { name: 'a token', send: get('/api/a/1', `${A}${HANDSHAKE}`), ...plain },
    ...paths.map((target): Row => ({
      name: `CVE-2026-15631 http-proxy, ${target}`,
      send: get(target, HANDSHAKE),
      status: 400,
      saw: 0
    })),
    { name: 'h2c smuggling', send: get('/api/a/1', `${A}${h2c}`), ...plain },
    { name: 'h2c by POST', send: ask('POST /api/a/1', `${A}${h2c}`), ...plain }
  ])
})

t.test(
  'U5: a refused upgrade ends its connection, and the next request is decided by itself',
  async t => {
    const { proxy, fill } = await startRange(t, {
      upstream: {
        respond: ({ target }, response) => {
          response.writeHead(target === '/pub/socket' ? 426 : 200, { 'content-length': '0' })
          response.end()
        }
      }
    })
    const odd = `${UPGRADE}${KEY}Sec-WebSocket-Version: 777\r\n`
    const handshake = get('/pub/socket', odd)
    const next = get('/api/a/1')
    // In one write and in two: the parser drops what it has read behind an Upgrade.
    for (const send of [
      [`${handshake}${get('/pub/smuggled')}`],
      [handshake, get('/pub/smuggled')],
      [`${handshake}${get('/pub/lost').slice(0, 12)}`, get('/pub/smuggled')],
      [`${ask('POST /pub/socket', `${odd}Content-Length: 4\r\n`)}bo`, `dy${get('/pub/smuggled')}`]
    ]) {
      const before = proxy.upstream.begun
      const { answers, closed } = await sendRaw(proxy.port, send, { answers: 2, waitMs: 500 })
      const isPost = send[0]?.startsWith('POST')
      t.same(
        answers.map(({ status }) => status),
        [isPost ? 403 : 426]
      )
      t.equal(answers[0]?.headers['connection'], 'close')
      t.ok(closed)
      t.equal(proxy.upstream.begun - before, isPost ? 0 : 1)
      t.equal((await sendRaw(proxy.port, next)).answers[0]?.status, 401)
      t.equal((await sendRaw(proxy.port, fill(get('/api/a/1', A)))).answers[0]?.status, 200)
    }
    const seen = proxy.upstream.requests[0]
    t.same([...(seen?.all('upgrade') ?? []), ...(seen?.all('connection') ?? [])], ['keep-alive'])
    t.notOk(proxy.upstream.requests.some(({ target }) => target === '/pub/smuggled'))
  }
)

t.test('U6: an upstream that switches unasked gets no tunnel', async t => {
  const switched = 'HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi'
  for (const headers of ['', HANDSHAKE, 'Connection: Upgrade\r\nUpgrade: h2c\r\n']) {
    const server = await startSockets(t, () => switched)
    const { proxy } = await startRange(t, { upstreamUrl: server.url })
    const { answers, text } = await sendRaw(proxy.port, get('/pub/x', headers))
    t.match(answers[0], { status: 502, json: { code: 'UPSTREAM_INVALID' } }, headers)
    t.notMatch(text, /hi$/)
    t.equal(server.seen.reads, 1)
  }
})

t.test('an upgrade with a broken body never becomes a complete request', async t => {
  const { proxy, fill } = await startRange(t)
  const chunked = `${UPGRADE}Transfer-Encoding: chunked\r\n`
  const send = fill(ask('POST /api/a/1', `${A}${chunked}`))
  const broken = `3\r\nabc\r\ng\r\n${get('/pub/smuggled')}`
  // The parser reports no error behind an Upgrade: such a body stalls, and is given up as one.
  const { text } = await sendRaw(proxy.port, [send, broken], { waitMs: 300 })
  t.notMatch(text, /^HTTP\/1\.1 2/)
  t.equal(proxy.upstream.requests.length, 0)
  t.equal((await sendRaw(proxy.port, fill(get('/api/a/1', A)))).answers[0]?.status, 200)
})

t.test('U7: CONNECT opens nothing', async t => {
  const range = await startRange(t)
  const { proxy, fill } = range
  for (const target of ['evil.test:443', `127.0.0.1:${proxy.upstream.port}`]) {
    const send = fill(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${A}\r\n${get('/pub/x')}`)
    const { answers, closed } = await sendRaw(proxy.port, send)
    t.ok([undefined, 400].includes(answers[0]?.status), target)
    t.ok(closed, target)
    t.equal(proxy.upstream.raw().join(''), '', target)
  }
  await tryGood(t, range, 'CONNECT')
})

t.test('U8, U9: a tunnel is decided like any request, and opens after the decision', async t => {
  const seen: string[] = []
  const range = await startRange(t, {
    routes: `${ROUTES}  GET /api/socket:         { scope: a:read, upgrade: websocket }\n`,
    upstream: {
      upgrade: (request, socket) => {
        seen.push(request.url ?? '')
        socket.destroy()
      }
    }
  })
  const { proxy } = range
  const revoked = proxy.addToken()
  proxy.revoke(revoked)
  const poor = proxy.addToken({ scopes: ['b:read'] })
  const as = (text: string) => `Authorization: Bearer ${text}\r\n`
  const refused = (name: string, send: string, status: number, code: string): Row => ({
    name: `CVE-2026-15631 http-proxy, ${name}`,
    send,
    status,
    code,
    saw: 0
  })
  const socket = (auth: string) => get('/api/socket', `${auth}${HANDSHAKE}`)
  const odd = (name: string, send: string): Row => ({
    name: `RFC 6455 4.2.1, ${name}`,
    send,
    status: 400,
    saw: 0
  })
  const lines = (text: string) => get('/api/socket', `${A}${text}`)
  await tryRows(t, range, [
    refused('without a token', socket(''), 401, 'NO_TOKEN'),
    refused('a revoked one', socket(as(revoked.text)), 401, 'INVALID_CLI_TOKEN'),
    refused('without the scope', socket(as(poor.text)), 403, 'INSUFFICIENT_SCOPE'),
    odd('version 12', lines(`${UPGRADE}${KEY}Sec-WebSocket-Version: 12\r\n`)),
    odd('two versions', lines(`${HANDSHAKE}${VERSION}`)),
    odd('two keys', lines(`${HANDSHAKE}${KEY}`)),
    odd('a key of two spellings', lines(`${HANDSHAKE}Sec_WebSocket_Key: x\r\n`)),
    odd('no key', lines(`${UPGRADE}${VERSION}`)),
    odd('a short key', lines(`${UPGRADE}Sec-WebSocket-Key: YWJj\r\n${VERSION}`)),
    odd(
      'two protocols',
      lines(`Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n${KEY}${VERSION}`)
    ),
    odd('a body', `${lines(`${HANDSHAKE}Content-Length: 4\r\n`)}body`),
    odd('a chunked body', `${lines(`${HANDSHAKE}Transfer-Encoding: chunked\r\n`)}0\r\n\r\n`),
    odd('HTTP/1.0', lines(HANDSHAKE).replace('HTTP/1.1', 'HTTP/1.0')),
    {
      name: 'RFC 6455 4.2.1, POST is no handshake, and has no rule',
      send: ask('POST /api/socket', `${A}${HANDSHAKE}`),
      status: 403,
      code: 'ROUTE_DENIED',
      saw: 0
    }
  ])
  t.same(seen, [], 'no handshake went on')
})

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const SOCKET_RULE = `${ROUTES}  GET /api/socket:         { scope: a:read, upgrade: websocket }\n`

t.test('U11: a handshake behind a request without an answer opens nothing', async t => {
  const release: (() => void)[] = []
  const switched: string[] = []
  const range = await startRange(t, {
    routes: SOCKET_RULE,
    upstream: {
      handle: (request, response) => {
        if (request.url === '/api/a/slow') release.push(() => response.end('ok'))
        else response.end('ok')
      },
      upgrade: (request, socket) => {
        switched.push(request.url ?? '')
        socket.destroy()
      }
    }
  })
  const { proxy, fill } = range
  const slow = get('/api/a/slow', A)
  for (const before of [slow, `${slow}${get('/pub/x')}`]) {
    const socket = sendRaw(proxy.port, fill(`${before}${get('/api/socket', `${A}${HANDSHAKE}`)}`), {
      answers: 3
    })
    const answer = await eventually('the first one is under way', () => release.pop())
    answer()
    const { answers, closed } = await socket
    t.same(answers.map(({ status }) => status).slice(0, -1), before === slow ? [200] : [200, 200])
    t.match(answers.at(-1), { status: 400, json: { code: 'MALFORMED_REQUEST' } })
    t.ok(closed)
  }
  t.same(switched, [])
  const { answers } = await sendRaw(proxy.port, fill(get('/api/a/1', A)))
  t.equal(answers[0]?.status, 200, 'the gate lives')
})

t.test('U12: who was refused a tunnel keeps no connection, whatever he does', async t => {
  const { proxy } = await startRange(t, { routes: SOCKET_RULE })
  const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
  const closed = new Promise(resolve => socket.on('error', resolve))
  let text = ''
  socket.on('data', chunk => (text += chunk.toString('latin1')))
  socket.write(get('/api/socket', HANDSHAKE))
  await once(socket, 'end')
  t.match(text, /^HTTP\/1\.1 401 /)
  // The first bytes to a socket that is gone are answered with a reset.
  const writing = setInterval(() => socket.write('x'), 100)
  const timer = setTimeout(() => socket.destroy(new Error('still open')), 3000)
  t.match(await closed, { code: /^(?:ECONNRESET|EPIPE)$/ })
  clearInterval(writing)
  clearTimeout(timer)
})

t.test('U13: a client that ends its side before its tunnel is open ends it', async t => {
  const ended: string[] = []
  const { proxy, fill } = await startRange(t, {
    routes: SOCKET_RULE,
    upstream: {
      upgrade: (request, socket) => {
        socket.on('error', () => undefined)
        socket
          .once('end', () => {
            ended.push('upstream')
            socket.end()
          })
          .resume()
        setTimeout(() => {
          const accept = hash('sha1', `${request.headers['sec-websocket-key']}${GUID}`, 'base64')
          socket.write(
            `HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
          )
        }, 100)
      }
    }
  })
  for (const text of ['', 'frames']) {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined)
    socket.resume().end(fill(`${get('/api/socket', `${A}${HANDSHAKE}`)}${text}`))
    await once(socket, 'end')
    socket.destroy()
  }
  await eventually('the upstream is told', () => ended.length === 2, 2000)
})

t.test(
  'U10: a tunnel carries bytes both ways, without the token, and no longer than it lives',
  async t => {
    const range = await startRange(t, {
      routes: SOCKET_RULE,
      upstream: {
        upgrade: (request, socket) => {
          const accept = hash('sha1', `${request.headers['sec-websocket-key']}${GUID}`, 'base64')
          socket.on('error', () => undefined)
          socket.write(
            `HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
          )
          socket.pipe(socket)
        }
      }
    })
    const { proxy, fill, a } = range
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => undefined)
    let text = ''
    socket.on('data', chunk => (text += chunk.toString('latin1')))
    // The first frame comes with the handshake.
    socket.write(fill(`${get('/api/socket', `${A}x-ci-user-id: root\r\n${HANDSHAKE}`)}early`))
    await eventually('the first frame is back', () => text.endsWith('early'), 2000)
    t.match(text, /^HTTP\/1\.1 101 /)
    socket.write('late')
    await eventually('the second one', () => text.endsWith('earlylate'), 2000)
    const seen = proxy.upstream.last()
    t.same(seen.all('x-ci-token-id'), [a.id])
    t.same(seen.all('x-ci-user-id'), ['u1'])
    t.same(seen.all('authorization'), [])
    t.notMatch(proxy.upstream.raw().join(''), a.text)
    const closed = once(socket, 'close')
    proxy.revoke(a)
    socket.write('after')
    await closed
    t.match(text, /late$/, 'nothing came back after the revocation')
    t.equal((await sendRaw(proxy.port, fill(get('/api/a/1', A)))).answers[0]?.status, 401)
  }
)
