import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startProxy, type TestProxy, type TestToken } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'

const ROUTES = `
version: 1
scopes: { a:read: { title: a }, b:read: { title: b } }
routes:
  GET /api/plain:        a:read
  GET /api/events:       a:read
  GET /api/socket:       { scope: a:read, upgrade: websocket }
  GET /api/socket/other: { scope: b:read, upgrade: websocket }
`

/** An upstream whose sockets echo and whose events come when they are told to. */
async function startStreams(t: { teardown(run: () => unknown): void }) {
  const sockets = new WebSocketServer({ noServer: true })
  const seen: IncomingMessage[] = []
  let response: ServerResponse | undefined
  const upgraded = {
    upgrade(request: IncomingMessage, socket: Duplex, early: Buffer) {
      seen.push(request)
      sockets.handleUpgrade(request, socket, early, peer => {
        peer.on('message', data => peer.send(data))
      })
    }
  }
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: {
      ...upgraded,
      handle: (request, answer) => {
        if (request.url !== '/api/events') {
          answer.end('plain')
          return
        }
        response = answer
        answer.writeHead(200, { 'content-type': 'text/event-stream' })
        answer.flushHeaders()
      }
    }
  })
  return {
    proxy,
    seen,
    send: (text: string) => void response?.write(text),
    finish: () => void response?.end()
  }
}

function openSocket(proxy: TestProxy, token: TestToken | undefined, path = '/api/socket') {
  const headers = token ? { authorization: `Bearer ${token.text}` } : {}
  return new WebSocket(`ws://127.0.0.1:${proxy.port}${path}`, { headers })
}

async function echo(socket: WebSocket, text: string): Promise<string> {
  const answered = once(socket, 'message')
  socket.send(text)
  return String((await answered)[0])
}

async function refusedStatus(socket: WebSocket): Promise<number> {
  const [, response] = await once(socket, 'unexpected-response')
  return response.statusCode
}

async function openEvents(proxy: TestProxy, token: TestToken) {
  const request = get(`${proxy.url}/api/events`, {
    headers: { authorization: `Bearer ${token.text}` }
  })
  const [response] = await once(request, 'response')
  if (!('on' in response)) throw new Error('no response')
  response.setEncoding('utf8')
  const closed = new Promise<void>(resolve => response.once('close', resolve))
  response.on('error', () => undefined)
  return { response, closed, next: async () => String((await once(response, 'data'))[0]) }
}

t.test('a tunnel on a rule that names it carries bytes both ways, with identity', async t => {
  const { proxy, seen } = await startStreams(t)
  const token = proxy.addToken()
  const socket = openSocket(proxy, token)
  await once(socket, 'open')
  t.equal(await echo(socket, 'hello'), 'hello')
  const large = 'x'.repeat(1_000_000)
  t.equal(await echo(socket, large), large)
  t.match(seen[0]?.headers, {
    'x-ci-auth': 'cli-token',
    'x-ci-token-id': token.id,
    upgrade: 'websocket'
  })
  t.equal(seen[0]?.headers.authorization, undefined)
  t.match(await proxy.waitForLine(), { status: 101, route: 'GET /api/socket', code: 'OK' })
  socket.close()
  await once(socket, 'close')
  const last = await proxy.waitForLine(1)
  t.match(last, { status: 101, requestId: proxy.lines[0]?.requestId })
  t.ok((last.seconds ?? 0) > 0)
  t.ok(last.bytesIn > 1_000_000)
})

t.test('a handshake is decided like any request, and opens nothing when it is refused', async t => {
  const { proxy, seen } = await startStreams(t)
  const token = proxy.addToken()
  const revoked = proxy.addToken()
  proxy.revoke(revoked)
  t.equal(await refusedStatus(openSocket(proxy, undefined)), 401)
  t.equal(await refusedStatus(openSocket(proxy, revoked)), 401)
  t.equal(await refusedStatus(openSocket(proxy, token, '/api/socket/other')), 403)
  t.equal(await refusedStatus(openSocket(proxy, token, '/api/plain')), 200, 'a plain answer')
  t.equal(seen.length, 0)
  const shake = (line: string, more: string) =>
    sendRaw(
      proxy.port,
      `${line}\r\nHost: g\r\nAuthorization: Bearer ${token.text}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}\r\n`
    )
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const version = 'Sec-WebSocket-Version: 13\r\n'
  for (const [line, more] of [
    ['GET /api/socket HTTP/1.1', `${key}Sec-WebSocket-Version: 12\r\n`],
    ['GET /api/socket HTTP/1.1', `${key}${key}${version}`],
    ['GET /api/socket HTTP/1.1', `${key}${version}Content-Length: 1\r\n`],
    ['GET /api/socket HTTP/1.1', version],
    ['GET /api/socket HTTP/1.0', `${key}${version}`]
  ] as const) {
    const { answers, closed } = await shake(line, more)
    t.equal(answers[0]?.status, 400, `${line} ${more}`)
    t.ok(closed)
  }
  t.equal(seen.length, 0)
})

