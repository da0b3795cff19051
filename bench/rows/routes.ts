/** P10: a route file of 10 000 rules beside one of ten. */
import type { Lab } from '../lab.ts'
import type { Result } from '../result.ts'
import { measureRoutes } from '../routes.ts'
import type { Rounds } from '../rounds.ts'

const MOST_COMPILE_MS = 200
const MOST_MATCH_RATIO = 1.3

export async function measureLargeFile(_lab: Lab, { count }: Rounds): Promise<readonly Result[]> {
  const { compileMs, matchFewNs, matchManyNs } = measureRoutes(3 * count)
  const ratio = matchManyNs / matchFewNs
  return [
    {
      row: 'P10',
      work: 'compile 10 000 rules, overlap check included',
      figure: `${compileMs.toFixed(0)} ms`,
      reference: '',
      ratio: undefined,
      goal: `≤ ${MOST_COMPILE_MS} ms`,
      isHeld: compileMs <= MOST_COMPILE_MS
    },
    {
      row: 'P10',
      work: 'match among 10 000 rules, beside among 10',
      figure: `${matchManyNs.toFixed(0)} ns`,
      reference: `${matchFewNs.toFixed(0)} ns`,
      ratio,
      goal: `≤ ${MOST_MATCH_RATIO} ×`,
      isHeld: ratio <= MOST_MATCH_RATIO
    }
  ]
}
