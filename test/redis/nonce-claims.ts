/** What holds for every nonce store, whatever keeps the nonces. */
import type { Test } from 'tap'
import { Fault } from '../../src/core/decision.ts'
import type { NonceStore } from '../../src/core/ports.ts'
import { NOW, type TestClock } from './fixtures.ts'

export interface OpenStore {
  readonly store: NonceStore
  readonly clock: TestClock
  /** Resolves when a nonce that was claimed for so long is over. */
  readonly pass: (ttlMs: number) => Promise<void>
}

/** `isNew` false: nonces were kept before, and this store has none of them. */
export type OpenNonceStore = (t: Test, given: { isNew: boolean }) => Promise<OpenStore>

export const TOKEN = '00000000-0000-4000-8000-000000000001'
export const TTL_MS = 360_000
/** The default of NONCE_RECOVERY_MS. */
export const RECOVERY_MS = 2000

/** `new`, `used`, or the code of the fault. */
export async function outcome(claim: Promise<string>): Promise<string> {
  try {
    return await claim
  } catch (cause) {
    if (cause instanceof Fault) return cause.code
    throw cause
  }
}

export async function faultOf(claim: Promise<string>): Promise<Fault> {
  try {
    await claim
  } catch (cause) {
    if (cause instanceof Fault) return cause
    throw cause
  }
  throw new Error('no fault')
}

export function testNonceStore(t: Test, open: OpenNonceStore): void {
  t.test('a nonce is new once', async t => {
    const { store } = await open(t, { isNew: true })
    t.equal(await store.claim(TOKEN, 'nonce', NOW, TTL_MS), 'new')
    t.equal(await store.claim(TOKEN, 'nonce', NOW, TTL_MS), 'used')
    t.equal(await store.claim(TOKEN, 'nonce', NOW + 1, TTL_MS), 'used', 'whatever its timestamp')
    t.equal(await store.claim(TOKEN, 'Nonce', NOW, TTL_MS), 'new', 'case counts')
  })

  t.test('of fifty claims at once one is new', async t => {
    const { store } = await open(t, { isNew: true })
    const claims = Array.from({ length: 50 }, () => store.claim(TOKEN, 'nonce', NOW, TTL_MS))
    const outcomes = await Promise.all(claims)
    t.equal(outcomes.filter(each => each === 'new').length, 1)
  })

  t.test('a nonce belongs to its token', async t => {
    const { store } = await open(t, { isNew: true })
    const pairs = [
      [TOKEN, 'nonce'],
      [TOKEN.replace('1', '2'), 'nonce'],
      ['ab', 'c'],
      ['a', 'bc'],
      [TOKEN, 'x'.repeat(128)],
      [TOKEN, 'x'.repeat(127)]
    ] as const
    for (const [token, nonce] of pairs) {
      t.equal(await store.claim(token, nonce, NOW, TTL_MS), 'new', `${token} ${nonce}`)
    }
  })

  t.test('a nonce is kept for its time and no longer', async t => {
    const { store, pass } = await open(t, { isNew: true })
    t.equal(await store.claim(TOKEN, 'nonce', NOW, 500), 'new')
    t.equal(await store.claim(TOKEN, 'nonce', NOW, 500), 'used')
    await pass(500)
    t.equal(await store.claim(TOKEN, 'nonce', NOW, 500), 'new')
  })

  t.test('where no nonce was ever kept nothing can be a repetition', async t => {
    const { store } = await open(t, { isNew: true })
    t.equal(await store.claim(TOKEN, 'old', NOW - 299_000, TTL_MS), 'new')
    t.equal(await store.claim(TOKEN, 'now', NOW, TTL_MS), 'new')
  })

  t.test('a store that lost nonces waits until no lost one can come again', async t => {
    const { store, clock } = await open(t, { isNew: false })
    const early = await faultOf(store.claim(TOKEN, 'a', NOW - 1000, TTL_MS))
    t.match(early, { code: 'NONCE_STORE_RECOVERING', status: 503, retryAfterSeconds: 2 })
    clock.advance(1500)
    const later = await faultOf(store.claim(TOKEN, 'b', NOW + 1500, TTL_MS))
    t.match(later, { code: 'NONCE_STORE_RECOVERING', retryAfterSeconds: 1 })
    t.equal(await outcome(store.claim(TOKEN, 'c', NOW + 1999, TTL_MS)), 'NONCE_STORE_RECOVERING')
    t.equal(await store.claim(TOKEN, 'd', NOW + 2000, TTL_MS), 'new')
    clock.advance(1_000_000)
    const old = await faultOf(store.claim(TOKEN, 'e', NOW + 1999, TTL_MS))
    t.match(old, { code: 'NONCE_STORE_RECOVERING', retryAfterSeconds: 1 })
  })

  t.test('while it recovers, a used nonce is still used', async t => {
    const { store } = await open(t, { isNew: false })
    t.equal(await outcome(store.claim(TOKEN, 'nonce', NOW, TTL_MS)), 'NONCE_STORE_RECOVERING')
    t.equal(await store.claim(TOKEN, 'nonce', NOW + 2000, TTL_MS), 'used')
  })
}