t.test('an upstream that answers the wrong key, or no 101, opens no tunnel', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: {
      upgrade: (request, socket) => {
        const isWrong = request.headers['x-want'] === 'wrong'
        socket.end(
          isWrong
            ? 'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n'
            : 'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 4\r\n\r\nnope'
        )
      }
    }
  })
  const token = proxy.addToken()
  const shake = (want: string) =>
    sendRaw(
      proxy.port,
      `GET /api/socket HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${token.text}\r\nX-Want: ${want}\r\n` +
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
        'Sec-WebSocket-Version: 13\r\n\r\n'
    )
  t.match((await shake('wrong')).answers[0], { status: 502, json: { code: 'UPSTREAM_INVALID' } })
  t.match((await shake('426')).answers[0], { status: 426, body: 'nope' })
})

t.test('events arrive one by one, as they are sent', async t => {
  const { proxy, send, finish } = await startStreams(t)
  const events = await openEvents(proxy, proxy.addToken())
  for (const text of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
    const next = events.next()
    send(text)
    t.equal(await next, text)
  }
  finish()
  await events.closed
  t.equal(events.response.complete, true)
})

t.test('streams end with their token', async t => {
  const { proxy, send } = await startStreams(t)
  const token = proxy.addToken()
  const socket = openSocket(proxy, token)
  await once(socket, 'open')
  const events = await openEvents(proxy, token)
  const other = openSocket(proxy, proxy.addToken())
  await once(other, 'open')
  const closed = once(socket, 'close')
  proxy.revoke(token)
  await closed
  send('data: too late\n\n')
  await events.closed
  t.equal(events.response.complete, false, 'no clean end')
  t.equal(await echo(other, 'still here'), 'still here')
  t.equal(proxy.counts.get('streams_closed_total revoked'), 2)
  t.ok(
    proxy.lines.some(({ aborted }) => aborted === 'revoked'),
    'the event stream'
  )
  t.ok(
    proxy.lines.some(({ cause }) => cause === 'revoked'),
    'the tunnel'
  )
  other.terminate()
})

t.test('an idle stream ends when its token expires', async t => {
  const { proxy } = await startStreams(t)
  const token = proxy.addToken({ expiresAtMs: Date.now() + 600 })
  const socket = openSocket(proxy, token)
  await once(socket, 'open')
  await once(socket, 'close')
  t.equal(proxy.counts.get('streams_closed_total expired'), 1)
})

t.test('without a lease a stream rests, and goes on when its token still may', async t => {
  const { proxy, send } = await startStreams(t)
  const token = proxy.addToken()
  const events = await openEvents(proxy, token)
  const socket = openSocket(proxy, token)
  await once(socket, 'open')
  let passed = 0
  events.response.on('data', () => (passed += 1))
  proxy.setLapse('lease')
  send('data: 1\n\n')
  socket.send('echo?')
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(passed, 0)
  proxy.setLapse(undefined)
  const [data] = await once(socket, 'message')
  t.equal(String(data), 'echo?')
  while (passed === 0) await once(events.response, 'data')
  t.equal(passed, 1)
  proxy.changeToken(token, { scopes: [] })
  await once(socket, 'close')
  await events.closed
  socket.terminate()
})

t.test('draining ends streams, and every answer says that the connection closes', async t => {
  const { proxy } = await startStreams(t)
  const token = proxy.addToken()
  const socket = openSocket(proxy, token)
  await once(socket, 'open')
  const closed = once(socket, 'close')
  proxy.drain()
  await closed
  const answer = await sendRaw(
    proxy.port,
    `GET /api/plain HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${token.text}\r\n\r\n`
  )
  t.equal(answer.answers[0]?.status, 200)
  t.equal(answer.answers[0]?.headers['connection'], 'close')
  t.ok(answer.closed)
})

t.test('an upstream port that is free again is found again', async t => {
  const server = createServer((_request, response) => response.end('back'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  server.close()
  await once(server, 'close')
  const proxy = await startProxy(t, { routes: ROUTES, upstreamUrl: `http://127.0.0.1:${port}` })
  const token = proxy.addToken()
  const ask = () =>
    fetch(`${proxy.url}/api/plain`, { headers: { authorization: `Bearer ${token.text}` } })
  t.equal((await ask()).status, 502)
  await once(server.listen(port, '127.0.0.1'), 'listening')
  t.equal((await ask()).status, 200)
  server.close()
  server.closeAllConnections()
})
