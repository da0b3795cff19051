/**
 * The curve: what is offered, what is accepted, what is shed, and how long the accepted ones take, up to
 * twice of what the gate can do, and back at a rate that it can. Drawn as an SVG.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { call } from '../../test/support/gate.ts'
import { drawCurve, type Point } from '../curve.ts'
import { type Lab, PATH } from '../lab.ts'
import { loadAtRate } from '../rate.ts'
import type { Result } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const RATES = [500, 1000, 2000, 3000, 4000, 6000, 8000, 12_000]
const CALM = 500

export async function measureOverload(lab: Lab, { seconds }: Rounds): Promise<readonly Result[]> {
  await using gate = await lab.startGate({ MAX_IN_FLIGHT: '128' })
  const ask = async (perSecond: number): Promise<Point> => {
    const given = { perSecond, seconds, token: lab.token }
    const { statuses, p99 } = await loadAtRate(gate.url + PATH, given)
    const of = (status: string) => (statuses[status] ?? 0) / seconds
    const all = Object.values(statuses).reduce((sum, count) => sum + count, 0) / seconds
    return {
      offered: perSecond,
      accepted: of('200'),
      shed: of('503'),
      other: all - of('200') - of('503'),
      p99
    }
  }
  await ask(CALM)
  const points: Point[] = []
  for (const rate of RATES) points.push(await ask(rate))
  const after = await ask(CALM)
  const file = join(import.meta.dirname, '../overload.svg')
  writeFileSync(file, drawCurve(points))
  const most = points.reduce((a, b) => (b.accepted > a.accepted ? b : a))
  const top = points.at(-1)
  const broken = points.reduce((sum, { other }) => sum + other, 0)
  const { text } = await call(`http://127.0.0.1:${gate.adminPort}/metrics`)
  const shed = text
    .split('\n')
    .filter(line => line.startsWith('tollgate_shed_total') && !line.endsWith(' 0'))
    .map(line => line.replace('tollgate_shed_total', ''))
  return [
    {
      row: 'P11',
      work: 'offered load up to beyond what can be done (bench/overload.svg)',
      figure: `at most ${Math.round(most.accepted)} accepted/s; at ${top?.offered}/s offered: ${Math.round(top?.accepted ?? 0)} accepted, ${Math.round(top?.shed ?? 0)} shed, p99 ${top?.p99.toFixed(0)} ms`,
      reference: `back at ${CALM}/s: ${Math.round(after.accepted)} accepted, p99 ${after.p99.toFixed(1)} ms; shed by ${shed.join(' ') || 'nobody'}`,
      ratio: undefined,
      goal: 'none broken, normal by itself',
      isHeld: Math.round(broken) === 0 && after.shed === 0
    }
  ]
}
