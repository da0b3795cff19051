/**
 * A private Postgres for tests: a real server in a temporary folder on a free loopback port, without
 * waiting for the disk. One server a test file, one database a call, cloned from a migrated template.
 * It ends with the test that started it, also when that is killed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { NO_OBSERVER } from '../../src/core/observer.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { freePort } from './gate.ts'
import { makeScratch } from './scratch.ts'

interface Teardown {
  teardown(release: () => unknown): void
}

export interface PostgresServer {
  readonly port: number
  /** A fresh database; `isEmpty`: without the schema. */
  createDatabase(options?: { isEmpty?: boolean }): Promise<TestDatabase>
  /** SIGKILL of the server and all its processes. */
  kill(): Promise<void>
  /** A shutdown that breaks connections off and loses nothing. */
  stop(): Promise<void>
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void
  resume(): void
  /** On the same port and folder. */
  start(): Promise<void>
  /** What the stopped server holds, kept aside; gives what puts it back, as a restore does. */
  keepCopy(): () => void
  /** Another server that follows this one; read-only until it is promoted. */
  startStandby(): Promise<StandbyServer>
}

export interface StandbyServer {
  readonly port: number
  /** It has all that was committed so far. */
  caughtUp(): Promise<void>
  /** It follows nobody any more, and takes changes. */
  promote(): Promise<void>
}

export interface TestDatabase {
  /** `postgres://…` */
  readonly url: string
  /** Rows of one statement, as an operator would run it. */
  readonly sql: (
    text: string,
    values?: readonly unknown[]
  ) => Promise<readonly Record<string, unknown>[]>
}

const READY_DEADLINE_MS = 20_000
/** Long enough to show, short enough that nobody waits for it in a test. */
const LEASE_MS = 1000

/** Started, and stopped at the end of the test. */
export async function startPostgres(t: Teardown): Promise<PostgresServer> {
  const binaries = findBinaries()
  const user = serverUser()
  const folder = makeScratch('tollgate-pg-')
  chmodSync(folder, 0o755)
  const data = join(folder, 'data')
  if (user) chownSync(folder, user.uid, user.gid)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  makeCluster({ binaries, data, user })
  let port = 0
  let child: ChildProcess | undefined
  const start = async () => {
    child = launch({ binaries, data, folder, port, user })
    await ready(child, port, folder)
  }
  const end = async (signal: NodeJS.Signals) => {
    if (!child || hasEnded(child)) return
    // Waiting for it must keep this process running, and nothing else of it does.
    child.ref()
    const exited = once(child, 'exit')
    if (signal === 'SIGKILL') signalAll(child, signal)
    else child.kill(signal)
    await exited
    rmSync(join(data, 'postmaster.pid'), { force: true })
  }
  t.teardown(() => end('SIGKILL'))
  // Another process may take a free port between the look and the start: another port then.
  for (let triesLeft = 5; triesLeft > 0; triesLeft--) {
    port = await freePort()
    try {
      await start()
      break
    } catch (cause) {
      if (triesLeft === 1) throw cause
    }
  }
  let template: Promise<void> | undefined
  let count = 0
  const startStandby = async (): Promise<StandbyServer> => {
    const base = makeScratch('tollgate-pg-')
    if (user) chownSync(base, user.uid, user.gid)
    t.teardown(() => rmSync(base, { recursive: true, force: true }))
    const copy = join(base, 'data')
    const from = ['-h', '127.0.0.1', '-p', String(port), '-U', 'tollgate', '-c', 'fast', '-R']
    execFileSync(join(binaries, 'pg_basebackup'), ['-D', copy, ...from], { ...user, stdio: 'pipe' })
    const standbyPort = await freePort()
    const server = launch({ binaries, data: copy, folder: base, port: standbyPort, user })
    t.teardown(async () => {
      if (hasEnded(server)) return
      server.ref()
      const exited = once(server, 'exit')
      signalAll(server, 'SIGKILL')
      await exited
    })
    await ready(server, standbyPort, base)
    const lsn = async (on: number, text: string) => {
      const [row] = await runOn(on, 'postgres', `SELECT ${text} AS lsn`)
      return String(row?.['lsn'])
    }
    return {
      port: standbyPort,
      async caughtUp() {
        const wanted = await lsn(port, 'pg_current_wal_lsn()')
        const behind = `pg_wal_lsn_diff('${wanted}', pg_last_wal_replay_lsn()) > 0`
        while ((await lsn(standbyPort, behind)) === 'true') await sleep(20)
      },
      promote: async () => {
        await runOn(standbyPort, 'postgres', 'SELECT pg_promote(true, 20)')
      }
    }
  }
  return {
    port,
    keepCopy() {
      const aside = join(folder, 'copy')
      const copy = (from: string, to: string) => {
        rmSync(to, { recursive: true, force: true })
        execFileSync('cp', ['-a', from, to])
      }
      copy(data, aside)
      return () => copy(aside, data)
    },
    startStandby,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGINT'),
    start,
    pause: () => child && signalAll(child, 'SIGSTOP'),
    resume: () => child && signalAll(child, 'SIGCONT'),
    async createDatabase({ isEmpty = false } = {}) {
      if (!isEmpty) await (template ??= makeTemplate(port))
      count += 1
      const name = `test_${count}`
      await runOn(
        port,
        'postgres',
        `CREATE DATABASE ${name} TEMPLATE ${isEmpty ? 'template0' : 'migrated'}`
      )
      return {
        url: urlOf(port, name),
        sql: (text, values) => runOn(port, name, text, values)
      }
    }
  }
}

async function makeTemplate(port: number): Promise<void> {
  await runOn(port, 'postgres', 'CREATE DATABASE migrated')
  await using database = openTestDatabase(urlOf(port, 'migrated'))
  await migrate(database, { leaseMs: LEASE_MS })
}

