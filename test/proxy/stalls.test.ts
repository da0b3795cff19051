import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { startProxy } from '../support/proxy.ts'

const ROUTES = `
version: 1
scopes: { a:read: { title: a } }
routes:
  GET,POST /pub/{rest...}: public
`

t.test('a client that stops sending its body gets 408', async t => {
  const proxy = await startProxy(t, { routes: ROUTES })
  const socket = connect(proxy.port, '127.0.0.1')
  socket.setEncoding('latin1')
  await once(socket, 'connect')
  socket.write('POST /pub/x HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc')
  while (proxy.upstream.begun === 0) await new Promise(resolve => setTimeout(resolve, 5))
  proxy.tick(58)
  t.equal(proxy.lines.length, 0)
  const answered = once(socket, 'data')
  proxy.tick(5)
  t.match(String(await answered), /^HTTP\/1\.1 408 [\s\S]*"code":"REQUEST_TIMEOUT"/)
  t.match(await proxy.waitForLine(), { status: 408, code: 'REQUEST_TIMEOUT' })
  while (proxy.upstream.raw()[0] === undefined) await new Promise(resolve => setTimeout(resolve, 5))
  t.equal(proxy.upstream.requests.length, 0, 'the upstream got no whole request')
  socket.destroy()
})

t.test('a client that reads nothing is cut, and so is its upstream request', async t => {
  const chunk = Buffer.alloc(1_048_576, 'x')
  const proxy = await startProxy(t, {
    routes: ROUTES,
    upstream: {
      handle: (_request, response) => {
        response.writeHead(200)
        const send = () => {
          while (response.write(chunk));
        }
        response.on('drain', send)
        send()
      }
    }
  })
  const socket = connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.on('error', () => undefined)
  socket.write('GET /pub/x HTTP/1.1\r\nHost: g\r\n\r\n')
  await new Promise(resolve => setTimeout(resolve, 500))
  proxy.tick(62)
  t.match(await proxy.waitForLine(), { aborted: 'client', status: 200 })
  while (proxy.upstream.aborted === 0) await new Promise(resolve => setTimeout(resolve, 5))
  socket.destroy()
})

t.test(
  'an upstream that stops in the middle of its answer is cut, and the client with it',
  async t => {
    const proxy = await startProxy(t, {
      routes: ROUTES,
      upstream: {
        respond: (_request, response) => {
          response.writeHead(200, { 'content-length': '10' })
          response.write('half')
        }
      }
    })
    const socket = connect(proxy.port, '127.0.0.1')
    await once(socket, 'connect')
    const ended = once(socket, 'close')
    socket.write('GET /pub/x HTTP/1.1\r\nHost: g\r\n\r\n')
    await once(socket, 'data')
    proxy.tick(200)
    t.equal(proxy.lines.length, 0, 'it may take its time')
    proxy.tick(102)
    await ended
    t.match(await proxy.waitForLine(), { aborted: 'upstream' })
  }
)

t.test('when the grace is over, what still runs is cut without an answer', async t => {
  const proxy = await startProxy(t, { routes: ROUTES, upstream: { handle: () => undefined } })
  const socket = connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  let answer = ''
  socket.on('data', text => (answer += String(text)))
  const ended = once(socket, 'close')
  socket.write('GET /pub/x HTTP/1.1\r\nHost: g\r\n\r\n')
  while (proxy.upstream.begun === 0) await new Promise(resolve => setTimeout(resolve, 5))
  proxy.cut()
  await ended
  t.equal(answer, '')
  t.match(await proxy.waitForLine(), { aborted: 'grace' })
})
