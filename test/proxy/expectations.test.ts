/** What users of any proxy expect of HTTP/1.1 and WebSocket, each on a socket. */
import { once } from 'node:events'
import { get, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'

const ROUTES = `
version: 1
scopes: { a:read: { title: a } }
routes:
  GET /pub/{rest...}:  { scope: public, why: what is looked at here is how it is carried }
  POST /pub/{rest...}: { scope: public, why: what is looked at here is how it is carried }
  GET /socket:         { scope: a:read, upgrade: websocket }
`

type Handler = (request: IncomingMessage, response: ServerResponse) => void

async function start(
  t: { teardown(run: () => unknown): void },
  handle: Handler,
  upgrade?: (request: IncomingMessage, socket: Duplex, early: Buffer) => void
): Promise<TestProxy> {
  return startProxy(t, { routes: ROUTES, upstream: { handle, ...(upgrade ? { upgrade } : {}) } })
}

const ask = (path: string, version = '1.1', more = '') =>
  `GET ${path} HTTP/${version}\r\nHost: g\r\n${more}\r\n`

t.test('a long poll waits for its answer, and the connection goes on', async t => {
  const proxy = await start(t, (_request, response) => {
    setTimeout(() => response.end('at last'), 1200)
  })
  const { answers, closed } = await sendRaw(proxy.port, ask('/pub/poll'))
  t.match(answers, [{ status: 200, body: 'at last' }])
  t.notOk(closed)
})

t.test('early hints stay here, the answer behind them arrives', async t => {
  const proxy = await start(t, (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end('whole'))
  })
  const { answers } = await sendRaw(proxy.port, ask('/pub/hints'))
  t.match(answers, [{ status: 200, body: 'whole' }])
  t.equal(answers.length, 1)
})

t.test('trailers are dropped, and the body before them is whole', async t => {
  const proxy = await start(t, (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum' })
    response.write('a body ')
    response.addTrailers({ 'x-sum': 'secret' })
    response.end('with a sum')
  })
  const { text, answers } = await sendRaw(proxy.port, ask('/pub/trailers'))
  t.match(answers, [{ status: 200, body: 'a body with a sum' }])
  t.notMatch(text, /x-sum|secret/i)
})

t.test('an HTTP/1.0 client gets an answer that it can read, and the end as its end', async t => {
  const proxy = await start(t, (_request, response) => {
    response.write('no length ')
    setTimeout(() => response.end('is known'), 20)
  })
  const { text, closed } = await sendRaw(proxy.port, ask('/pub/old', '1.0'), { answers: 99 })
  t.match(text, /^HTTP\/1\.[01] 200 /)
  t.notMatch(text, /transfer-encoding/i)
  t.match(text, /\r\n\r\nno length is known$/)
  t.ok(closed)
})

t.test('pipelined requests are answered in order, one at a time', async t => {
  let atOnce = 0
  let most = 0
  const proxy = await start(t, ({ url = '' }, response) => {
    most = Math.max(most, ++atOnce)
    setTimeout(
      () => {
        atOnce -= 1
        response.end(url)
      },
      url.endsWith('1') ? 200 : 1
    )
  })
  const { answers } = await sendRaw(
    proxy.port,
    ['/pub/1', '/pub/2', '/pub/3'].map(path => ask(path)).join(''),
    { answers: 3 }
  )
  t.same(
    answers.map(({ body }) => body),
    ['/pub/1', '/pub/2', '/pub/3']
  )
  t.equal(most, 1)
})

t.test('large heads pass up to their bound, either way; above it there is an answer', async t => {
  const proxy = await start(t, ({ url, headers }, response) => {
    const size = url?.endsWith('more') ? 20_000 : 12_000
    response.writeHead(200, { 'x-large': 'b'.repeat(size) })
    response.end(String(headers['x-large']?.length))
  })
  const large = `X-Large: ${'a'.repeat(14_000)}\r\n`
  const good = await sendRaw(proxy.port, ask('/pub/large', '1.1', large))
  t.match(good.answers, [{ status: 200, body: '14000' }])
  t.equal(good.answers[0]?.headers['x-large']?.length, 12_000)
  const most = await sendRaw(proxy.port, ask('/pub/large', '1.1', large.repeat(2)))
  t.match(most.answers, [{ status: 431, json: { code: 'HEADERS_TOO_LARGE' } }])
  const answer = await sendRaw(proxy.port, ask('/pub/more'))
  t.match(answer.answers, [{ status: 502, json: { code: 'UPSTREAM_INVALID' } }])
})

t.test('an answer that comes before the upload ends is heard', async t => {
  const proxy = await start(t, (_request, response) => {
    response.writeHead(413, { connection: 'close' })
    response.end('enough')
  })
  const request = httpRequest(`${proxy.url}/pub/upload`, { method: 'POST' })
  request.on('error', () => undefined)
  request.write(Buffer.alloc(100_000))
  const [response] = await once(request, 'response')
  t.equal(response.statusCode, 413)
  response.resume()
  await once(response, 'end')
  request.destroy()
})

