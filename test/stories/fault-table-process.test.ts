/**
 * The fault table, around the process: its log, names, descriptors, and an upstream that misbehaves.
 * What is broken costs what the table says and nothing else, and mends itself.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createDisturbance } from '../support/disturb.ts'
import { builtCli } from '../support/built.ts'
import { effort } from '../support/effort.ts'
import { startFleet } from '../support/fleet.ts'
import {
  type Answer,
  call,
  createToken,
  eventually,
  type GateProcess,
  startGate
} from '../support/gate.ts'
import { metricsOf } from '../support/prometheus.ts'

const PATH = '/api/a'
/** A gate of its own each: in the full table alone. */
const LONG = { skip: effort(1, 0) === 1 }
const folder = mkdtempSync(join(tmpdir(), 'tollgate-faults-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const routes = join(folder, 'routes.yaml')
writeFileSync(
  routes,
  `version: 1
scopes: { scans:read: { title: S, default: true } }
routes:
  GET /api/a: scans:read
  POST /api/a: scans:read
  GET /api/slow: { scope: scans:read, timeoutMs: 400 }
`
)

const fleet = await startFleet(t, { gates: 0, env: { ROUTES_FILE: routes } })

function use({ url }: GateProcess, token: string, path = PATH) {
  return call(url + path, { bearer: token })
}

/** Its code, or what the upstream said. */
function codeOf({ json, text }: Answer): string {
  return typeof json['code'] === 'string' ? json['code'] : text
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

const raw = await startRawUpstream(socket => socket.write(OK))
t.teardown(() => raw.server.close())
const gate = await fleet.startGate({ UPSTREAM_URL: `http://127.0.0.1:${raw.port}` })
const { token } = await createToken(gate)

t.test('a full disk behind the log costs its lines and nothing else', LONG, async t => {
  const gate = await startGate({
    entrypoint: ['sh', '-c', 'exec "$0" "$@" > /dev/full', process.execPath, builtCli()],
    env: {
      ROUTES_FILE: routes,
      DATABASE_URL: fleet.database.url,
      REDIS_URL: fleet.redis.url,
      UPSTREAM_URL: fleet.upstream.url
    }
  })
  t.teardown(() => gate.stop('SIGKILL'))
  const { token } = await createToken(gate)
  for (let i = 0; i < 20; i++) t.equal((await use(gate, token)).status, 200)
  const dropped = await eventually('lines are counted', async () => {
    return (await metricsOf(gate)).value('log_lines_dropped_total') || undefined
  })
  t.comment(`log_lines_dropped_total ${dropped}`)
  t.equal((await call(`${gate.adminUrl}/readyz`)).status, 200)
  t.equal(await gate.stop(), 0, 'and it ends')
})

t.test(
  'names: a name server that fails is 502, a changed address is in use in seconds',
  LONG,
  async t => {
    const disturbance = createDisturbance(t, { names: { 'app.internal': '127.0.0.1' } })
    const gate = await fleet.startGate({
      ...disturbance.env,
      UPSTREAM_URL: `http://app.internal:${fleet.upstream.port}`,
      UPSTREAM_KEEPALIVE_MS: '300'
    })
    const { token } = await createToken(gate)
    t.equal((await use(gate, token)).status, 200)
    disturbance.set({ names: { 'app.internal': null } })
    await sleep(50)
    t.equal((await use(gate, token)).status, 200, 'over the open connection')
    await sleep(500)
    t.match(await use(gate, token), { status: 502, json: { code: 'UPSTREAM_UNREACHABLE' } })
    const labels = { upstream: 'default', code: 'UPSTREAM_UNREACHABLE' }
    t.ok((await metricsOf(gate)).value('upstream_errors_total', labels) >= 1)
    const moved = await startUpstreamAt('127.0.0.2', fleet.upstream.port)
    t.teardown(() => moved.close())
    const startedMs = performance.now()
    disturbance.set({ names: { 'app.internal': '127.0.0.2' } })
    await eventually('the new address is in use', async () => {
      return (await use(gate, token)).text === 'moved'
    })
    t.comment(`in use after ${Math.round(performance.now() - startedMs)} ms`)
  }
)

async function startUpstreamAt(host: string, port: number): Promise<Server> {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmoved'))
  })
  await once(server.listen(port, host), 'listening')
  return server
}

t.test('no descriptors left: what is connected goes on, the rest comes back', LONG, async t => {
  if (spawnSync('prlimit', ['--version']).error) {
    t.comment('prlimit is not installed (package util-linux)')
    return
  }
  const gate = await fleet.startGate()
  const { token } = await createToken(gate)
  t.equal((await use(gate, token)).status, 200)
  const kept = connect(gate.port, '127.0.0.1')
  kept.setEncoding('utf8').on('error', () => undefined)
  await once(kept, 'connect')
  const ask = async () => {
    kept.write(`GET ${PATH} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    const [text]: unknown[] = await once(kept, 'data')
    return /^HTTP\/1\.1 (\d+)/.exec(String(text))?.[1]
  }
  t.equal(await ask(), '200')
  const open = (await metricsOf(gate)).value('open_fds')
  const limit = (files: number) =>
    spawnSync('prlimit', ['--pid', String(gate.pid), `--nofile=${files}:65536`])
  limit(open + 10)
  const idle: Socket[] = Array.from({ length: 60 }, () => {
    const socket = connect(gate.port, '127.0.0.1')
    return socket.on('error', () => undefined)
  })
  await sleep(300)
  const statuses = new Set<string | undefined>()
  for (let i = 0; i < 20; i++) statuses.add(await ask())
  t.notOk(statuses.has('401'))
  t.ok(statuses.has('200'), `the one that was connected saw ${[...statuses].join(', ')}`)
  limit(65_536)
  for (const socket of idle) socket.destroy()
  const startedMs = performance.now()
  await eventually('new connections are served', async () => {
    const answer = await use(gate, token).catch(() => undefined)
    return answer?.status === 200
  })
  t.comment(`healed in ${Math.round(performance.now() - startedMs)} ms`)
  kept.destroy()
  await eventually('descriptors are back', async () => {
    return (await metricsOf(gate)).value('open_fds') <= open + 5
  })
})

/** An upstream that does to each connection what it is told. */
async function startRawUpstream(answer: (socket: Socket, request: string) => void) {
  let act = answer
  let connections = 0
  const server = createServer(socket => {
    connections += 1
    socket.on('error', () => undefined)
    socket.on('data', chunk => act(socket, chunk.toString('latin1')))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    server,
    connections: () => connections,
    does: (next: typeof answer) => void (act = next)
  }
}

t.test('an upstream that misbehaves: each way has its answer and its metric', async t => {
  const word = async (path = PATH) => {
    const answer = await use(gate, token, path).catch(() => undefined)
    return answer ? `${answer.status} ${codeOf(answer)}` : 'cut'
  }
  t.equal(await word(), '200 ok')
  const rows: readonly (readonly [string, (socket: Socket) => void, string, string, string?])[] = [
    ['silent', () => undefined, '504 UPSTREAM_TIMEOUT', 'UPSTREAM_TIMEOUT', '/api/slow'],
    ['closed before an answer', socket => socket.end(), '502 UPSTREAM_RESET', 'UPSTREAM_RESET'],
    ['garbage', socket => socket.end('what?\r\n\r\n'), '502 UPSTREAM_INVALID', 'UPSTREAM_INVALID'],
    [
      'a short body',
      socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort'),
      'cut',
      'aborted'
    ],
    [
      'reset in the middle',
      socket => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
      'cut',
      'aborted'
    ]
  ]
  for (const [name, act, expected, metric, path] of rows) {
    const read = async () => {
      const scrape = await metricsOf(gate)
      return metric === 'aborted'
        ? scrape.value('aborted_total', { by: 'upstream' })
        : scrape.value('upstream_errors_total', { upstream: 'default', code: metric })
    }
    const before = await read()
    raw.does(act)
    const seen = await word(path)
    t.equal(seen, expected, name)
    t.equal(await read(), before + 1, `${name}: ${metric}`)
    t.comment(`${name}: ${seen}, ${metric} +1`)
  }
  raw.does(socket => socket.write(OK))
  t.equal(await word(), '200 ok', 'well again at once')
  t.match(gate.output(), /"aborted":"upstream"/)
})

t.test(
  'an upstream that closes idle connections early costs a retry, and no request twice',
  async t => {
    let served = 0
    const raw = await startRawUpstream(socket => {
      served += 1
      socket.write(OK)
      setTimeout(() => socket.destroy(), 20)
    })
    t.teardown(() => raw.server.close())
    const gate = await fleet.startGate({ UPSTREAM_URL: `http://127.0.0.1:${raw.port}` })
    const { token } = await createToken(gate)
    const statuses: number[] = []
    for (let i = 0; i < 40; i++) {
      statuses.push((await use(gate, token)).status)
      await sleep(15 + (i % 10))
    }
    t.same([...new Set(statuses)], [200], 'GET: always answered')
    t.equal(served, 40, 'each was answered once')
    served = 0
    const posts: number[] = []
    for (let i = 0; i < 40; i++) {
      posts.push((await call(gate.url + PATH, { method: 'POST', bearer: token, body: {} })).status)
      await sleep(15 + (i % 10))
    }
    t.same(
      posts.filter(status => status !== 200 && status !== 502),
      []
    )
    t.ok(served <= 40, `POST: ${served} were seen of 40`)
    const retries = (await metricsOf(gate)).value('upstream_retries_total')
    t.comment(`${retries} retries; POST: ${posts.filter(status => status === 502).length} × 502`)
  }
)
