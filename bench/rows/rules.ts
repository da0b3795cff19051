/** A6: what the rules against attacks cost, as a share of all that the gate spends on a request. */
import { type Lab, PATH } from '../lab.ts'
import { hasWrk } from '../load.ts'
import { type Result, skipped } from '../result.ts'
import { costOf, type Rounds } from '../rounds.ts'
import { measureRules } from '../rules.ts'

const CONNECTIONS = 32
const MOST_SHARE = 0.05

/** The head that the other rows send, and one as clients send it. */
const HEADS: Readonly<Record<string, readonly string[]>> = {
  'Host and token': [],
  'nine header lines': [
    'User-Agent: a-client/1.4.2 (linux; x64)',
    'Accept: application/json',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en',
    'Cache-Control: no-cache',
    'X-Request-Id: 5f43a1b2c3d4e5f6',
    'X-Client-Version: 1.4.2'
  ]
}

export async function measureRuleShare(lab: Lab, rounds: Rounds): Promise<readonly Result[]> {
  const work = 'attack rules: share of the CPU of a request'
  if (!hasWrk()) return [skipped('A6', work, 'needs wrk')]
  await using gate = await lab.startGate()
  const results: Result[] = []
  for (const [name, lines] of Object.entries(HEADS)) {
    const load = {
      url: gate.url + PATH,
      seconds: rounds.seconds,
      connections: CONNECTIONS,
      headers: [`Authorization: Bearer ${lab.token}`, ...lines]
    }
    const costs = await costOf([{ name, pid: gate.pid, round: () => load }], rounds)
    const micros = costs.get(name)?.micros ?? NaN
    const { rulesMicros, plainMicros, parts } = await measureRules(PATH, lines)
    const moreMicros = rulesMicros - plainMicros
    const share = moreMicros / micros
    results.push({
      row: 'A6',
      work: `${work}, ${name}`,
      figure: `${(100 * share).toFixed(1)} %: ${parts.join(' + ')} − ${plainMicros.toFixed(2)} in their place = ${moreMicros.toFixed(2)} µs`,
      reference: `gate ${micros.toFixed(1)} µs`,
      ratio: share,
      goal: `≤ ${MOST_SHARE} ×`,
      isHeld: share <= MOST_SHARE
    })
  }
  return results
}
