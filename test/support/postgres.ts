/**
 * A private Postgres for tests: a real server in a temporary folder on a free loopback port, without
 * waiting for the disk. One server a test file, one database a call, cloned from a migrated template.
 * It ends with the test that started it, also when that is killed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { freePort } from './gate.ts'

interface Teardown {
  teardown(release: () => unknown): void
}

export interface PostgresServer {
  readonly port: number
  /** A fresh database; `isEmpty`: without the schema. */
  createDatabase(options?: { isEmpty?: boolean }): Promise<TestDatabase>
  /** SIGKILL of the server and all its processes. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void
  resume(): void
  /** On the same port and folder. */
  start(): Promise<void>
}

export interface TestDatabase {
  /** `postgres://…` */
  readonly url: string
  /** Rows of one statement, as an operator would run it. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
}

export const NO_OBSERVER = {
  count: () => undefined,
  measure: () => undefined,
  gauge: () => undefined
}

const READY_DEADLINE_MS = 20_000
/** Long enough to show, short enough that nobody waits for it in a test. */
const LEASE_MS = 1000

/** Started, and stopped at the end of the test. */
export async function startPostgres(t: Teardown): Promise<PostgresServer> {
  const binaries = findBinaries()
  const user = serverUser()
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-pg-'))
  chmodSync(folder, 0o755)
  const data = join(folder, 'data')
  if (user) chownSync(folder, user.uid, user.gid)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const initArgs = [
    '-D',
    data,
    '-U',
    'tollgate',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--no-sync',
    '--locale=C'
  ]
  execFileSync(join(binaries, 'initdb'), initArgs, { ...user, stdio: 'pipe' })
  const port = await freePort()
  let child: ChildProcess | undefined
  const start = async () => {
    child = launch({ binaries, data, folder, port, user })
    await until(() => canConnect(port))
  }
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    signalAll(child, 'SIGKILL')
    await exited
    rmSync(join(data, 'postmaster.pid'), { force: true })
  }
  t.teardown(kill)
  await start()
  let count = 0
  let hasTemplate = false
  return {
    port,
    kill,
    start,
    pause: () => child && signalAll(child, 'SIGSTOP'),
    resume: () => child && signalAll(child, 'SIGCONT'),
    async createDatabase({ isEmpty = false } = {}) {
      if (!isEmpty && !hasTemplate) await makeTemplate(port)
      hasTemplate ||= !isEmpty
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
    'max_connections=100',
    'shared_buffers=64MB'
  ].flatMap(setting => ['-c', setting])
  const child = spawn(join(binaries, 'postgres'), ['-D', data, ...settings], {
    ...user,
    detached: true,
    stdio: 'ignore'
  })
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

async function canConnect(port: number): Promise<boolean> {
  try {
    await runOn(port, 'postgres', 'SELECT 1')
    return true
  } catch {
    return false
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('Postgres did not become ready')
    await sleep(20)
  }
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
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' })
    const args = ['install', '-y', '-qq', '--no-install-recommends', 'postgresql']
    execFileSync('apt-get', args, { env, stdio: 'ignore' })
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
