/** Clients that take their time, and as many connections as they can get. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { effort } from '../support/effort.ts'
import { call, eventually, startGate } from '../support/gate.ts'
import { startRange, tryGood } from './support/rows.ts'

t.setTimeout(120_000)

interface Kept {
  readonly socket: Socket
  text: string
  /** Since it was opened. */
  closedMs: number | undefined
}

async function open(t: Test, port: number, count: number): Promise<readonly Kept[]> {
  const all: Kept[] = []
  t.teardown(() => all.forEach(({ socket }) => socket.destroy()))
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now()
    const kept: Kept = { socket: connect(port, '127.0.0.1'), text: '', closedMs: undefined }
    kept.socket.on('error', () => undefined)
    kept.socket.on('data', chunk => (kept.text += chunk.toString('latin1')))
    kept.socket.on('close', () => (kept.closedMs = performance.now() - startedMs))
    all.push(kept)
    // The kernel queues so many at once, and no more.
    if (i % 100 === 99) await once(kept.socket, 'connect')
  }
  return all
}

t.test('R1, R3: slow heads and idle connections end, and others are served meanwhile', async t => {
  const range = await startRange(t)
  const { port } = range.proxy
  const slow = await open(t, port, effort(300, 1000))
  const idle = await open(t, port, effort(1000, 8000))
  const head = 'GET /pub/x HTTP/1.1\r\nHost: g\r\nX-Slow: '
  let at = 0
  const drip = setInterval(() => {
    for (const { socket } of slow) if (socket.writable) socket.write(head[at] ?? 'x')
    at += 1
  }, 1000)
  t.teardown(() => clearInterval(drip))
  await tryGood(t, range, 'while they wait')
  const isOver = (all: readonly Kept[]) => all.every(({ closedMs }) => closedMs !== undefined)
  await eventually('all are closed', () => isOver(slow) && isOver(idle), 60_000)
  const last = Math.max(...[...slow, ...idle].map(({ closedMs = Infinity }) => closedMs))
  t.ok(last < 15_000 + effort(3000, 8000), `the slowest after ${Math.round(last)} ms`)
  t.ok(
    slow.every(({ text }) => text.startsWith('HTTP/1.1 408 ')),
    'CVE-2018-12122 Node'
  )
  t.match(slow[0]?.text, /"code":"REQUEST_TIMEOUT"/)
  t.equal(range.proxy.upstream.requests.length, 1)
  await tryGood(t, range, 'afterwards')
})

const ROUTES_FILE = join(import.meta.dirname, '../../config/routes.yaml')
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0

t.test(
  'R16: without file descriptors the gate lives, and accepts again',
  { skip: !hasPrlimit && 'prlimit is not there' },
  async t => {
    const gate = await startGate({ cwd: t.testdir(), env: { ROUTES_FILE } })
    t.teardown(() => gate.stop('SIGKILL'))
    const used = spawnSync('ls', [`/proc/${gate.pid}/fd`])
      .stdout.toString()
      .trim()
      .split('\n').length
    spawnSync('prlimit', ['--pid', String(gate.pid), `--nofile=${used + 20}`])
    const sockets = await open(t, gate.port, 100)
    await eventually('some were taken', () => sockets.some(({ socket }) => !socket.connecting))
    await new Promise(resolve => setTimeout(resolve, 500))
    for (const { socket } of sockets) socket.destroy()
    await eventually('it answers again', async () => {
      const { status } = await call(`${gate.url}/api/nothing`).catch(() => ({ status: 0 }))
      return status === 403 || status === 401
    })
    t.equal((await call(`${gate.adminUrl}/livez`)).status, 200)
  }
)
