/** wrk on the other core, and what it counted. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { hasProgram, LOAD_CORE } from './processes.ts'

const run = promisify(execFile)

export interface Load {
  readonly url: string
  readonly seconds: number
  readonly connections: number
  readonly headers?: readonly string[]
  /** A Lua script for wrk, and its argument. */
  readonly script?: readonly [file: string, argument: string]
}

export interface Loaded {
  readonly requests: number
  readonly perSecond: number
  /** Answers that are not 2xx or 3xx, and broken connections. */
  readonly failed: number
}

export const hasWrk = (): boolean => hasProgram('wrk')

export async function load(given: Load): Promise<Loaded> {
  const { url, seconds, connections, headers = [], script } = given
  const { stdout } = await run('taskset', [
    '-c',
    String(LOAD_CORE),
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    ...headers.flatMap(header => ['-H', header]),
    ...(script ? ['-s', script[0]] : []),
    url,
    ...(script ? ['--', script[1]] : [])
  ])
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0)
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    stdout
  )
  const broken = sockets?.slice(1).reduce((sum, count) => sum + Number(count), 0) ?? 0
  return {
    requests: number(/(\d+) requests in/),
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    failed: number(/Non-2xx or 3xx responses: (\d+)/) + broken
  }
}
