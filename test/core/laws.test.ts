/**
 * The law of faults: whatever breaks, and however many things at once, a request is permitted only
 * by a whole verdict, and 401 and 403 are verdicts too: no fault of ours ever is one.
 */
import * as fc from 'fast-check'
import t from 'tap'
import { type Decision, Fault } from '../../src/core/decision.ts'
import { createGate, type GateDeps } from '../../src/core/gate.ts'
import { effort } from '../support/effort.ts'
import { signedHeaders } from '../support/signer.ts'
import { NOW, rule, tableWith, TOKEN, token } from './examples.ts'

const PLACES = [
  'routes',
  'match',
  'effectiveScopes',
  'peek',
  'find',
  'lapse',
  'verify',
  'used',
  'admit',
  'claim',
  'nowMs',
  'isTrusted',
  'count',
  'measure',
  'hold'
] as const
type Place = (typeof PLACES)[number]

/** How a place fails, if it does; `late`: after a turn, where it answers with a promise at all. */
interface Failure {
  readonly place: Place
  readonly how: 'throws' | 'fault' | 'late'
  /** So many calls of the place succeed before. */
  readonly after: number
}

function breaking(failures: readonly Failure[]) {
  const calls = new Map<Place, number>()
  const struck: Place[] = []
  const strike = (place: Place, isLater: boolean) => {
    const count = calls.get(place) ?? 0
    if (isLater || !ASYNCHRONOUS.has(place)) calls.set(place, count + 1)
    for (const failure of failures) {
      const isItsTurn = !ASYNCHRONOUS.has(place) || isLater === (failure.how === 'late')
      if (failure.place !== place || count < failure.after || !isItsTurn) continue
      struck.push(place)
      throw failure.how === 'fault' ? new Fault('OVERLOADED') : new TypeError(`${place} is broken`)
    }
  }
  /** What every answer of the gate's surroundings passes. */
  const give = <T>(place: Place, value: T): T => {
    strike(place, false)
    return value
  }
  const giveLater = <T>(place: Place, value: T): Promise<T> => {
    strike(place, false)
    return Promise.resolve().then(() => {
      strike(place, true)
      return value
    })
  }
  return { give, giveLater, struck }
}

const ASYNCHRONOUS: ReadonlySet<Place> = new Set(['find', 'verify', 'claim', 'hold'])

interface Case {
  readonly who: 'token' | 'user' | 'unknown' | 'scopeless'
  readonly isCached: boolean
  readonly isSigned: boolean
  /** The body has to be read for the signature. */
  readonly isWrong: boolean
}

const BODY = '{"a":1}'

function decide(asked: Case, failures: readonly Failure[]) {
  const { give, giveLater, struck } = breaking(failures)
  const row = asked.who === 'scopeless' ? { ...token, scopes: ['repos:read'] } : token
  const entry = { row }
  const found = asked.who === 'unknown' ? ('unknown' as const) : entry
  const base = tableWith()
  const table = {
    ...base,
    match: () => give('match', { kind: 'rule', rule, params: ['r1'] } as const),
    effectiveScopes: (granted: readonly string[]) => give('effectiveScopes', granted)
  }
  const deps: GateDeps = {
    routes: () => give('routes', table),
    tokens: {
      peek: () => give('peek', asked.isCached ? found : undefined),
      find: () => giveLater('find', found),
      lapse: () => give('lapse', undefined)
    },
    users: {
      verify: () => giveLater('verify', { userId: 'u1', orgId: null, expiresAtMs: NOW + 1000 })
    },
    uses: { used: () => give('used', undefined) },
    load: { admit: () => give('admit', undefined) },
    nonces: { claim: () => giveLater('claim', 'new' as const) },
    clock: {
      nowMs: () => give('nowMs', NOW),
      wallMs: () => NOW,
      isTrusted: () => give('isTrusted', true)
    },
    observer: {
      count: () => give('count', undefined),
      measure: () => give('measure', undefined),
      gauge: () => undefined
    },
    signing: { windowMs: 300_000, bodyLimitBytes: 1000, query: 'either', body: 'raw' }
  }
  const path = '/api/scans/r1'
  const signed = signedHeaders({
    token: TOKEN,
    method: 'POST',
    path,
    body: asked.isWrong ? 'another' : BODY,
    timestamp: String(NOW)
  })
  const rawHeaders = [
    ['Host', 'gate'],
    ['Authorization', `Bearer ${asked.who === 'user' ? 'a.b.c' : TOKEN}`],
    ['Content-Length', String(BODY.length)],
    ...(asked.isSigned ? Object.entries(signed) : [])
  ].flat()
  const body = { hold: () => giveLater('hold', Buffer.from(BODY)) }
  const decision = (async () =>
    createGate(deps).decide({
      method: 'POST',
      rawTarget: path,
      httpVersion: '1.1',
      rawHeaders,
      body
    }))()
  return { decision, struck }
}

/** `permit`, or the status. */
async function wordOf(decision: Promise<Decision>): Promise<string> {
  try {
    const made = await decision
    return made.kind === 'denial' ? String(made.status) : made.kind
  } catch {
    // Whatever is thrown is answered as a Fault: asFault has its own test.
    return 'fault'
  }
}

const asked: fc.Arbitrary<Case> = fc.record({
  who: fc.constantFrom('token', 'token', 'user', 'unknown', 'scopeless'),
  isCached: fc.boolean(),
  isSigned: fc.boolean(),
  isWrong: fc.boolean()
})
const failure: fc.Arbitrary<Failure> = fc.record({
  place: fc.constantFrom(...PLACES),
  how: fc.constantFrom('throws', 'fault', 'late'),
  after: fc.nat(2)
})

t.test('a fault is never a permit, and never a verdict about the caller', async t => {
  const words = new Map<string, number>()
  const law = fc.asyncProperty(
    asked,
    fc.array(failure, { maxLength: 4 }),
    async (given, failures) => {
      const whole = await wordOf(decide(given, []).decision)
      const { decision, struck } = decide(given, failures)
      const broken = await wordOf(decision)
      words.set(broken, (words.get(broken) ?? 0) + 1)
      // Either nothing changes, or nothing is said.
      if (broken !== whole && broken !== 'fault') throw new Error(`${broken} for ${whole}`)
      if (struck.length === 0 && broken !== whole) throw new Error('a fault from nowhere')
      if (broken === 'permit' && struck.length > 0)
        throw new Error(`permitted past ${struck.join()}`)
    }
  )
  await fc.assert(law, { numRuns: effort(3000, 100_000) })
  for (const word of ['permit', '401', '403', 'fault']) {
    t.ok((words.get(word) ?? 0) > 50, `${word}: ${words.get(word)} times`)
  }
})
