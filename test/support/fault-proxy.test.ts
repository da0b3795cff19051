import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

/** A server that answers each chunk with a letter and the chunk. */
async function startEcho(t: Test, letter: string): Promise<number> {
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', chunk => socket.write(`${letter}${String(chunk)}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

interface Client {
  readonly socket: Socket
  /** What has arrived so far. */
  text(): string
  /** Resolves when so much has arrived. */
  received(length: number): Promise<string>
  /** `end`, or the code of the error. */
  readonly closed: Promise<string>
}

async function open(t: Test, proxy: FaultProxy): Promise<Client> {
  const socket = connect(proxy.port, proxy.host)
  t.teardown(() => socket.destroy())
  let text = ''
  let code = 'end'
  socket.on('data', chunk => (text += String(chunk)))
  socket.on('error', error => (code = 'code' in error ? String(error.code) : error.message))
  // Not `once`, which would reject at the error that comes first.
  const closed = new Promise<string>(resolve => {
    socket.on('close', () => resolve(code))
  })
  await Promise.race([new Promise(resolve => socket.once('connect', resolve)), closed])
  const received = async (length: number) => {
    while (text.length < length) await once(socket, 'data')
    return text
  }
  return { socket, text: () => text, received, closed }
}

async function setUp(t: Test): Promise<{ proxy: FaultProxy; client: Client }> {
  const proxy = await startFaultProxy(t, await startEcho(t, 'a'))
  const client = await open(t, proxy)
  return { proxy, client }
}

/** Long enough for loopback to deliver what was not stopped. */
const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

t.test('passes both ways and counts', async t => {
  const { proxy, client } = await setUp(t)
  client.socket.write('12')
  t.equal(await client.received(3), 'a12')
  t.match(proxy.seen, { connections: 1, chunksUp: 1, chunksDown: 1, bytesUp: 2, bytesDown: 3 })
  t.equal(proxy.openConnections(), 1)
  client.socket.end()
  t.equal(await client.closed, 'end')
})

t.test('delays each chunk by itself, in each direction', async t => {
  const { proxy, client } = await setUp(t)
  proxy.delay(300)
  const startedAt = performance.now()
  client.socket.write('1')
  await pause(20)
  client.socket.write('2')
  // Chunks so close together may become one, at the proxy or behind it.
  while (!client.text().includes('2')) await pause(1)
  t.match(client.text(), /^a1a?2$/)
  const tookMs = performance.now() - startedAt
  t.ok(tookMs >= 598, `${tookMs} ms`)
  t.ok(tookMs < 1100, `the second chunk did not wait for the first: ${tookMs} ms`)
})

t.test('holds, and releases in order', async t => {
  const { proxy, client } = await setUp(t)
  proxy.hold()
  client.socket.write('1')
  await pause(30)
  t.equal(client.text(), '')
  proxy.release()
  client.socket.write('2')
  await client.received(3)
  t.match(client.text(), /^a12?/)
})

t.test('loses replies one way', async t => {
  const { proxy, client } = await setUp(t)
  proxy.oneWay()
  client.socket.write('1')
  while (proxy.seen.chunksDown === 0) await pause(5)
  await proxy.pass()
  t.equal(await client.closed, 'ECONNRESET', 'a stream with a hole in it does not go on')
  t.equal(client.text(), '')
  const next = await open(t, proxy)
  next.socket.write('2')
  t.match(await next.received(2), /^a2$/)
})

t.test('resets open and new connections', async t => {
  const { proxy, client } = await setUp(t)
  proxy.reset()
  t.equal(await client.closed, 'ECONNRESET')
  t.equal(await (await open(t, proxy)).closed, 'ECONNRESET')
  await proxy.pass()
  const next = await open(t, proxy)
  next.socket.write('1')
  t.equal(await next.received(2), 'a1')
})

t.test('closes open and new connections', async t => {
  const { proxy, client } = await setUp(t)
  proxy.close()
  t.equal(await client.closed, 'end')
  t.equal(await (await open(t, proxy)).closed, 'end')
})

t.test('refuses, and listens again on the same port', async t => {
  const { proxy, client } = await setUp(t)
  await proxy.refuse()
  t.equal(await client.closed, 'ECONNRESET')
  t.equal(await (await open(t, proxy)).closed, 'ECONNREFUSED')
  await proxy.pass()
  const next = await open(t, proxy)
  next.socket.write('1')
  t.equal(await next.received(2), 'a1')
})

t.test('cuts after so many bytes of replies', async t => {
  const { proxy, client } = await setUp(t)
  proxy.cutAfter(3)
  client.socket.write('123456')
  t.equal(await client.closed, 'ECONNRESET')
  t.equal(proxy.seen.bytesDown, 7)
  t.ok('a12'.startsWith(client.text()), 'a reset may overtake what was sent before it')
})

t.test('throttles', async t => {
  const { proxy, client } = await setUp(t)
  proxy.throttle(1000)
  const startedAt = performance.now()
  client.socket.write('x'.repeat(400))
  await client.received(401)
  const tookMs = performance.now() - startedAt
  t.ok(tookMs >= 290, `400 bytes, the last 100 of them on credit: ${tookMs} ms`)
})

t.test('turns to another server', async t => {
  const { proxy, client } = await setUp(t)
  proxy.target(await startEcho(t, 'b'))
  t.equal(await client.closed, 'ECONNRESET')
  const next = await open(t, proxy)
  next.socket.write('1')
  t.equal(await next.received(2), 'b1')
})

t.test('a server that is not there resets the client', async t => {
  const proxy = await startFaultProxy(t, 1)
  t.equal(await (await open(t, proxy)).closed, 'ECONNRESET')
})

t.test('slows the sender of a receiver that does not read', async t => {
  const { proxy, client } = await setUp(t)
  proxy.hold()
  const megabyte = Buffer.alloc(1_048_576)
  while (client.socket.write(megabyte)) await pause(1)
  await pause(50)
  const held = proxy.seen.bytesUp
  await pause(50)
  t.equal(proxy.seen.bytesUp, held)
  t.ok(held < 8 * megabyte.length, `${held} bytes`)
})
