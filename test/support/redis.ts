/**
 * Private Redis servers for tests: real processes on free loopback ports, each in its own folder,
 * without persistence unless asked for. They end with the test that started them, also when it
 * fails, and even when the test process is killed: a guard process notices that its pipe closes.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

interface Teardown {
  teardown(release: () => unknown): void
}

export interface RedisOptions {
  readonly password?: string
  /** Everything is in an append-only file, so it outlives a restart. */
  readonly appendonly?: boolean
  /** Bytes; more is refused, never evicted. */
  readonly maxmemory?: number
  /** Follow the server on this port. */
  readonly replicaof?: number
  /** Further arguments: `['--min-replicas-to-write', '1']`. */
  readonly args?: readonly string[]
}

export interface RedisServer {
  readonly host: '127.0.0.1'
  readonly port: number
  /** `redis://…`, with the password. */
  readonly url: string
  /** Undefined while it is not running. */
  readonly pid: () => number | undefined
  /** One command over a connection of its own; rejects with the server's error. */
  command(name: string, ...args: readonly (string | number)[]): Promise<unknown>
  /** One field of INFO: `info('master_replid')`. */
  info(field: string): Promise<string>
  /** SIGTERM; persists what it is configured to persist. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void
  resume(): void
  /** On the same port and folder. `isReady` false: returns while it still loads its data. */
  start(options?: { isReady?: boolean; args?: readonly string[] }): Promise<void>
}

const READY_DEADLINE_MS = 15_000
const LISTEN_TRIES = 5

/** Started, and stopped at the end of the test. */
export async function startRedis(t: Teardown, options: RedisOptions = {}): Promise<RedisServer> {
  requireBinary('redis-server')
  const { password, replicaof } = options
  const persistence = ['--save', '', '--appendonly', options.appendonly ? 'yes' : 'no']
  const memory = ['--maxmemory', String(options.maxmemory ?? 0), '--maxmemory-policy', 'noeviction']
  const secret = password ? ['--requirepass', password, '--masterauth', password] : []
  const follow = replicaof ? ['--replicaof', '127.0.0.1', String(replicaof)] : []
  const fast = ['--appendfsync', 'always', '--repl-diskless-sync-delay', '0']
  const args = [...persistence, ...memory, ...secret, ...follow, ...fast, ...(options.args ?? [])]
  return startServer(t, args, password)
}

/** A primary and a replica that has its data. */
export async function startRedisPair(
  t: Teardown,
  options: RedisOptions = {}
): Promise<{ primary: RedisServer; replica: RedisServer }> {
  const primary = await startRedis(t, options)
  const replica = await startRedis(t, { ...options, replicaof: primary.port })
  await until(async () => (await replica.info('master_link_status')) === 'up', 'a replica in step')
  return { primary, replica }
}

/** Three masters that share all slots. */
export async function startRedisCluster(t: Teardown): Promise<readonly RedisServer[]> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000']
  const open = ['--cluster-require-full-coverage', 'no']
  const masters = await Promise.all(
    [1, 2, 3].map(() => startRedis(t, { args: [...args, ...open] }))
  )
  const [first] = masters
  const share = Math.ceil(16_384 / masters.length)
  for (const [index, master] of masters.entries()) {
    const slots = Array.from({ length: share }, (_, i) => index * share + i).filter(s => s < 16_384)
    await master.command('CLUSTER', 'ADDSLOTS', ...slots)
    if (first && master !== first) await master.command('CLUSTER', 'MEET', first.host, first.port)
  }
  await until(async () => {
    const states = await Promise.all(masters.map(m => m.command('CLUSTER', 'INFO')))
    return states.every(s => /cluster_state:ok[^]*cluster_known_nodes:3/.test(String(s)))
  }, 'a cluster in agreement')
  return masters
}

