import t from 'tap'
import {
  createClock,
  createFreshness,
  scheduleAt,
  systemClocks,
  systemSchedule
} from '../../src/revocation/clocks.ts'
import { createVirtualTime, NOW } from './support/virtual-time.ts'

t.test('a reading is fresh for less than its span', async t => {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  const reading = freshness.read()
  t.equal(freshness.isFresh(reading, 2000), true)
  await time.advance(1999)
  t.equal(freshness.isFresh(reading, 2000), true)
  await time.advance(1)
  t.equal(freshness.isFresh(reading, 2000), false)
})

t.test('a wall clock that was set makes a reading stale, either way', async t => {
  for (const byMs of [3_600_000, -3_600_000, 2000, -1]) {
    const time = createVirtualTime()
    const freshness = createFreshness(time.clocks)
    const reading = freshness.read()
    time.setWall(byMs)
    t.equal(freshness.isFresh(reading, 2000), false, String(byMs))
    t.equal(freshness.isFresh(freshness.read(), 2000), true, 'a new reading is good again')
  }
})

t.test('sleep makes every reading stale, also where the wall clock hides it', async t => {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  const reading = freshness.read()
  time.sleep(10_000)
  time.setWall(-10_000)
  t.equal(freshness.isFresh(reading, 2000), true, 'nobody has looked at the time since boot')
  freshness.checkSleep()
  t.equal(freshness.isFresh(reading, 2000), false)
  t.equal(freshness.isFresh(freshness.read(), 2000), true)
  t.equal(freshness.era(), 1)
})

t.test('a step of 100 ms between the clocks is jitter, no sleep', async t => {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  time.sleep(100)
  freshness.checkSleep()
  t.equal(freshness.era(), 0)
  time.sleep(1)
  freshness.checkSleep()
  t.equal(freshness.era(), 1)
})

/** A database whose clock is ahead of the machine's by this. */
function clockWith(aheadMs: number) {
  const time = createVirtualTime()
  const freshness = createFreshness(time.clocks)
  const clock = createClock(time.clocks, freshness)
  const askDatabase = async (thereMs = 1, backMs = 1) => {
    const sent = freshness.read()
    await time.advance(thereMs)
    const dbNowMs = time.clocks.wallMs() + aheadMs
    await time.advance(backMs)
    clock.observe(sent, dbNowMs)
  }
  return { time, clock, freshness, askDatabase }
}

t.test('before the first answer the clock is the machine’s, and is trusted', async t => {
  const { clock, time } = clockWith(5000)
  t.equal(clock.nowMs(), NOW)
  t.equal(clock.wallMs(), NOW)
  t.equal(clock.offsetMs(), 0)
  t.equal(clock.isTrusted(), true)
  await time.advance(10)
  t.equal(clock.nowMs(), NOW + 10)
})

t.test('time is the database’s, from the middle of the round trip on', async t => {
  const { clock, time, askDatabase } = clockWith(5000)
  await askDatabase()
  t.equal(clock.nowMs(), NOW + 2 + 5000)
  t.equal(clock.offsetMs(), 5000)
  await time.advance(750)
  t.equal(clock.nowMs(), NOW + 752 + 5000)
  time.setWall(-3_600_000)
  t.equal(clock.nowMs(), NOW + 752 + 5000, 'whatever is done to the machine’s clock')
})

t.test('the quickest of the last eight round trips counts', async t => {
  const { clock, askDatabase } = clockWith(5000)
  await askDatabase(1, 1)
  for (let i = 0; i < 7; i++) await askDatabase(0, 400)
  t.equal(clock.offsetMs(), 5000)
  await askDatabase(0, 400)
  t.equal(clock.offsetMs(), 4800, 'the exact one is the ninth now')
})

t.test('clocks that differ by over 30 s are not trusted', async t => {
  for (const [aheadMs, isTrusted] of [
    [30_000, true],
    [-30_000, true],
    [30_001, false],
    [-30_001, false]
  ] as const) {
    const { clock, askDatabase } = clockWith(aheadMs)
    await askDatabase()
    t.equal(clock.isTrusted(), isTrusted, String(aheadMs))
  }
})

t.test('after a sleep the last known difference holds, until an answer', async t => {
  const { clock, time, freshness, askDatabase } = clockWith(40_000)
  await askDatabase()
  time.sleep(60_000)
  freshness.checkSleep()
  t.equal(clock.nowMs(), NOW + 2 + 60_000 + 40_000)
  t.equal(clock.isTrusted(), false)
  await askDatabase(0, 800)
  t.equal(clock.offsetMs(), 39_600, 'round trips before the sleep count no more')
})

t.test('what was learnt of another server’s clock is forgotten', async t => {
  const { clock, askDatabase } = clockWith(5000)
  await askDatabase()
  clock.forget()
  t.equal(clock.offsetMs(), 5000, 'the difference holds until an answer')
  await askDatabase(0, 800)
  t.equal(clock.offsetMs(), 4600, 'the quicker one of the old server is gone')
})

t.test(
  'nothing runs before its time by the monotonic clock, however early the timer is',
  async t => {
    const time = createVirtualTime()
    let runs = 0
    const early = {
      clocks: time.clocks,
      schedule: (run: () => void, afterMs: number) => time.schedule(run, afterMs * 0.9)
    }
    const dueMs = time.clocks.monoMs() + 1000
    scheduleAt(early, dueMs, () => {
      runs += 1
      t.ok(time.clocks.monoMs() >= dueMs)
    })
    await time.advance(950)
    t.equal(runs, 0)
    await time.advance(100)
    t.equal(runs, 1)
    t.equal(time.pending(), 0)
  }
)

t.test('what is called off does not run, also after an early timer', async t => {
  const time = createVirtualTime()
  const early = {
    clocks: time.clocks,
    schedule: (run: () => void, afterMs: number) => time.schedule(run, afterMs / 2)
  }
  const cancel = scheduleAt(early, time.clocks.monoMs() + 1000, () => t.fail('it ran'))
  await time.advance(600)
  cancel()
  await time.advance(1000)
  t.equal(time.pending(), 0)
})

/** A timer of the machine has run. It does not keep the process alive, so something else does. */
async function ran(afterMs: number): Promise<void> {
  const alive = setInterval(() => {}, 1000)
  await new Promise<void>(resolve => void systemSchedule(resolve, afterMs))
  clearInterval(alive)
}

t.test('the machine’s clocks go on together', async t => {
  const clocks = systemClocks()
  const before = [clocks.monoMs(), clocks.wallMs(), clocks.bootMs()]
  await ran(20)
  const after = [clocks.monoMs(), clocks.wallMs(), clocks.bootMs()]
  for (const [i, value] of after.entries()) {
    const passedMs = value - (before[i] ?? 0)
    t.ok(passedMs >= 9, `clock ${i}: ${passedMs} ms`)
  }
})

t.test('an uptime in whole seconds is not used to see sleep', async t => {
  const coarse = systemClocks(() => 2154)
  const mono = performance.now()
  t.ok(Math.abs(coarse.bootMs() - mono) < 1000)
  let seconds = 2154
  const fine = systemClocks(() => (seconds += 0.25))
  t.equal(fine.bootMs(), 2_154_250)
  t.equal(fine.bootMs(), 2_154_500)
  t.equal(fine.bootMs(), 2_154_750)
  t.equal(fine.bootMs(), 2_155_000, 'a whole one among others is as good')
})

t.test('a timer of the machine can be called off', async t => {
  const cancel = systemSchedule(() => t.fail('it ran'), 1)
  cancel()
  await ran(10)
})
