/** Each signed request once, on any replica, whatever happens to Redis. */
import t, { type Test } from 'tap'
import { effort } from '../support/effort.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type Answer, call, createToken, eventually, type GateProcess } from '../support/gate.ts'
import { startRedisPair } from '../support/redis.ts'
import { signedHeaders } from '../support/signer.ts'

const PATH = '/api/scans/dashboard'

function sendSigned(
  gate: GateProcess,
  token: string,
  headers = signedHeaders({ token, method: 'GET', path: PATH })
): Promise<Answer> {
  return call(gate.url + PATH, { bearer: token, headers })
}

function first({ gates }: Fleet): GateProcess {
  const [gate] = gates
  if (!gate) throw new Error('no gate')
  return gate
}

async function nonceKeys({ redis }: Fleet): Promise<readonly unknown[]> {
  const keys = await redis.command('KEYS', 'tollgate:nonce:*')
  return Array.isArray(keys) ? keys.filter(key => !String(key).endsWith(':epoch')) : []
}

/** Signed: 503 with Retry-After and never 401; unsigned: as ever. */
async function isOut(t: Test, gate: GateProcess, token: string, what: string): Promise<void> {
  const { status, json, headers } = await sendSigned(gate, token)
  t.match({ status, json }, { status: 503, json: { code: /^NONCE_STORE_/ } }, what)
  t.match(headers.get('retry-after'), /^\d+$/, what)
  t.equal((await call(gate.url + PATH, { bearer: token })).status, 200, `${what}: unsigned`)
}

/** It heals by itself, and nothing on the way is a verdict. */
async function heals(t: Test, gate: GateProcess, token: string, what: string): Promise<void> {
  const seen = new Set<number>()
  await eventually(`signed requests pass again after ${what}`, async () => {
    const { status } = await sendSigned(gate, token)
    seen.add(status)
    return status === 200
  })
  t.same(
    [...seen].filter(status => status !== 200 && status !== 503),
    [],
    what
  )
}

t.test('of each pair of one signed request at two replicas, one reaches the upstream', async t => {
  const fleet = await startFleet(t, { gates: 2 })
  const { token } = await createToken(first(fleet))
  await Promise.all(fleet.gates.map(gate => sendSigned(gate, token)))
  const before = fleet.upstream.begun
  const batches = effort(4, 20)
  for (let batch = 0; batch < batches; batch++) {
    const pairs = Array.from({ length: 25 }, () => {
      const headers = signedHeaders({ token, method: 'GET', path: PATH })
      return Promise.all(fleet.gates.map(gate => sendSigned(gate, token, headers)))
    })
    for (const pair of await Promise.all(pairs)) {
      t.same(new Set(pair.map(({ status }) => status)), new Set([200, 401]))
    }
  }
  t.equal(fleet.upstream.begun - before, batches * 25)
})

t.test('thousands of wrong signatures leave no key in Redis', async t => {
  const fleet = await startFleet(t)
  const gate = first(fleet)
  const { token } = await createToken(gate)
  t.equal((await sendSigned(gate, token)).status, 200)
  const before = await nonceKeys(fleet)
  t.equal(before.length, 1)
  const wrong = {
    ...signedHeaders({ token, method: 'GET', path: PATH }),
    'x-cli-signature': 'a'.repeat(64)
  }
  const statuses = new Map<number, number>()
  const batches = effort(40, 200)
  for (let batch = 0; batch < batches; batch++) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => {
        const nonce = `wrong-${batch}-${i}`
        return sendSigned(gate, token, { ...wrong, 'x-cli-nonce': nonce })
      })
    )
    for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  t.same([...statuses], [[401, batches * 50]])
  t.same(await nonceKeys(fleet), before)
})

t.test(
  'Redis stopped, full, read-only or restarted: signed requests wait, the rest goes on',
  async t => {
    const fleet = await startFleet(t)
    const gate = first(fleet)
    const { redis } = fleet
    const { token } = await createToken(gate)
    const old = signedHeaders({ token, method: 'GET', path: PATH })
    t.equal((await sendSigned(gate, token, old)).status, 200)

    redis.pause()
    await isOut(t, gate, token, 'paused')
    redis.resume()
    await heals(t, gate, token, 'a pause')

    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await isOut(t, gate, token, 'full')
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await heals(t, gate, token, 'being full')

    await redis.command('REPLICAOF', '127.0.0.1', '9')
    await isOut(t, gate, token, 'read-only')
    await redis.command('REPLICAOF', 'NO', 'ONE')
    await heals(t, gate, token, 'being a replica')

    await redis.command('FLUSHALL')
    t.not((await sendSigned(gate, token, old)).status, 200, 'flushed: the old request')
    await heals(t, gate, token, 'a flush')

    await redis.kill()
    await isOut(t, gate, token, 'killed')
    await redis.start()
    t.not((await sendSigned(gate, token, old)).status, 200, 'empty: the old request')
    await heals(t, gate, token, 'a restart without its data')
    const again = await sendSigned(gate, token, old)
    t.match(again, { status: /^(?:401|503)$/ })
    const metrics = await call(`${gate.adminUrl}/metrics`)
    t.match(metrics.text, /^tollgate_nonce_epoch_changes_total\{cause="\w+"\} [1-9]/m)
  }
)

t.test('a promoted replica that missed the last nonces accepts no old request', async t => {
  const { primary, replica } = await startRedisPair(t)
  const link = await startFaultProxy(t, primary.port)
  const fleet = await startFleet(t, {
    gates: 2,
    env: { REDIS_URL: `redis://127.0.0.1:${link.port}` }
  })
  const gate = first(fleet)
  const { token } = await createToken(gate)
  t.equal((await sendSigned(gate, token)).status, 200)
  // The replica hears no more; what is claimed now is not there after its promotion.
  await replica.command('REPLICAOF', 'NO', 'ONE')
  const lost = signedHeaders({ token, method: 'GET', path: PATH })
  t.equal((await sendSigned(gate, token, lost)).status, 200)
  link.target(replica.port)
  const before = fleet.upstream.begun
  for (let round = 0; round < effort(10, 40); round++) {
    const answers = await Promise.all(fleet.gates.map(each => sendSigned(each, token, lost)))
    for (const { status } of answers) if (status !== 503 && status !== 401) t.fail(`${status}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  t.equal(fleet.upstream.begun, before)
  for (const each of fleet.gates) await heals(t, each, token, 'a failover')
})