/** A sentinel that alone decides about the primary, which it calls `mymaster`. */
export async function startSentinel(t: Teardown, primary: RedisServer): Promise<RedisServer> {
  requireBinary('redis-server')
  const folder = makeFolder(t)
  const file = join(folder, 'sentinel.conf')
  const lines = [
    `sentinel monitor mymaster ${primary.host} ${primary.port} 1`,
    'sentinel down-after-milliseconds mymaster 300',
    'sentinel failover-timeout mymaster 3000'
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return startServer(t, ['--sentinel'], undefined, file)
}

/** Asks again every 10 ms until it is true; fails after 15 s. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what = 'the awaited state'
): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`${what} did not come`)
    await sleep(10)
  }
}

async function startServer(
  t: Teardown,
  baseArgs: readonly string[],
  password: string | undefined,
  configFile?: string
): Promise<RedisServer> {
  const folder = makeFolder(t)
  let running: ChildProcess | undefined
  let port = 0

  const launch = async (extra: readonly string[], isReady: boolean) => {
    const files = configFile === undefined ? [] : [configFile]
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
    running = await run([...files, ...place, ...baseArgs, ...extra], isReady)
    running.once('exit', () => (running = undefined))
  }
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const child = running
    if (!child) return
    const exited = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill(signal)
    await exited
  }
  t.teardown(() => end('SIGKILL'))
  // Another process may take a free port between the look and the start: another port then.
  for (let triesLeft = LISTEN_TRIES; triesLeft > 0; triesLeft--) {
    port = await freePort()
    try {
      await launch([], true)
      break
    } catch (cause) {
      if (triesLeft === 1) throw cause
    }
  }

  const server: RedisServer = {
    host: '127.0.0.1',
    port,
    url: `redis://${password ? `:${password}@` : ''}127.0.0.1:${port}`,
    pid: () => running?.pid,
    command: (name, ...args) => command(port, password, name, args),
    info: async field => {
      const text = String(await server.command('INFO'))
      return new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(text)?.[1] ?? ''
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void running?.kill('SIGSTOP'),
    resume: () => void running?.kill('SIGCONT'),
    start: ({ isReady = true, args = [] } = {}) => launch(args, isReady)
  }
  return server
}

/** Rejects with the server's own output when it ends before it is ready. */
async function run(args: readonly string[], isReady: boolean): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const guard = spawn('sh', ['-c', 'read _; kill -9 "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore']
  })
  child.once('exit', () => guard.kill())
  let output = ''
  const sign = isReady ? /Ready to accept connections|monitor master/ : /Server initialized/
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`redis-server did not become ready: ${output}`))
    }, READY_DEADLINE_MS)
    child.once('error', reject)
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`redis-server ended with ${code}: ${output}`))
    })
    child.stdout.on('data', chunk => {
      output = (output + String(chunk)).slice(-4096)
      if (!sign.test(output)) return
      clearTimeout(timer)
      resolve()
    })
  })
  return child
}

async function command(
  port: number,
  password: string | undefined,
  name: string,
  args: readonly (string | number)[]
): Promise<unknown> {
  const client = new Redis({
    host: '127.0.0.1',
    port,
    ...(password ? { password } : {}),
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false
  })
  client.on('error', () => {})
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

function makeFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-redis-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Below 55 000: a cluster node also opens the port 10 000 above. */
async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer()
    probe.listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const address = probe.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    probe.close()
    await once(probe, 'close')
    if (port > 0 && port < 55_000) return port
  }
}

/** Debian as root gets the package; anybody else is told its name. */
function requireBinary(name: string): void {
  const isThere = () =>
    (process.env['PATH'] ?? '').split(delimiter).some(folder => existsSync(join(folder, name)))
  if (isThere()) return
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    // Several test files may come here at once: apt waits for its lock.
    const options = ['-o', 'DPkg::Lock::Timeout=120', '-qq']
    execFileSync('apt-get', [...options, 'update'], { stdio: 'ignore' })
    execFileSync('apt-get', [...options, '-y', '--no-install-recommends', 'install', name], {
      stdio: 'ignore',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    })
  }
  if (!isThere())
    throw new Error(`${name} is missing: install the package "redis-server" (Redis 7)`)
}
