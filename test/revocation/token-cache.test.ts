import t from 'tap'
import { digestToken } from '../../src/core/token.ts'
import { createFreshness } from '../../src/revocation/clocks.ts'
import { createTokenCache } from '../../src/revocation/token-cache.ts'
import { rowOf } from './support/replica.ts'
import { createVirtualTime } from './support/virtual-time.ts'

const good = rowOf('good')
const second = rowOf('second')
const third = rowOf('third')

function setUp(maxTokens = 2) {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  const cache = createTokenCache(freshness, maxTokens)
  const readAt = (seq: number) => ({
    seq,
    sent: freshness.read(),
    leaseMs: 2000,
    order: cache.order(),
    generation: cache.generation()
  })
  return { time, freshness, cache, readAt }
}

t.test('the row that was not used for longest makes room', async t => {
  const { cache, readAt } = setUp()
  cache.add(good, readAt(10))
  cache.add(second, readAt(10))
  cache.get(good.digest)
  cache.add(third, readAt(10))
  t.equal(cache.size(), 2)
  t.equal(cache.get(second.digest), undefined)
  t.equal(cache.get(good.digest)?.row, good)
  t.equal(cache.get(third.digest)?.row, third)
})

t.test('a change drops the rows that were read before it', async t => {
  for (const kind of ['revoke', 'change'] as const) {
    const { cache, readAt } = setUp()
    cache.add(good, readAt(10))
    cache.add(second, readAt(11))
    cache.apply({ kind, seq: 11, ids: [good.id, second.id, 'never seen'] })
    t.equal(cache.get(good.digest), undefined)
    t.equal(cache.get(second.digest)?.row, second, 'this one was read after it')
  }
})

t.test('a change of everything drops everything', async t => {
  const { cache, readAt } = setUp()
  const before = readAt(10)
  cache.add(good, before)
  cache.add(second, before)
  cache.apply({ kind: 'all', seq: 11, ids: [] })
  t.equal(cache.size(), 0)
  t.equal(cache.isOvertaken(good.id, before), true)
})

t.test('a row that was read again is dropped as well', async t => {
  const { cache, readAt } = setUp()
  cache.add(good, readAt(10))
  cache.add({ ...good, name: 'renamed' }, readAt(11))
  cache.apply({ kind: 'revoke', seq: 12, ids: [good.id] })
  t.equal(cache.get(good.digest), undefined)
})

t.test('an entry is held as the very object, not as an equal one', async t => {
  const { cache, readAt } = setUp()
  const entry = cache.add(good, readAt(10))
  t.equal(cache.holds(good.digest, entry), true)
  t.equal(cache.holds(good.digest, { ...entry }), false)
  t.equal(cache.holds(second.digest, entry), false)
  cache.add(good, readAt(10))
  t.equal(cache.holds(good.digest, entry), false)
})

t.test('an evicted row may be used for as long as the lease of its own read', async t => {
  const { cache, readAt, time } = setUp(1)
  const entry = cache.add(good, readAt(10))
  cache.add(second, readAt(10))
  t.equal(cache.holds(good.digest, entry), false)
  t.equal(cache.isFreshRead(entry), true)
  await time.advance(2000)
  t.equal(cache.isFreshRead(entry), false)
})

t.test('a change reaches an evicted row, too', async t => {
  const { cache, readAt } = setUp(1)
  const entry = cache.add(good, readAt(10))
  cache.add(second, readAt(10))
  cache.apply({ kind: 'revoke', seq: 11, ids: [good.id] })
  t.equal(cache.isFreshRead(entry), false)
})

t.test('a row of before a reset is not used after it', async t => {
  const { cache, readAt } = setUp()
  const entry = cache.add(good, readAt(10))
  cache.addUnknown(second.digest, readAt(10).sent)
  cache.reset()
  t.equal(cache.size(), 0)
  t.equal(cache.generation(), 1)
  t.equal(cache.isFreshRead(entry), false)
  t.equal(cache.isUnknown(second.digest), false)
})

t.test('an entry that this cache did not make is not used', async t => {
  const { cache } = setUp()
  t.equal(cache.isFreshRead({ row: good }), false)
})

t.test('an unknown digest is known to be unknown for a second', async t => {
  const { cache, freshness, time } = setUp()
  t.equal(cache.isUnknown(good.digest), false)
  cache.addUnknown(good.digest, freshness.read())
  t.equal(cache.isUnknown(good.digest), true)
  await time.advance(999)
  t.equal(cache.isUnknown(good.digest), true)
  await time.advance(1)
  t.equal(cache.isUnknown(good.digest), false)
})

t.test('a token that was found is not unknown any more', async t => {
  const { cache, freshness, readAt } = setUp()
  cache.addUnknown(good.digest, freshness.read())
  cache.add(good, readAt(10))
  t.equal(cache.isUnknown(good.digest), false)
})

t.test('unknown digests push out each other, above 1000, and no row', async t => {
  const { cache, freshness, readAt } = setUp(1)
  cache.add(good, readAt(10))
  const unknown = Array.from({ length: 1001 }, (_, i) => digestToken(`unknown-${i}`))
  for (const digest of unknown) cache.addUnknown(digest, freshness.read())
  const still = unknown.filter(digest => cache.isUnknown(digest))
  t.equal(still.length, 1000)
  t.equal(still[0], unknown[1])
  t.equal(cache.get(good.digest)?.row, good)
})
