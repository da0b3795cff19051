import t from 'tap'
import { createEmbeddedNonces } from '../../src/embedded/nonces.ts'
import { createClock, NOW } from '../redis/fixtures.ts'
import { faultOf, RECOVERY_MS, testNonceStore, TOKEN, TTL_MS } from '../redis/nonce-claims.ts'

/** A store whose every clock is in the test's hand. */
function open({ isNew = true, capacity }: { isNew?: boolean; capacity?: number } = {}) {
  const clock = createClock()
  const store = createEmbeddedNonces({
    clock,
    isNew,
    recoveryMs: RECOVERY_MS,
    monoMs: () => clock.nowMs(),
    ...(capacity === undefined ? {} : { capacity })
  })
  return { clock, store, pass: async (ttlMs: number) => clock.advance(ttlMs) }
}

testNonceStore(t, async (_, given) => open(given))

t.test('full is a fault: nothing is forgotten to make room', async t => {
  const { clock, store } = open({ capacity: 2 })
  t.equal(await store.claim(TOKEN, 'a', NOW, 60_000), 'new')
  t.equal(await store.claim(TOKEN, 'b', NOW, 90_000), 'new')
  t.match(await faultOf(store.claim(TOKEN, 'c', NOW, TTL_MS)), { code: 'NONCE_STORE_UNAVAILABLE' })
  t.equal(await store.claim(TOKEN, 'a', NOW, TTL_MS), 'used')
  clock.advance(70_000)
  t.equal(await store.claim(TOKEN, 'c', NOW, TTL_MS), 'new', 'room came with the end of the first')
  t.equal(await store.claim(TOKEN, 'b', NOW, TTL_MS), 'used')
})

t.test('a request stamped ahead is remembered for as long as it is fresh', async t => {
  const { clock, store } = open()
  const ahead = NOW + 299_000
  t.equal(await store.claim(TOKEN, 'nonce', ahead, ahead + 360_000 - NOW), 'new')
  for (const later of [301_000, 289_000]) {
    clock.advance(later)
    t.equal(await store.claim(TOKEN, 'nonce', ahead, 1), 'used')
  }
})

t.test('a nonce used again after its end is kept for its new time', async t => {
  const { clock, store } = open()
  await store.claim(TOKEN, 'nonce', NOW, 1000)
  clock.advance(2000)
  t.equal(await store.claim(TOKEN, 'nonce', NOW, 30_000), 'new')
  clock.advance(20_000)
  t.equal(await store.claim(TOKEN, 'nonce', NOW, 30_000), 'used')
})

t.test('the start is known by the clock as it is now, not as it was then', async t => {
  const clock = createClock()
  let monoMs = 0
  const options = { clock, isNew: false, recoveryMs: RECOVERY_MS, monoMs: () => monoMs }
  const store = createEmbeddedNonces(options)
  clock.advance(3_600_000)
  monoMs = 5000
  // It turned out to be an hour later than it seemed at the start, which was 5 s ago.
  t.equal(await store.claim(TOKEN, 'a', NOW + 3_597_000, TTL_MS), 'new')
  const fault = await faultOf(store.claim(TOKEN, 'b', NOW + 3_596_999, TTL_MS))
  t.equal(fault.code, 'NONCE_STORE_RECOVERING')
})

t.test('by itself it measures time as the machine does', async t => {
  const clock = createClock()
  const store = createEmbeddedNonces({ clock, isNew: true, recoveryMs: RECOVERY_MS })
  t.equal(await store.claim(TOKEN, 'a', NOW, TTL_MS), 'new')
  t.equal(await store.claim(TOKEN, 'a', NOW, TTL_MS), 'used')
})
