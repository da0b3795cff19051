/**
 * Clients of every kind that use a gate all the time while a test breaks something: what each of them
 * was answered, by kind and status, and how long the gate took to be well again.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { digestBytes, digestToken, makeToken } from '../../src/core/token.ts'
import { type Answer, call, type GateProcess, userJwt } from './gate.ts'
import type { TestDatabase } from './postgres.ts'
import { signedHeaders } from './signer.ts'

export type Kind = 'cached' | 'miss' | 'signed' | 'jwt' | 'public' | 'api'

export const KINDS: readonly Kind[] = ['cached', 'miss', 'signed', 'jwt', 'public', 'api']

/** Statuses and codes, each with how often: `503 TOKEN_STORE_UNAVAILABLE`. */
export type Seen = Readonly<Record<string, number>>

export interface Clients {
  /** What was answered since the last call, by kind. */
  take(): Readonly<Record<Kind, Seen>>
  /** The longest wait for an answer since the last `take`, in ms. */
  longestMs(kind: Kind): number
  stop(): Promise<void>
}

export interface ClientsOptions {
  readonly gate: GateProcess
  /** A living token that is used again and again. */
  readonly token: string
  /** Where tokens are made that nobody has used yet. */
  readonly database: Pick<TestDatabase, 'sql'>
  readonly pauseMs?: number
}

const PATH = '/api/scans/dashboard'
const PUBLIC = '/api/auth/login'
const FRESH_TOKENS = 5000

/** Rows as the gate makes them, many at once. */
export async function makeTokens(
  { sql }: Pick<TestDatabase, 'sql'>,
  count: number,
  preview = 'ci_x…x'
): Promise<readonly string[]> {
  const tokens = Array.from({ length: count }, () => makeToken(randomBytes))
  const digests = tokens.map(token => digestBytes(digestToken(token)).toString('hex'))
  await sql(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
     SELECT decode(d, 'hex'), $2, 'user-1', 'fresh', '{scans:read}' FROM unnest($1::text[]) d`,
    [digests, preview]
  )
  return tokens
}

export async function startClients(t: Test, options: ClientsOptions): Promise<Clients> {
  const { gate, token, database, pauseMs = 15 } = options
  const fresh = [...(await makeTokens(database, FRESH_TOKENS))]
  const jwt = await userJwt()
  const lister = await userJwt({ sub: 'has-no-tokens' })
  const requests: Readonly<Record<Kind, () => Promise<Answer>>> = {
    cached: () => call(gate.url + PATH, { bearer: token }),
    miss: () => call(gate.url + PATH, { bearer: fresh.pop() ?? token }),
    signed: () => {
      const headers = signedHeaders({ token, method: 'GET', path: PATH })
      return call(gate.url + PATH, { bearer: token, headers })
    },
    jwt: () => call(gate.url + PATH, { bearer: jwt }),
    public: () => call(gate.url + PUBLIC, { method: 'POST', body: {} }),
    api: () => call(`${gate.url}/api/auth/cli-tokens`, { bearer: lister })
  }
  let seen = emptyCounts()
  let longest = new Map<Kind, number>()
  let isOn = true
  const loops = KINDS.map(async kind => {
    while (isOn) {
      const startedMs = performance.now()
      const word = await requests[kind]().then(wordOf, () => 'broken connection')
      seen[kind][word] = (seen[kind][word] ?? 0) + 1
      longest.set(kind, Math.max(longest.get(kind) ?? 0, performance.now() - startedMs))
      await sleep(pauseMs)
    }
  })
  const stop = async () => {
    isOn = false
    await Promise.all(loops)
  }
  t.teardown(stop)
  return {
    take() {
      const taken = seen
      seen = emptyCounts()
      longest = new Map()
      return taken
    },
    longestMs: kind => longest.get(kind) ?? 0,
    stop
  }
}

function emptyCounts(): Record<Kind, Record<string, number>> {
  return { cached: {}, miss: {}, signed: {}, jwt: {}, public: {}, api: {} }
}

/** A refusal of ours without Retry-After is told as what it is: a mistake. */
function wordOf({ status, json, headers }: Answer): string {
  const code = typeof json['code'] === 'string' ? ` ${json['code']}` : ''
  const isHasty = status === 503 && !headers.has('retry-after')
  return `${status}${code}${isHasty ? ' without Retry-After' : ''}`
}

/** Every answer of each kind is one of those that are allowed; kinds that are not named: 200. */
export function onlySaw(
  t: Test,
  seen: Readonly<Record<Kind, Seen>>,
  allowed: Partial<Readonly<Record<Kind, readonly string[]>>>
): void {
  for (const kind of KINDS) {
    const other = Object.keys(seen[kind]).filter(word => !(allowed[kind] ?? ['200']).includes(word))
    t.same(other, [], `${kind}: ${text(seen[kind])}`)
  }
}

export function text(seen: Seen): string {
  return Object.entries(seen)
    .map(([word, count]) => `${count} × ${word}`)
    .join(', ')
}

/** Until all kinds are served again; gives how long that took, in ms. */
export async function healed(clients: Clients, withinMs = 10_000): Promise<number> {
  const startedMs = performance.now()
  for (;;) {
    clients.take()
    await sleep(150)
    const seen = clients.take()
    const isServed = KINDS.every(kind => {
      const words = Object.keys(seen[kind])
      return words.length > 0 && words.every(word => word === '200')
    })
    const tookMs = Math.round(performance.now() - startedMs)
    if (isServed) return tookMs
    if (tookMs > withinMs) {
      const state = KINDS.map(kind => `${kind}: ${text(seen[kind])}`).join('; ')
      throw new Error(`not well after ${tookMs} ms: ${state}`)
    }
  }
}
