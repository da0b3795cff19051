/**
 * Random bytes at a gate that has everything but a database: requests of the corpus, changed, each on
 * a connection of its own. A finding is an answer that says our own failure, a connection that does
 * not end, an error that nobody caught, or a request behind the gate that the oracle did not allow.
 */
import { createHmac, hash, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { GateDeps } from '../../src/core/gate.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'
import { mutate, pick, type Random, randomOf } from './mutate.ts'
import { problemOf, type Sender } from './oracle.ts'

const ROUTES = readFileSync(join(import.meta.dirname, '../attacks/support/routes.yaml'), 'utf8')
const CORPUS = join(import.meta.dirname, 'corpus')
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1NyJ9.c2lnbmF0dXJl'

export interface Finding {
  readonly problem: string
  /** What was sent then, by every sender. */
  readonly inputs: readonly string[]
}

export interface FuzzOptions {
  readonly seed: number
  /** Ends after so many inputs, or so many seconds, whatever comes first. */
  readonly executions: number
  readonly seconds: number
  /** For a gate that is broken on purpose. */
  readonly deps?: Partial<GateDeps>
}

export interface FuzzResult {
  readonly executions: number
  readonly findings: readonly Finding[]
  /** How many answers had which status; `none`: closed without one. */
  readonly statuses: ReadonlyMap<string, number>
  /** Requests that went on. */
  readonly passed: number
  readonly seconds: number
}

interface Teardown {
  teardown(run: () => unknown): void
}

const SENDERS = 16
const MOST_FINDINGS = 10
const FORGET_EVERY = 50
const RECENT = 4
const BETWEEN = '\n\0\n'

export async function fuzz(t: Teardown, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, executions, seconds, deps = {} } = options
  const users = { [JWT]: { userId: 'u7', orgId: null, expiresAtMs: Number.MAX_SAFE_INTEGER } }
  const proxy = await startProxy(t, {
    routes: `${ROUTES}  GET /api/socket: { scope: a:read, upgrade: websocket }\n`,
    users,
    deps,
    own: { handle: async () => ({ status: 200, headers: {}, body: '{}', code: 'OK' }) },
    upstream: {
      upgrade(request, socket) {
        const accept = hash('sha1', `${request.headers['sec-websocket-key']}${GUID}`, 'base64')
        socket.on('error', () => undefined)
        socket.write(`HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`)
        socket.write(`Sec-WebSocket-Accept: ${accept}\r\n\r\n`)
        socket.pipe(socket)
      }
    }
  })
  const findings: Finding[] = []
  const report = (problem: string, inputs: readonly string[]) => {
    if (findings.length < MOST_FINDINGS) findings.push({ problem, inputs })
  }
  const senders = Array.from({ length: SENDERS }, (): Sender => addSender(proxy))
  const onError = (error: unknown) =>
    report(
      `nobody caught ${String(error)}`,
      senders.map(({ sent }) => sent)
    )
  process.on('uncaughtException', onError).on('unhandledRejection', onError)
  const statuses = new Map<string, number>()
  const used = new Set<string>()
  const corpus = readCorpus()
  const started = performance.now()
  const age = () => (performance.now() - started) / 1000
  let begun = 0
  let passed = 0
  const check = () => {
    const { requests, unreadable } = proxy.upstream
    for (const seen of requests) {
      const problem = problemOf(seen, senders, used)
      if (problem !== undefined) {
        report(
          `${problem}: ${JSON.stringify({ ...seen, body: seen.body.toString('latin1') })}`,
          senders.map(({ sent }) => sent)
        )
      }
    }
    passed += requests.length
    if (unreadable.length > 0)
      report(
        `bytes of ours: ${unreadable.join()}`,
        senders.map(({ sent }) => sent)
      )
    proxy.upstream.forget()
  }
  const run = async (sender: Sender, index: number) => {
    const random = randomOf(seed + index)
    const recent: string[] = []
    while (begun < executions && age() < seconds && findings.length < MOST_FINDINGS) {
      begun += 1
      const input = makeInput(random, corpus, sender)
      recent.push(input)
      if (recent.length > RECENT) recent.shift()
      sender.sent = recent.join(BETWEEN)
      const { text, isHanging } = await exchange(proxy.port, input, random)
      check()
      for (const status of statusesOf(text)) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status.startsWith('5')) report(`answered ${status}`, [input])
      }
      if (isHanging) report('its connection does not end', [input])
      if (begun % FORGET_EVERY === 0) {
        proxy.forget()
        if (!(await isWell(proxy.port, sender))) report('a good request is not answered', [input])
        check()
      }
    }
  }
  await Promise.all(senders.map(run))
  process.off('uncaughtException', onError).off('unhandledRejection', onError)
  return { executions: begun, findings, statuses, passed, seconds: age() }
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

