/** A gate whose event loop is late: it sheds, keeps what must work, and recovers by itself. */
import t from 'tap'
import { createDisturbance } from '../support/disturb.ts'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, eventually, userJwt } from '../support/gate.ts'
import { metricsOf } from '../support/prometheus.ts'

const PATH = '/api/scans/dashboard'

const disturbance = createDisturbance(t)
const { gates, upstream } = await startFleet(t, { env: disturbance.env })
const [gate] = gates
if (!gate) throw new Error('no gate')

const use = (token: string) => call(gate.url + PATH, { bearer: token })

t.test('one long pause is no overload: nothing is shed', async t => {
  const { token } = await createToken(gate)
  t.equal((await use(token)).status, 200)
  gate.signal('SIGSTOP')
  const waiting = Array.from({ length: 20 }, () => use(token))
  await new Promise(resolve => setTimeout(resolve, 1500))
  gate.signal('SIGCONT')
  const answers = await Promise.all(waiting)
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal((await metricsOf(gate)).value('shed_total', { reason: 'lag' }), 0)
})

t.test(
  'a starved gate sheds with 503, still ends tokens, answers probes, and recovers',
  async t => {
    const { token, id } = await createToken(gate)
    const other = await createToken(gate)
    t.equal((await use(token)).status, 200)

    disturbance.set({ blockMs: 270 })
    const refused = await eventually('it sheds', async () => {
      const answer = await use(token)
      if (answer.status === 401) throw new Error('a good token was refused')
      return answer.json['code'] === 'OVERLOADED' && answer
    })
    t.equal(refused.status, 503)
    t.match(refused.headers.get('retry-after'), /^[123]$/)
    const begun = upstream.begun
    t.match(await call(gate.url + PATH, { bearer: await userJwt() }), { status: 503 })
    t.equal(upstream.begun, begun, 'nothing went upstream')
    const created = await call(`${gate.url}/api/auth/cli-tokens`, {
      method: 'POST',
      bearer: await userJwt(),
      body: { name: 'x' }
    })
    t.match(created, { status: 503, json: { code: 'OVERLOADED' } })
    const revoked = await call(`${gate.url}/api/auth/cli-tokens/${id}`, {
      method: 'DELETE',
      bearer: await userJwt()
    })
    t.match(revoked, { status: 200, json: { success: true } }, 'a token can be ended')
    t.equal((await call(`${gate.adminUrl}/livez`)).status, 200)
    t.not((await call(`${gate.adminUrl}/readyz`)).status, undefined)
    const during = await metricsOf(gate)
    t.ok(during.value('shed_total', { reason: 'lag' }) >= 2)
    t.ok(during.value('event_loop_lag_seconds') > 0.25)

    disturbance.set({})
    const startedMs = performance.now()
    await eventually('it recovers', async () => (await use(other.token)).status === 200)
    t.comment(`healed in ${Math.round(performance.now() - startedMs)} ms`)
    t.equal((await use(token)).status, 401)
    t.equal((gate.output().match(/too busy/g) ?? []).length, 1)
  }
)