t.test('a HEAD has the length of its GET and no body; 204 and 304 have none', async t => {
  const proxy = await start(t, ({ url, method }, response) => {
    if (url?.endsWith('304')) response.writeHead(304, { etag: '"x"' }).end()
    else if (url?.endsWith('204')) response.writeHead(204).end()
    else response.writeHead(200, { 'content-length': '5' }).end(method === 'HEAD' ? '' : 'hello')
  })
  const head = await sendRaw(proxy.port, ask('/pub/x').replace('GET', 'HEAD'), { isHead: true })
  t.match(head.answers, [{ status: 200, headers: { 'content-length': '5' } }])
  t.match(head.text, /\r\n\r\n$/)
  for (const status of [204, 304]) {
    const { answers, closed } = await sendRaw(proxy.port, ask(`/pub/${status}`))
    t.match(answers, [{ status, body: '' }])
    t.notOk(closed)
  }
})

t.test('an event stream has its comments and its place to go on from', async t => {
  const proxy = await start(t, ({ headers }, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    response.write(`: from ${String(headers['last-event-id'])}\n\n`)
    setTimeout(() => response.end('id: 8\ndata: x\n\n'), 50)
  })
  const request = get(`${proxy.url}/pub/events`, { headers: { 'last-event-id': '7' } })
  const [response] = await once(request, 'response')
  t.equal(response.headers['content-type'], 'text/event-stream')
  t.equal(response.headers['content-encoding'], undefined)
  const [first] = await once(response, 'data')
  t.equal(String(first), ': from 7\n\n', 'at once, not with the next one')
  const [second] = await once(response, 'data')
  t.equal(String(second), 'id: 8\ndata: x\n\n')
})

async function startSockets(t: { teardown(run: () => unknown): void }) {
  const sockets = new WebSocketServer({ noServer: true })
  const peers: WebSocket[] = []
  const raw: Duplex[] = []
  const proxy = await start(
    t,
    (_request, response) => void response.end(),
    (request, socket, early) => {
      raw.push(socket)
      sockets.handleUpgrade(request, socket, early, peer => peers.push(peer))
    }
  )
  const open = async () => {
    const headers = { authorization: `Bearer ${proxy.addToken().text}` }
    const client = new WebSocket(`ws://127.0.0.1:${proxy.port}/socket`, { headers })
    await once(client, 'open')
    const peer = peers.at(-1)
    if (!peer) throw new Error('no peer')
    return { client, peer }
  }
  return { proxy, raw, open }
}

t.test('WebSocket pings are answered by the other end, not by the gate', async t => {
  const { open } = await startSockets(t)
  const { client, peer } = await open()
  const pinged = once(peer, 'ping')
  const ponged = once(client, 'pong')
  client.ping('are you there')
  t.equal(String((await pinged)[0]), 'are you there')
  t.equal(String((await ponged)[0]), 'are you there')
  const back = once(peer, 'pong')
  peer.ping('and you')
  t.equal(String((await back)[0]), 'and you')
  client.terminate()
})

t.test('WebSocket close codes and reasons arrive, either way', async t => {
  const { open } = await startSockets(t)
  const first = await open()
  const told = once(first.peer, 'close')
  first.client.close(4001, 'done here')
  const [code, reason] = await told
  t.same([code, String(reason)], [4001, 'done here'])
  const second = await open()
  const heard = once(second.client, 'close')
  second.peer.close(1012, 'restarting')
  const [other, why] = await heard
  t.same([other, String(why)], [1012, 'restarting'])
})

t.test('a large message arrives whole, and small ones before it in order', async t => {
  const { open } = await startSockets(t)
  const { client, peer } = await open()
  const sizes: number[] = []
  const all = new Promise<void>(resolve => {
    peer.on('message', (data: Buffer) => {
      sizes.push(data.length)
      if (sizes.length === 3) resolve()
    })
  })
  client.send(Buffer.alloc(1))
  client.send(Buffer.alloc(3_000_000))
  client.send(Buffer.alloc(2))
  await all
  t.same(sizes, [1, 3_000_000, 2])
  client.terminate()
})

t.test('half-open is over: whoever ends its side ends the tunnel, after what it said', async t => {
  const { proxy, raw } = await startSockets(t)
  const token = proxy.addToken()
  const socket: Socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  const handshake =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token.text}\r\n`
  socket.write(ask('/socket', '1.1', handshake))
  const [head] = await once(socket, 'data')
  t.match(String(head), /^HTTP\/1\.1 101 /)
  const [side] = raw
  if (!side) throw new Error('no tunnel')
  const closed = once(side, 'close')
  const ended = once(socket, 'close')
  socket.end()
  await closed
  socket.resume()
  await ended
  t.match(await proxy.waitForLine(1), { status: 101, cause: /^(?:client|upstream)$/ })
})
