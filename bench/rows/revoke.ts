/** P5: how long a revocation takes with three replicas under load, and whether it holds. */
import { call, createToken, userJwt } from '../../test/support/gate.ts'
import { type Lab, PATH } from '../lab.ts'
import { loadAtRate } from '../rate.ts'
import { percentile } from '../../test/support/percentile.ts'
import type { Result } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const PER_SECOND = 100
const GOAL_MS = { p50: 15, p99: 50 }

export async function measureRevocations(lab: Lab, { count }: Rounds): Promise<readonly Result[]> {
  await using stack = new AsyncDisposableStack()
  const gates = [await lab.startGate(), await lab.startGate(), await lab.startGate()]
  for (const gate of gates) stack.use(gate)
  const jwt = await userJwt()
  const revocations = count * 100
  const seconds = Math.ceil(revocations / 20)
  const over = new AbortController()
  const keepLoading = async (url: string) => {
    const seen = []
    while (!over.signal.aborted) {
      seen.push(await loadAtRate(url, { perSecond: PER_SECOND, seconds: 5, token: lab.token }))
    }
    return seen
  }
  const loads = gates.map(gate => keepLoading(`${gate.url}${PATH}`))
  const tookMs: number[] = []
  let accepted = 0
  const endMs = performance.now() + seconds * 1000
  for (let n = 0; n < revocations && performance.now() < endMs; n++) {
    const at = (offset: number) => gates[(n + offset) % gates.length] ?? gates[0]
    const [maker, revoker] = [at(0), at(1)]
    if (!maker || !revoker) throw new Error('no gate')
    const { token, id } = await createToken(maker)
    const use = () => Promise.all(gates.map(gate => call(gate.url + PATH, { bearer: token })))
    const before = await use()
    if (before.some(({ status }) => status !== 200)) throw new Error('a new token was refused')
    const startedMs = performance.now()
    const url = `${revoker.url}/api/auth/cli-tokens/${id}`
    const deleted = await call(url, { method: 'DELETE', bearer: jwt })
    tookMs.push(performance.now() - startedMs)
    if (deleted.status !== 200) throw new Error(`DELETE: ${deleted.status} ${deleted.text}`)
    accepted += (await use()).filter(({ status }) => status !== 401).length
  }
  over.abort()
  const seen = (await Promise.all(loads)).flat()
  const others = seen.reduce((sum, each) => sum + each.count, 0)
  const refused = others - seen.reduce((sum, each) => sum + (each.statuses['200'] ?? 0), 0)
  const [p50, p99] = [percentile(tookMs, 0.5), percentile(tookMs, 0.99)]
  const isHeld = p50 <= GOAL_MS.p50 && p99 <= GOAL_MS.p99 && accepted === 0 && refused === 0
  return [
    {
      row: 'P5',
      work: `DELETE of a token, 3 replicas, ${PER_SECOND} requests/s on each`,
      figure: `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; ${tookMs.length} revocations`,
      reference: `${accepted} accepted after the answer; ${refused} of ${others} other requests refused`,
      ratio: undefined,
      goal: `p50 ≤ ${GOAL_MS.p50}, p99 ≤ ${GOAL_MS.p99} ms, none accepted`,
      isHeld
    }
  ]
}