function addSender(proxy: TestProxy): Sender {
  return { a: proxy.addToken(), r: proxy.addToken({ repositories: ['r1'] }), sent: '' }
}

/** Files end with one line end more than the request; theirs are LF, the wire's are CR LF. */
export function readCorpus(): readonly string[] {
  return readdirSync(CORPUS)
    .toSorted()
    .map(name =>
      readFileSync(join(CORPUS, name), 'latin1').replace(/\n$/, '').replaceAll('\n', '\r\n')
    )
}

/** Changed before it is signed and measured, after that, or both. */
function makeInput(random: Random, corpus: readonly string[], sender: Sender): string {
  const seed = pick(random, corpus)
  const isEarly = random(2) === 0
  const early = isEarly ? mutate(random, seed, corpus) : seed
  const filled = fill(early, sender)
  const isLate = !isEarly || random(4) === 0
  const others = [fill(pick(random, corpus), sender)]
  return isLate ? mutate(random, filled, others) : filled
}

/** Credentials, the length of what stands after the head, and the signature of it. */
export function fill(text: string, { a, r }: Sender): string {
  const head = text.indexOf('\r\n\r\n')
  const body = head < 0 ? '' : text.slice(head + 4)
  const [method = '', target = ''] = text.split(' ')
  const signed = (signedBody: string) => {
    const timestamp = String(Date.now())
    const nonce = randomUUID()
    const bodyHash = hash('sha256', Buffer.from(signedBody, 'latin1'), 'hex')
    const data = `${timestamp}:${nonce}:${method}:${target}:${bodyHash}`
    const sum = createHmac('sha256', a.text).update(data, 'latin1').digest('hex')
    return `X-Cli-Timestamp: ${timestamp}\r\nX-Cli-Nonce: ${nonce}\r\nX-Cli-Signature: ${sum}`
  }
  return text
    .replaceAll('{A}', a.text)
    .replaceAll('{R}', r.text)
    .replaceAll('{J}', JWT)
    .replaceAll('{LENGTH}', String(body.length))
    .replaceAll('{SIGNATURE}', () => signed(body))
    .replaceAll('{CANONICAL}', () => signed(canonical(body)))
}

function canonical(body: string): string {
  try {
    const value: unknown = JSON.parse(Buffer.from(body, 'latin1').toString())
    return Buffer.from(JSON.stringify(value)).toString('latin1')
  } catch {
    return body
  }
}

const FIRST_WAIT_MS = 100
const QUIET_MS = 20
const HANG_MS = 30_000
const TICK_MS = 100

/** After this time of a running process: one that got no processor for a while hangs by no fault. */
function afterTicks(ms: number, run: () => void): NodeJS.Timeout {
  let left = ms / TICK_MS
  const timer = setInterval(() => {
    left -= 1
    if (left > 0) return
    clearInterval(timer)
    run()
  }, TICK_MS)
  return timer
}

/** Writes it in one to three pieces, and ends its side once nothing more comes. */
async function exchange(port: number, sent: string, random: Random) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  const closed = Promise.withResolvers<boolean>()
  let quiet = setTimeout(() => undefined, 0)
  const wait = (ms: number) => {
    clearTimeout(quiet)
    quiet = setTimeout(() => socket.end(), ms)
  }
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
    wait(QUIET_MS)
  })
  socket.on('end', () => socket.end())
  socket.on('error', () => undefined)
  socket.on('close', () => closed.resolve(false))
  const hanging = afterTicks(HANG_MS, () => closed.resolve(true))
  const pieces = random(3)
  const cuts = Array.from({ length: pieces }, () => random(sent.length + 1)).toSorted(
    (a, b) => a - b
  )
  for (const [i, from] of [0, ...cuts].entries()) {
    socket.write(Buffer.from(sent.slice(from, cuts[i]), 'latin1'))
    if (i < pieces) await new Promise(resolve => setImmediate(resolve))
  }
  if (text === '') wait(FIRST_WAIT_MS)
  const isHanging = await closed.promise
  clearInterval(hanging)
  clearTimeout(quiet)
  socket.destroy()
  return { text, isHanging }
}

function statusesOf(text: string): readonly string[] {
  const found = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status = '']) => status)
  return found.length > 0 ? found : ['none']
}

async function isWell(port: number, sender: Sender): Promise<boolean> {
  const line = `GET /api/a/well HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${sender.a.text}\r\n\r\n`
  sender.sent += BETWEEN + line
  const { answers } = await sendRaw(port, line, { waitMs: HANG_MS })
  return answers[0]?.status === 200
}
