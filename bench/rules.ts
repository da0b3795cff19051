/**
 * What the rules against attacks cost of a request that the cache answers: their functions themselves,
 * on heads as the parser gives them, and beside them the plain work that any proxy does in their place.
 * Not counted: choosing the rule and deciding by it, which is what the gate is for, and Node's parser,
 * whose strict mode is its usual one.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Permit } from '../src/core/decision.ts'
import { createGate, type Gate } from '../src/core/gate.ts'
import { bearerOf, readHead } from '../src/core/head.ts'
import { identityHeaders } from '../src/core/identity.ts'
import { NO_OBSERVER } from '../src/core/observer.ts'
import { readTarget } from '../src/core/target.ts'
import { digestToken, isWellFormedToken, makeToken } from '../src/core/token.ts'
import { createEmbeddedNonces } from '../src/embedded/nonces.ts'
import { requestHeaders } from '../src/proxy/headers.ts'
import { systemClocks, systemSchedule } from '../src/revocation/clocks.ts'
import { createRevocation } from '../src/revocation/revocation.ts'
import { createFakeDatabase, createFakeNudge, rowOf } from '../test/revocation/support/replica.ts'
import { loadText } from '../test/support/routes.ts'
import { median } from './result.ts'

/** In the order of a request. */
const PARTS = ['head', 'target', 'token', 'headers', 'lease'] as const

export interface RuleCost {
  /** Of a request, µs: all parts of the gate, and what stands for them in a plain proxy. */
  readonly rulesMicros: number
  readonly plainMicros: number
  /** Of the gate's, as `head 0.52`. */
  readonly parts: readonly string[]
}

