/** The pod acted out with processes: start, traffic, stop, and what goes wrong in between. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { effort } from '../support/effort.ts'
import { call, createToken, eventually, userJwt } from '../support/gate.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { startClients } from './support/clients.ts'
import { type Pod, type PodOptions, startPod } from './support/pod.ts'

const [postgres, redis] = await Promise.all([startPostgres(t), startRedis(t)])
const database = await postgres.createDatabase()

/** How late a Service's endpoints follow. */
const ENDPOINT_LAG_MS = 1000
/** The pod's 45 s, shortened as the app's ten seconds are. */
const GRACE_MS = 15_000

async function podOf(t: Test, options: Partial<PodOptions> = {}): Promise<Pod> {
  const pod = await startPod(t, { databaseUrl: database.url, redisUrl: redis.url, ...options })
  await pod.ready()
  return pod
}

async function replicas(): Promise<number> {
  return (await database.sql('SELECT id FROM tg_replica')).length
}

/** Pods are replaced one after the other under load. */
async function roll(t: Test, rounds: number, options: Partial<PodOptions> = {}) {
  let [old, kept] = await Promise.all([podOf(t, options), podOf(t, options)])
  const scopes = ['scans:read', 'scans:trigger']
  const { token } = await createToken(old, { scopes })
  const clients = startClients(token, [old.url, kept.url])
  t.teardown(() => clients.stop())
  for (let round = 0; round < rounds; round++) {
    await eventually(
      'both pods have answered',
      () => clients.answered.has(old.url) && clients.answered.has(kept.url)
    )
    const stopping = old.stop()
    await sleep(ENDPOINT_LAG_MS)
    clients.setEndpoints([kept.url])
    const { gateExit, tookMs } = await stopping
    t.equal(gateExit, 0, 'the gate ended well')
    t.ok(tookMs < GRACE_MS, `within the grace: ${Math.round(tookMs)} ms`)
    t.equal(await replicas(), 1, 'the replica has left')
    t.same(clients.failures, [], `round ${round}: no request was lost`)
    if (round + 1 === rounds) break
    old = kept
    kept = await podOf(t, options)
    clients.setEndpoints([old.url, kept.url])
  }
  await clients.stop()
  await kept.stop()
  const count = [...clients.answered.values()].reduce((sum, each) => sum + each, 0)
  t.comment(`${rounds} stops, ${count} requests, ${clients.failures.length} failed`)
  t.ok(count > 50)
}

t.test('a pod that stops under load loses no request', async t => {
  await roll(t, effort(1, 20))
})

t.test('nor where the gate is not told that draining begins', async t => {
  if (effort(0, 1) === 0) return t.plan(0, 'only in test:full')
  await roll(t, 2, { hasPreStop: false })
})

t.test(
  'the gate goes on through crashes of the app, and the app through those of the gate',
  async t => {
    const pod = await podOf(t)
    const { token: bearer } = await createToken(pod)
    const ask = () => call(`${pod.url}/api/scans`, { bearer })
    t.equal((await ask()).status, 200)
    t.equal(await pod.probeApp(), 200, 'kubelet reaches the app through the gate')

    await pod.killApp()
    const refused = await ask()
    t.equal(refused.status, 502)
    t.equal(refused.json['code'], 'UPSTREAM_UNREACHABLE')
    t.equal(await pod.probeApp(), 502)
    t.equal((await pod.readiness()).status, 200, 'the app has a readiness of its own')
    await pod.startApp()
    t.equal((await ask()).status, 200)

    await pod.killGate()
    await pod.startGate()
    await pod.ready()
    t.equal((await ask()).status, 200)
    t.equal((await pod.stop()).gateExit, 0)
  }
)

t.test(
  'a pod that is lost in one moment holds up a revocation no longer than its lease',
  async t => {
    const [lost, kept] = await Promise.all([podOf(t), podOf(t)])
    const { token: bearer, id } = await createToken(kept)
    t.equal((await call(`${lost.url}/api/scans`, { bearer })).status, 200)
    await lost.lose()
    const revoked = await call(`${kept.url}/api/auth/cli-tokens/${id}`, {
      method: 'DELETE',
      bearer: await userJwt()
    })
    t.equal(revoked.status, 200)
    t.equal((await call(`${kept.url}/api/scans`, { bearer })).status, 401)
    t.equal((await kept.stop()).gateExit, 0)
  }
)

t.test('an app that ignores SIGTERM is killed, and the gate ends well', async t => {
  if (effort(0, 1) === 0) return t.plan(0, 'only in test:full')
  const pod = await podOf(t, { ignoresTerm: true })
  const { gateExit, tookMs } = await pod.stop()
  t.equal(gateExit, 0)
  t.ok(tookMs < GRACE_MS)
})

t.test('without Postgres the pod starts, is not ready, and becomes so', async t => {
  await postgres.stop()
  const pod = await startPod(t, { databaseUrl: database.url, redisUrl: redis.url })
  t.match(await pod.readiness(), { status: 503 })
  t.equal(await pod.probeApp(), 200, 'the app has started: an outage does not keep it away')
  await postgres.start()
  await pod.ready()
  t.equal((await pod.stop()).gateExit, 0)
})

t.test('a pod whose app answers past the gate does not become ready', async t => {
  const options = { databaseUrl: database.url, redisUrl: redis.url, appHost: '0.0.0.0' }
  const pod = await startPod(t, options)
  await eventually('it is seen', async () => {
    const { status, parts } = await pod.readiness()
    return status === 503 && JSON.stringify(parts).includes('"exposure":"exposed"')
  })
  t.match((await call(`${pod.adminUrl}/metrics`)).text, /^tollgate_upstream_exposed 1$/m)
  const lines = () => pod.output().split('answers past the gate').length - 1
  await eventually('it is told', () => lines() > 0)
  t.equal(lines(), 1, 'one line')
  await pod.lose()
})
