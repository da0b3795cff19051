/** P9: what the gate adds at a rate that is far from its limit. */
import { type Lab, PATH } from '../lab.ts'
import { loadAtRate } from '../rate.ts'
import { median, type Result } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const PER_SECOND = 1000
const GOAL_MS = { p50: 0.3, p99: 1.5 }

/** The median over the rounds of what stands at this place. */
function at(rounds: readonly (readonly number[])[], index: number): number {
  return median(rounds.map(round => round[index] ?? NaN))
}

export async function measureLatency(
  lab: Lab,
  { count, seconds }: Rounds
): Promise<readonly Result[]> {
  await using gate = await lab.startGate()
  const given = { perSecond: PER_SECOND, seconds, token: lab.token }
  const [own, alone]: [number[][], number[][]] = [[], []]
  for (let round = 0; round <= count; round++) {
    const through = await loadAtRate(gate.url + PATH, given)
    const direct = await loadAtRate(`http://127.0.0.1:${lab.upstreamPort}${PATH}`, given)
    // The first round only warms up.
    if (round === 0) continue
    own.push([through.p50, through.p99])
    alone.push([direct.p50, direct.p99])
  }
  const added = { p50: at(own, 0) - at(alone, 0), p99: at(own, 1) - at(alone, 1) }
  return [
    {
      row: 'P9',
      work: `${PER_SECOND} requests a second: what is added`,
      figure: `p50 + ${added.p50.toFixed(2)} ms, p99 + ${added.p99.toFixed(2)} ms`,
      reference: `upstream alone p50 ${at(alone, 0).toFixed(2)} ms, p99 ${at(alone, 1).toFixed(2)} ms`,
      ratio: at(own, 0) / at(alone, 0),
      goal: `+ ≤ ${GOAL_MS.p50} ms, + ≤ ${GOAL_MS.p99} ms`,
      isHeld: added.p50 <= GOAL_MS.p50 && added.p99 <= GOAL_MS.p99
    }
  ]
}
