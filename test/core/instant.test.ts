import t from 'tap'
import { isRefusedByTime } from '../../src/core/instant.ts'
import { NOW } from './examples.ts'

const HOUR = 3_600_000

/** Something that is over at NOW, asked for by the database's clock and by the machine's. */
function verdict(nowMs: number, wallMs: number, isTrusted = false): boolean {
  const clock = { nowMs: () => nowMs, wallMs: () => wallMs, isTrusted: () => isTrusted }
  return isRefusedByTime(clock, ms => ms >= NOW)
}

t.test('the database alone decides while the clocks agree', async t => {
  t.equal(verdict(NOW, NOW - 1, true), true)
  t.equal(verdict(NOW - 1, NOW, true), false)
})

t.test('what the database has not yet refused passes, whatever the machine says', async t => {
  t.equal(verdict(NOW - 1, NOW + HOUR), false)
})

t.test('clocks that disagree refuse together, or the fault is ours', async t => {
  t.equal(verdict(NOW, NOW + HOUR), true)
  t.throws(() => verdict(NOW, NOW - 1), { code: 'CLOCK_UNSYNCHRONISED', status: 503 })
})
