/**
 * The fault table, where a process is at its limit: nobody reads its log, or its heap is full. The first
 * costs lines; the second the process, and no client an answer that is not true.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { builtCli } from '../support/built.ts'
import { makeTokens } from '../support/clients.ts'
import { startFleet } from '../support/fleet.ts'
import {
  call,
  createToken,
  eventually,
  type GateProcess,
  startGate,
  userJwt
} from '../support/gate.ts'
import { metricsOf } from '../support/prometheus.ts'
import { sendRaw } from '../support/raw.ts'

const PATH = '/api/scans/dashboard'
const ROUTES_FILE = join(import.meta.dirname, '../../config/routes.yaml')
const MEBIBYTE = 1_048_576

const fleet = await startFleet(t)
const [first] = fleet.gates
if (!first) throw new Error('no gate')
const use = ({ url }: GateProcess, token: string) => call(url + PATH, { bearer: token })

/** A pipe with a reader that reads when it is told to. */
function makePipe(folder: string) {
  const path = join(folder, 'log')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const piece = Buffer.alloc(65_536)
  /** Undefined: nothing is there at the moment. */
  const readPiece = () => {
    try {
      return piece.toString('latin1', 0, readSync(reader, piece))
    } catch {
      return undefined
    }
  }
  const readAll = () => {
    let text = ''
    for (let read = readPiece(); read; read = readPiece()) text += read
    return text
  }
  return { path, readAll, close: () => closeSync(reader) }
}

t.test('a log that nobody reads costs its lines and nothing else', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-unread-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const pipe = makePipe(folder)
  t.teardown(pipe.close)
  const gate = await startGate({
    cwd: folder,
    entrypoint: ['sh', '-c', 'exec "$0" "$@" > log', process.execPath, builtCli()],
    env: {
      ROUTES_FILE,
      DATABASE_URL: fleet.database.url,
      REDIS_URL: fleet.redis.url,
      UPSTREAM_URL: fleet.upstream.url
    }
  })
  t.teardown(() => gate.stop('SIGKILL'))
  const { token } = await createToken(gate)
  t.equal((await use(gate, token)).status, 200)
  const before = await metricsOf(gate)
  t.equal(before.value('log_lines_dropped_total'), 0)

  // Lines that are long, of requests that are cheap: 4 MiB of them wait at the most.
  const request = `GET ${PATH} HTTP/1.1\r\nHost: g\r\nX-Request-Id: ${'x'.repeat(100)}\r\n\r\n`
  const some = () => sendRaw(gate.port, request.repeat(250), { answers: 250, waitMs: 20_000 })
  const statuses = new Set<number>()
  let sent = 0
  const dropped = await eventually('lines are dropped', async () => {
    const results = await Promise.all([some(), some(), some(), some()])
    for (const { answers } of results) {
      sent += answers.length
      for (const { status } of answers) statuses.add(status)
    }
    t.equal((await use(gate, token)).status, 200)
    return (await metricsOf(gate)).value('log_lines_dropped_total') || undefined
  })
  t.same([...statuses], [401])
  t.equal((await call(`${gate.adminUrl}/readyz`)).status, 200)
  const more =
    (await metricsOf(gate)).value('process_resident_memory_bytes') -
    before.value('process_resident_memory_bytes')
  t.ok(more < 150 * MEBIBYTE, `${Math.round(more / MEBIBYTE)} MiB more`)
  t.comment(`${sent} requests, log_lines_dropped_total ${dropped}`)

  const startedMs = performance.now()
  let text = ''
  await eventually('what waited is read', async () => {
    text += pipe.readAll()
    return text.length > 3 * MEBIBYTE && text.endsWith('\n')
  })
  await call(gate.url + PATH, { headers: { 'x-request-id': 'heard-again' } })
  await eventually('the next line is heard', () => {
    text += pipe.readAll()
    return text.includes('heard-again')
  })
  t.comment(`healed in ${Math.round(performance.now() - startedMs)} ms`)
  const lines = text.trimEnd().split('\n')
  t.doesNotThrow(() => lines.forEach(line => JSON.parse(line)), 'each line is whole')

  await some()
  t.equal(await gate.stop(), 0, 'unread again, it ends all the same')
})

t.test('a gate at its heap limit dies, and tells nobody anything that is not so', async t => {
  const gate = await fleet.startGate({ NODE_OPTIONS: '--max-old-space-size=80' })
  const [kept, gone] = [await createToken(first), await createToken(first)]
  for (const { token } of [kept, gone]) t.equal((await use(gate, token)).status, 200)
  const large = [...(await makeTokens(fleet.database, 100, 'x'.repeat(1_000_000)))]
  const seen: Record<string, number> = {}
  const ask = async (token: string) => {
    const word = await use(gate, token).then(
      ({ status, json }) => `${status} ${status === 200 ? '' : String(json['code'])}`.trim(),
      () => 'broken connection'
    )
    seen[word] = (seen[word] ?? 0) + 1
  }
  const isGone = () => /heap out of memory/.test(gate.output())
  while (large.length > 0 && !isGone()) {
    const some = large.splice(0, 4)
    await Promise.all([...some, kept.token].map(ask))
  }
  await gate.printed(/heap out of memory/)
  t.not(await gate.stop(), 0, 'whoever watches it starts it again')
  const told = Object.keys(seen).filter(word => word !== '200' && word !== 'broken connection')
  t.same(
    told.filter(word => !/^503 (?:OVERLOADED|TOKEN_STORE_UNAVAILABLE)$/.test(word)),
    []
  )
  t.ok((seen['200'] ?? 0) > 0)
  t.comment(JSON.stringify(seen))

  // Its row is there, and it acknowledges nothing: the lease it had is waited for.
  const deadlines = async () =>
    (await metricsOf(first)).value('barriers_total', { end: 'deadline' })
  const before = await deadlines()
  const startedMs = performance.now()
  const path = `${first.url}/api/auth/cli-tokens/${gone.id}`
  const deleted = await call(path, { method: 'DELETE', bearer: await userJwt() })
  t.match(deleted, { status: 200, json: { success: true } })
  t.equal(await deadlines(), before + 1)
  t.comment(`DELETE took ${Math.round(performance.now() - startedMs)} ms`)
  const again = await fleet.startGate()
  t.equal((await use(again, kept.token)).status, 200)
  t.equal((await use(again, gone.token)).status, 401)
})