/** A head as it comes from the parser: each text is a new one, so nothing about it is known yet. */
interface Raw {
  readonly method: string
  readonly rawTarget: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

const ROUNDS = 20
const BATCHES = 50
/** Few enough to stay in the processor's cache, as one request does. */
const BATCH = 200

/** `lines`: header lines as `Name: value`, without Authorization. Each function runs 200 000 times. */
export async function measureRules(target: string, lines: readonly string[]): Promise<RuleCost> {
  const token = makeToken(randomBytes)
  const gate = await startGate(token)
  const makeRaw = parserOf(target, ['Host: gate.test', `Authorization: Bearer ${token}`, ...lines])
  const rounds: { readonly rules: readonly number[]; readonly plain: readonly number[] }[] = []
  // The first rounds only warm up.
  for (let round = -3; round < ROUNDS; round++) {
    const rules = PARTS.map(() => 0)
    const plain = PARTS.map(() => 0)
    for (let batch = 0; batch < BATCHES; batch++) {
      addTo(rules, timeRules(gate, Array.from({ length: BATCH }, makeRaw)))
      addTo(plain, timePlain(gate, Array.from({ length: BATCH }, makeRaw)))
    }
    if (round >= 0) rounds.push({ rules: perRequest(rules), plain: perRequest(plain) })
    // The lease is renewed between rounds.
    await new Promise(resolve => setImmediate(resolve))
  }
  return {
    rulesMicros: median(rounds.map(({ rules }) => sum(rules))),
    plainMicros: median(rounds.map(({ plain }) => sum(plain))),
    parts: PARTS.map(
      (name, i) => `${name} ${median(rounds.map(each => each.rules[i] ?? NaN)).toFixed(2)}`
    )
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}

function addTo(sums: number[], values: readonly number[]): void {
  for (const [i, value] of values.entries()) sums[i] = (sums[i] ?? 0) + value
}

function perRequest(sums: readonly number[]): readonly number[] {
  return sums.map(micros => micros / (BATCHES * BATCH))
}

function parserOf(target: string, lines: readonly string[]): () => Raw {
  const texts = [target, ...lines.flatMap(line => line.split(': '))].map(text => Buffer.from(text))
  return () => {
    const [rawTarget = '', ...rawHeaders] = texts.map(text => text.toString('latin1'))
    return { method: 'GET', rawTarget, httpVersion: '1.1', rawHeaders }
  }
}

const quiet = () => undefined

/** The gate's own parts, with the token in its cache and a lease that runs. */
async function startGate(token: string): Promise<Gate> {
  const database = createFakeDatabase()
  const row = rowOf('bench', { digest: digestToken(token) })
  database.state.rows.set(row.digest, row)
  database.state.leaseMs = 60_000
  database.state.dbNowMs = () => Date.now()
  const revocation = createRevocation({
    epochs: database.epochs,
    store: database.store,
    nudge: createFakeNudge().port,
    streams: { end: quiet, recheck: quiet },
    clocks: systemClocks(),
    schedule: systemSchedule,
    observer: NO_OBSERVER,
    log: { info: quiet, warn: quiet, error: quiet },
    random: Math.random,
    randomUuid: randomUUID,
    randomBytes,
    cacheMaxTokens: 100
  })
  const { tokens, clock } = revocation
  await revocation.start()
  await tokens.find(row.digest)
  const { table } = loadText(
    readFileSync(join(import.meta.dirname, '../config/routes.yaml'), 'utf8')
  )
  return createGate({
    routes: () => table,
    tokens,
    users: { verify: () => Promise.resolve('invalid') },
    uses: { used: quiet },
    load: { admit: quiet },
    nonces: createEmbeddedNonces({ clock, isNew: true, recoveryMs: 0 }),
    clock,
    observer: NO_OBSERVER,
    signing: { windowMs: 300_000, bodyLimitBytes: 0, query: 'either', body: 'raw-or-canonical' }
  })
}

/** What was made, so that nothing is left out as unused. */
let kept = 0

/** Runs it for each; gives the CPU of the process, in µs. `run` gives a number that depends on all it did. */
function timed<T>(given: readonly T[], run: (each: T) => number): number {
  const before = process.cpuUsage()
  for (const each of given) kept += run(each)
  const { user, system } = process.cpuUsage(before)
  return user + system
}

function decideAll(gate: Gate, raws: readonly Raw[]): readonly Permit[] {
  return raws.map(raw => {
    const decision = gate.decide({ ...raw, body: NO_BODY })
    if ('then' in decision || decision.kind !== 'permit') throw new Error('it was not permitted')
    return decision
  })
}

const NO_BODY = { hold: () => Promise.reject(new Error('there is no body')) }
const CLIENT = {
  ip: '127.0.0.1',
  forwardedFor: '127.0.0.1',
  proto: 'http',
  host: undefined
} as const
const ID = randomUUID()

function sentOf(permit: Permit) {
  return { permit, client: CLIENT, requestId: ID, contentLength: undefined }
}

function timeRules(gate: Gate, raws: readonly Raw[]): readonly number[] {
  const head = timed(raws, raw => ('kind' in readHead(raw) ? fail() : 1))
  const target = timed(raws, ({ rawTarget }) => ('kind' in readTarget(rawTarget) ? fail() : 1))
  const permits = decideAll(gate, raws)
  const texts = permits.map(permit => {
    const bearer = bearerOf(permit.head)
    return bearer.kind === 'cli-token' ? bearer.text : fail()
  })
  const token = timed(texts, text => (isWellFormedToken(text) ? 1 : fail()))
  const headers = timed(permits, permit => requestHeaders(sentOf(permit)).length)
  const lease = timed(permits, permit => (permit.lapse() === undefined ? 1 : fail()))
  return [head, target, token, headers, lease]
}

/** The credential is found, the path is split for a router, the headers are copied. Nothing is checked. */
function timePlain(gate: Gate, raws: readonly Raw[]): readonly number[] {
  const head = timed(raws, ({ rawHeaders }) => find(rawHeaders, 'authorization').length)
  const target = timed(raws, ({ rawTarget }) => {
    const [path = ''] = rawTarget.split('?', 1)
    return path.split('/').length
  })
  const headers = timed(decideAll(gate, raws), permit => copy(sentOf(permit)).length)
  return [head, target, 0, headers, 0]
}

function find(rawHeaders: readonly string[], name: string): string {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1] ?? ''
  }
  return ''
}

const REPLACED = new Set(['host', 'connection', 'authorization'])

function copy({ permit, client, requestId }: ReturnType<typeof sentOf>): readonly string[] {
  const { rawHeaders, host } = permit.head
  const headers = ['host', host]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    if (!REPLACED.has(name.toLowerCase())) headers.push(name, rawHeaders[i + 1] ?? '')
  }
  headers.push('x-forwarded-for', client.forwardedFor, 'x-forwarded-proto', client.proto)
  headers.push('x-forwarded-host', host, 'x-request-id', requestId, ...identityHeaders(permit))
  return headers
}

function fail(): never {
  throw new Error('a good request was refused')
}
