/** The promise for what is already running: tunnels and event streams end with their token. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { makeCertificate } from '../../support/certificate.ts'
import { effort } from '../../support/effort.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { call, createToken, eventually, type GateProcess } from '../../support/gate.ts'
import { LEASE_MS, startLinkedFleet, wasAcknowledged } from './fleet.ts'

t.setTimeout(110_000)

const ROUTES = `
version: 1
scopes: { scans:read: { title: Read scans, default: true } }
routes:
  GET /api/scans/dashboard: scans:read
  GET /events: scans:read
  GET /socket: { scope: scans:read, upgrade: websocket }
  GET /slow: scans:read
`

const folder = mkdtempSync(join(tmpdir(), 'tollgate-streams-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const routesFile = join(folder, 'routes.yaml')
writeFileSync(routesFile, ROUTES)

const sockets = new WebSocketServer({ noServer: true })
const open = new Set<ServerResponse>()
/** An event a moment, on every stream. */
const ticking = setInterval(() => {
  for (const response of open) response.write(`data: ${Date.now()}\n\n`)
}, 20)
t.teardown(() => clearInterval(ticking))

const fleet = await startLinkedFleet(t, {
  env: { ROUTES_FILE: routesFile },
  upstream: {
    handle: (request: IncomingMessage, response: ServerResponse) => {
      if (request.url !== '/events') {
        response.end('plain')
        return
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
      open.add(response)
      response.on('close', () => open.delete(response))
    },
    upgrade: (request, socket, early) => {
      sockets.handleUpgrade(request, socket, early, peer => {
        peer.on('message', data => peer.send(data))
      })
    }
  }
})
const { gates, replicas } = fleet
const [first, , third] = gates

/** When the last byte came, by this process's clock, and whether it is over. */
interface Stream {
  lastMs(): number
  isClosed(): boolean
}

async function openEvents(gate: GateProcess, token: string): Promise<Stream> {
  const request = get(`${gate.url}/events`, { headers: { authorization: `Bearer ${token}` } })
  const [response] = await once(request, 'response')
  let lastMs = performance.now()
  let isClosed = false
  response.on('data', () => (lastMs = performance.now()))
  response.on('error', () => undefined)
  response.on('close', () => (isClosed = true))
  return { lastMs: () => lastMs, isClosed: () => isClosed }
}

async function openSocket(gate: GateProcess, token: string): Promise<Stream> {
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/socket`, {
    headers: { authorization: `Bearer ${token}` }
  })
  await once(socket, 'open')
  let lastMs = performance.now()
  let isClosed = false
  const sending = setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send('x')
  }, 20)
  t.teardown(() => clearInterval(sending))
  socket.on('message', () => (lastMs = performance.now()))
  socket.on('error', () => undefined)
  socket.on('close', () => (isClosed = true))
  return { lastMs: () => lastMs, isClosed: () => isClosed }
}

/** On the third replica: one of each kind, both with bytes on their way. */
async function openBoth(token: string): Promise<readonly Stream[]> {
  const streams = [await openEvents(third, token), await openSocket(third, token)]
  await flowing(streams)
  return streams
}

async function flowing(streams: readonly Stream[]): Promise<void> {
  const fromMs = performance.now()
  await eventually('bytes come', () => streams.every(stream => stream.lastMs() > fromMs))
}

const closed = (t: Test, streams: readonly Stream[]) =>
  t.same(
    streams.map(stream => stream.isClosed()),
    [true, true]
  )

t.test('streams on another replica end when their token is revoked', async t => {
  const [gone, kept] = [await createToken(first), await createToken(first)]
  const [streams, others] = [await openBoth(gone.token), await openBoth(kept.token)]
  const startedMs = performance.now()
  wasAcknowledged(t, await fleet.revoke(first, gone.id))
  const answeredMs = performance.now()
  await eventually('they end', () => streams.every(stream => stream.isClosed()))
  t.comment(
    `DELETE ${Math.round(answeredMs - startedMs)} ms, streams closed ` +
      `${Math.round(performance.now() - answeredMs)} ms after the answer`
  )
  closed(t, streams)
  await flowing(others)
  await fleet.revoke(first, kept.id)
  await eventually('they end', () => others.every(stream => stream.isClosed()))
})

t.test('a replica that hears nothing passes no byte of a stream past its lease', async t => {
  const { token, id } = await createToken(first)
  const streams = await openBoth(token)
  await replicas[2].postgres.refuse()
  await replicas[2].redis.refuse()
  const cutMs = performance.now()
  const deleted = await fleet.revoke(first, id)
  t.equal(deleted.status, 200, deleted.text)
  const answeredMs = performance.now()
  await sleep(500)
  for (const stream of streams) {
    t.ok(stream.lastMs() < answeredMs, 'no byte came after the answer')
    t.ok(stream.lastMs() - cutMs < LEASE_MS + 500)
  }
  const waitMs = effort(0, 31_000)
  if (waitMs > 0) {
    await sleep(waitMs)
    closed(t, streams)
  }
  await replicas[2].postgres.pass()
  await replicas[2].redis.pass()
  await eventually('they end', () => streams.every(stream => stream.isClosed()))
  await fleet.healed()
})

t.test('after a gap in what a replica heard, streams that are still permitted go on', async t => {
  const { token, id } = await createToken(first)
  const streams = await openBoth(token)
  await fleet.database.sql(`INSERT INTO tg_token (digest, preview, user_id, name, scopes)
    SELECT sha256(n::text::bytea), 'p', 'many', 'n', '{a:b}' FROM generate_series(1, 2000) n`)
  // Too many to name: announced as "all".
  await fleet.database.sql(`UPDATE tg_token SET name = 'x' WHERE user_id = 'many'`)
  await sleep(LEASE_MS)
  await flowing(streams)
  t.same(
    streams.map(stream => stream.isClosed()),
    [false, false]
  )
  await fleet.database.sql(`UPDATE tg_token SET scopes = '{a:b}' WHERE id = $1`, [id])
  await eventually('without the scope they end', () => streams.every(each => each.isClosed()))
})

t.test(
  'a request that waits for its connection is judged when the connection is there',
  async t => {
    const certificate = await makeCertificate(folder)
    const seen: string[] = []
    const upstream = createServer(certificate, (request, response) => {
      seen.push(request.url ?? '')
      response.end('{}')
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    t.teardown(() => upstream.close())
    const address = upstream.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const link = await startFaultProxy(t, address.port)
    const { gate } = await fleet.startReplica({
      UPSTREAM_URL: `https://127.0.0.1:${link.port}`,
      UPSTREAM_CONNECT_TIMEOUT_MS: '10000',
      NODE_EXTRA_CA_CERTS: certificate.file
    })
    const [gone, kept] = [await createToken(first), await createToken(first)]
    const use = (token: string) => call(`${gate.url}/slow`, { bearer: token })
    t.equal((await use(kept.token)).status, 200)
    await sleep(50)
    // The TLS handshake of every new connection is held: the requests wait for it.
    link.hold()
    const idle = use(kept.token)
    await sleep(50)
    const before = link.seen.connections
    const [parked, other] = [use(gone.token), use(kept.token)]
    await eventually('they wait for connections', () => link.seen.connections >= before + 2)
    wasAcknowledged(t, await fleet.revoke(first, gone.id), 4)
    link.release()
    t.equal((await parked).status, 401)
    t.equal((await other).status, 200)
    t.equal((await idle).status, 200)
    t.equal(seen.length, 3, 'the parked one was never sent')
    await gate.stop()
  }
)
