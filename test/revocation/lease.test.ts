import t from 'tap'
import { createFreshness } from '../../src/revocation/clocks.ts'
import { createLease, marginMs } from '../../src/revocation/lease.ts'
import { createVirtualTime } from './support/virtual-time.ts'

function setUp() {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  return { time, freshness, lease: createLease(freshness) }
}

t.test('there is no lease before the first poll', async t => {
  const { lease } = setUp()
  t.equal(lease.isValid(), false)
  t.equal(lease.ageMs(), undefined)
  t.equal(lease.lengthMs(), 2000)
})

t.test('a lease runs from the sending of its poll, for as long as the database says', async t => {
  const { time, freshness, lease } = setUp()
  const sent = freshness.read()
  await time.advance(300)
  lease.extend(sent, 1000)
  t.equal(lease.isValid(), true)
  t.equal(lease.ageMs(), 300)
  t.equal(lease.lengthMs(), 1000)
  await time.advance(699)
  t.equal(lease.isValid(), true)
  await time.advance(1)
  t.equal(lease.isValid(), false)
  t.equal(lease.ageMs(), 1000, 'its age is told all the same')
})

t.test('a lease that was ended is over', async t => {
  const { freshness, lease } = setUp()
  lease.extend(freshness.read(), 1000)
  lease.end()
  t.equal(lease.isValid(), false)
  t.equal(lease.ageMs(), undefined)
  t.equal(lease.lengthMs(), 1000, 'the next one is as long, until the database says otherwise')
})

t.test('the margin is half a second and a hundredth', async t => {
  t.equal(marginMs(2000), 520)
  t.equal(marginMs(60_000), 1100)
})
