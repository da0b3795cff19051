/**
 * The curve: what is offered, what is accepted, what is shed, and how long the accepted ones take, up to
 * twice of what the gate can do, and back at a rate that it can. What it can do is measured first, by a
 * client that waits for its answers. Drawn as an SVG.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { call } from '../../test/support/gate.ts'
import { drawCurve, type Point } from '../curve.ts'
import { type Lab, PATH } from '../lab.ts'
import { load } from '../load.ts'
import { loadAtRate } from '../rate.ts'
import type { Result } from '../result.ts'
import type { Rounds } from '../rounds.ts'

/** Of what it can do. */
const SHARES = [0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
const CALM = 0.1
/** Of accepted requests at the most that is offered; a client that waits longer has given up. */
const GOAL_MS = 1000

export async function measureOverload(lab: Lab, { seconds }: Rounds): Promise<readonly Result[]> {
  await using gate = await lab.startGate()
  const closed = {
    url: gate.url + PATH,
    seconds: Math.max(3, seconds),
    connections: 32,
    headers: [`Authorization: Bearer ${lab.token}`]
  }
  // Its first seconds are those of cold code.
  await load(closed)
  const able = await load(closed)
  let lateMs = 0
  const ask = async (share: number): Promise<Point> => {
    const perSecond = Math.round((able.perSecond * share) / 100) * 100
    const given = { perSecond, seconds, token: lab.token }
    const { statuses, p99, late } = await loadAtRate(gate.url + PATH, given)
    lateMs = Math.max(lateMs, late)
    const { 200: accepted = 0, 503: shed = 0, unsent = 0, ...others } = statuses
    const other = Object.values(others).reduce((sum, count) => sum + count, 0)
    const offered = Math.round(perSecond - unsent / seconds)
    return { offered, accepted: accepted / seconds, shed: shed / seconds, other, p99 }
  }
  await ask(CALM)
  const points: Point[] = []
  for (const share of SHARES) points.push(await ask(share))
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
      reference: `back at ${after.offered}/s: ${Math.round(after.accepted)} accepted, p99 ${after.p99.toFixed(1)} ms; shed by ${shed.join(' ') || 'nobody'}; the client at most ${lateMs.toFixed(0)} ms late`,
      ratio: undefined,
      goal: `none broken, p99 ≤ ${GOAL_MS} ms, normal by itself`,
      isHeld: broken === 0 && after.shed === 0 && (top?.p99 ?? Infinity) <= GOAL_MS
    }
  ]
}