export function openTestDatabase(url: string): Database {
  return openDatabase({ connection: { connectionString: url }, observer: NO_OBSERVER })
}

function urlOf(port: number, name: string): string {
  return `postgres://tollgate@127.0.0.1:${port}/${name}`
}

async function runOn(port: number, name: string, text: string, values?: readonly unknown[]) {
  const client = new Client({ connectionString: urlOf(port, name) })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const { rows } = await client.query(text, values && [...values])
    return rows
  } finally {
    await client.end()
  }
}

interface Launch {
  readonly binaries: string
  readonly data: string
  readonly folder: string
  readonly port: number
  readonly user: { readonly uid: number; readonly gid: number } | undefined
}

/** In a process group of its own; a guard ends it when this process is gone. */
function launch({ binaries, data, folder, port, user }: Launch): ChildProcess {
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'fsync=off',
    'full_page_writes=off',
    // Else a killed server leaves its segments in /dev/shm for good.
    'dynamic_shared_memory_type=mmap',
    'max_connections=100',
    'shared_buffers=64MB'
  ].flatMap(setting => ['-c', setting])
  const log = openSync(join(folder, 'log'), 'a')
  const child = spawn(join(binaries, 'postgres'), ['-D', data, ...settings], {
    ...user,
    detached: true,
    stdio: ['ignore', log, log]
  })
  closeSync(log)
  const guard = `read -r _; kill -CONT -${child.pid}; kill -KILL -${child.pid} 2>/dev/null; rm -rf ${folder}`
  const guardian = spawn('sh', ['-c', guard], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true
  })
  guardian.unref()
  // A pipe that nobody writes to: it closes when this process ends, however that happens.
  if (guardian.stdin && 'unref' in guardian.stdin && typeof guardian.stdin.unref === 'function') {
    guardian.stdin.unref()
  }
  child.once('exit', () => guardian.kill('SIGKILL'))
  child.unref()
  return child
}

/** Each backend is a process of its own, in the group of its server or in one of its own. */
function signalAll(child: ChildProcess, signal: NodeJS.Signals): void {
  const pids = [child.pid ?? 0, ...childrenOf(child.pid ?? 0)]
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended already.
    }
  }
}

function childrenOf(pid: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.split('\n').flatMap(line => (line.trim() === '' ? [] : [Number(line)]))
}

/** What is the same in each run of the tests, and dear to make. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/tollgate-test')
const INITDB = ['-U', 'tollgate', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--wal-segsize=1']

/**
 * What initdb makes of `data`. Its result is kept beside the installed packages for this version of
 * Postgres and this user: a copy takes a tenth of the time, and the suite starts some hundred servers.
 */
function makeCluster({ binaries, data, user }: Pick<Launch, 'binaries' | 'data' | 'user'>): void {
  const version = execFileSync(join(binaries, 'postgres'), ['--version'], { encoding: 'utf8' })
  const owner = user?.uid ?? process.getuid?.()
  const key = createHash('sha256')
    .update(JSON.stringify([version, owner, INITDB]))
    .digest('hex')
  const kept = join(CACHE, `cluster-${key.slice(0, 16)}`)
  if (existsSync(kept)) {
    execFileSync('cp', ['-a', kept, data])
    return
  }
  const options = [...INITDB, '--no-sync', '-D', data]
  execFileSync(join(binaries, 'initdb'), options, { ...user, stdio: 'pipe' })
  mkdirSync(CACHE, { recursive: true })
  const copy = `${kept}-${randomUUID()}`
  execFileSync('cp', ['-a', data, copy])
  try {
    renameSync(copy, kept)
  } catch {
    // Another test file was faster; its cluster is as good.
    rmSync(copy, { recursive: true, force: true })
  }
}

/** And not another server that has got the port. */
async function isServing(port: number, data: string): Promise<boolean> {
  try {
    const [row] = await runOn(port, 'postgres', 'SHOW data_directory')
    return row?.['data_directory'] === data
  } catch {
    return false
  }
}

/** Rejects with the server's own words when it ends before it is ready. */
async function ready(child: ChildProcess, port: number, folder: string): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  while (!(await isServing(port, join(folder, 'data')))) {
    if (hasEnded(child) || performance.now() > deadline) {
      throw new Error(`Postgres did not become ready: ${readFileSync(join(folder, 'log'), 'utf8')}`)
    }
    await sleep(20)
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** Postgres refuses to run as root; undefined: as whoever runs the tests. */
function serverUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const number = (option: string, name: string) =>
    Number(spawnSync('id', [option, name], { encoding: 'utf8' }).stdout)
  const name = spawnSync('id', ['postgres']).status === 0 ? 'postgres' : 'nobody'
  return { uid: number('-u', name), gid: number('-g', name) }
}

function findBinaries(): string {
  const found = lookForBinaries()
  if (found !== undefined) return found
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    // No cluster of its own is started; several test files may come here at once: apt waits.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    const options = ['-o', 'DPkg::Lock::Timeout=120', '-qq']
    execFileSync('apt-get', [...options, 'update'], { env, stdio: 'ignore' })
    const install = ['-y', '--no-install-recommends', 'install', 'postgresql']
    execFileSync('apt-get', [...options, ...install], { env, stdio: 'ignore' })
  }
  const installed = lookForBinaries()
  if (installed === undefined) {
    throw new Error('The tests need a Postgres server: install the Debian package "postgresql".')
  }
  return installed
}

/** On the path, or where Debian keeps each version's own. */
function lookForBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).toSorted().toReversed() : []
  const folders = [
    ...versions.map(version => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter)
  ]
  return folders.find(folder => existsSync(join(folder, 'postgres')))
}
