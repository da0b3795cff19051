/** Processes on a core of their own, and what the kernel says that they used. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** The proxied side has one core, load generator and upstream another, where there are two. */
export const PROXY_CORE = 0
export const LOAD_CORE = availableParallelism() > 1 ? 1 : 0

const START_DEADLINE_MS = 30_000
/** USER_HZ: the unit of utime and stime; 100 on every Linux that Node runs on. */
const TICKS_A_SECOND = 100

export interface Launch {
  readonly core: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdout?: 'ignore' | 'pipe'
}

export interface Pinned extends AsyncDisposable {
  readonly pid: number
  readonly child: ChildProcess
}

/** Whether this machine has the program. */
export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0
}

/** Ends with `dispose`; its complaints are seen here. */
export function launch(command: readonly string[], options: Launch): Pinned {
  const { core, env = {}, cwd, stdout = 'ignore' } = options
  const child = spawn('taskset', ['-c', String(core), ...command], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env },
    stdio: ['ignore', stdout, 'inherit']
  })
  return {
    pid: child.pid ?? 0,
    child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const force = setTimeout(() => child.kill('SIGKILL'), 5000)
      await exited
      clearTimeout(force)
    }
  }
}

export async function listens(port: number): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS
  while (!(await canConnect(port))) {
    if (performance.now() > deadlineMs) throw new Error(`nobody listens on port ${port}`)
    await sleep(10)
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
    function done(is: boolean): void {
      socket.destroy()
      resolve(is)
    }
  })
}

/** Of all threads of the process so far, user and system, in microseconds. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name may hold spaces and brackets; what follows the last one does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND) * 1e6
}

/** Resident set, in MiB. */
export function residentMiB(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}
