/** Whole gates for stories: real processes started as an operator starts them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { builtCli } from './built.ts'
import { unhooked } from './unhooked.ts'

const ROOT = join(import.meta.dirname, '../..')
const START_DEADLINE_MS = 30_000

export const JWT_SECRET = 'a-secret-of-at-least-thirty-two-bytes'

export interface GateProcess {
  readonly url: string
  readonly adminUrl: string
  readonly port: number
  readonly adminPort: number
  readonly pid: number
  /** Everything printed so far, both streams. */
  output(): string
  /** Sends the signal, waits for the end, gives the exit code (null: died by a signal). */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  signal(signal: NodeJS.Signals): void
  /** Resolves once the text was printed; rejects at the deadline or the end of the process. */
  printed(text: string | RegExp): Promise<void>
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Waits until `test` gives something but undefined and false; rejects after `deadlineMs`. */
export async function eventually<T>(
  what: string,
  test: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = START_DEADLINE_MS
): Promise<T> {
  const end = Date.now() + deadlineMs
  for (;;) {
    const found = await test()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

export interface GateStart {
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  readonly cwd?: string
  /** What is put before `args` instead of this Node and the emitted program. */
  readonly entrypoint?: readonly [string, ...string[]]
  /** Number of the user and of the group it runs as. */
  readonly user?: number | undefined
}

/**
 * Runs the command line as the image has it; the environment is what is given, PATH and HOME. Coverage is
 * not taken of it; what is visited is counted in the tests that call the modules.
 */
export function runTollgate(start: GateStart): {
  readonly child: ChildProcess
  readonly output: () => string
} {
  const { env = {}, args = ['serve'], cwd = ROOT, user } = start
  const entrypoint = start.entrypoint ?? [process.execPath, builtCli()]
  const [program, ...before] = entrypoint
  const inherited = Object.fromEntries(
    ['PATH', 'HOME'].flatMap(name => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    })
  )
  const [command, rest] = unhooked(program, [...before, ...args], env['NODE_OPTIONS'])
  const child = spawn(command, rest, {
    ...(user === undefined ? {} : { uid: user, gid: user }),
    cwd,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed += text))
  return { child, output: () => printed }
}

/** What the banner says of the ports; it is printed when the gate is ready. */
const PORTS = /^Tollgate \S+ on http:\/\/[^:]+:(\d+), health and metrics on http:\/\/[^:]+:(\d+)$/m

/** A gate that is ready. `env` as an operator would set it; the system chooses the ports. */
export async function startGate(start: GateStart = {}): Promise<GateProcess> {
  const key = start.env?.['JWT_SECRET_FILE'] === undefined ? { JWT_SECRET } : {}
  const env = { ...key, PORT: '0', ADMIN_PORT: '0', ...start.env }
  const { child, output } = runTollgate({ ...start, env })
  const ended = once(child, 'exit').then(([code]) => (typeof code === 'number' ? code : null))
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return ended
  }
  const ports = await eventually('the gate is ready', () => {
    if (child.exitCode !== null) throw new Error('it ended early')
    return PORTS.exec(output()) ?? undefined
  }).catch(async (cause: unknown) => {
    await stop('SIGKILL')
    throw new Error(`the gate did not become ready:\n${output()}`, { cause })
  })
  const [port = 0, adminPort = 0] = ports.slice(1).map(Number)
  return {
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    port,
    adminPort,
    pid: child.pid ?? 0,
    output,
    stop,
    signal: signal => child.kill(signal),
    printed: async text => {
      await eventually(`printed ${text}`, () => {
        const found = typeof text === 'string' ? output().includes(text) : text.test(output())
        if (!found && child.exitCode !== null) throw new Error(`ended:\n${output()}`)
        return found
      })
    }
  }
}

/** A user JWT, good for an hour unless the claims say how long. */
export async function userJwt(
  claims: Readonly<Record<string, unknown>> = {},
  secret = JWT_SECRET
): Promise<string> {
  return new SignJWT({ sub: 'user-1', ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt()
    .setExpirationTime(typeof claims['exp'] === 'number' ? claims['exp'] : '1h')
    .sign(new TextEncoder().encode(secret))
}

export interface Answer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  /** The parsed body; undefined where it is no JSON. */
  readonly json: Readonly<Record<string, unknown>>
}

/** One request; JSON bodies both ways. Never follows a redirect. */
export async function call(
  url: string,
  {
    method = 'GET',
    bearer,
    headers = {},
    body
  }: {
    readonly method?: string
    readonly bearer?: string | undefined
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: unknown
  } = {}
): Promise<Answer> {
  const answer = await fetch(url, {
    method,
    redirect: 'manual',
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
  const text = await answer.text()
  return { status: answer.status, headers: new Map(answer.headers), text, json: parse(text) }
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

export interface MadeToken {
  readonly token: string
  readonly id: string
}

/** A token made through the API, as people make them. */
export async function createToken(
  gate: { readonly url: string },
  body: Readonly<Record<string, unknown>> = {},
  jwt?: string
): Promise<MadeToken> {
  const bearer = jwt ?? (await userJwt())
  const made = await call(`${gate.url}/api/auth/cli-tokens`, {
    method: 'POST',
    bearer,
    body: { name: 'ci', scopes: ['scans:read'], ...body }
  })
  const { token, id } = made.json
  if (typeof token !== 'string' || typeof id !== 'string') {
    throw new Error(`no token: ${made.status} ${made.text}`)
  }
  return { token, id }
}
